"""What stages pass to each other: files, rows, collections, directions. Also the JSON Lines of Atlas."""
