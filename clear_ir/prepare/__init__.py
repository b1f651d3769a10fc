"""Data sets as parallel rows to train on and a collection to test on: one file a data set."""
