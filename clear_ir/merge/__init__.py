"""The best point between an encoder and its base."""
