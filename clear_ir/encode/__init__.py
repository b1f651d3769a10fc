"""Texts in, vectors out, each text once. Models are loaded safely, vectors are cached on disk, search is exact."""
