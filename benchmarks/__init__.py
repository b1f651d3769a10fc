"""Benchmarks that the docs quote. Each is a script and a committed JSON, from which the tables are made."""
