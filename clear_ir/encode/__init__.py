"""Texts in, vectors out, each text once: models loaded safely, the cache on disk, exact search."""
