"""Speed, memory and quickstart figures that the docs quote: a script, a committed JSON, the tables made from it."""
