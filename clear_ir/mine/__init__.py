"""Mine hard negatives: passages and queries for each row."""
