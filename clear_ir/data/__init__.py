"""What stages hand each other: files, rows, collections, directions; and Atlas's JSON Lines."""
