"""The CLEAR loss for any sentence-transformers trainer; imports nothing of the stages."""
