"""Align an encoder's languages without training: maps of its vectors, fitted in closed form."""
