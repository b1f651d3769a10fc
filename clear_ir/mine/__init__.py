"""Hard negatives for both sides of a row."""
