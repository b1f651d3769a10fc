"""Training rows in, a model folder out."""
