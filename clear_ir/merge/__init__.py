"""Merge an adapted encoder with its base, at the weight that is best."""
