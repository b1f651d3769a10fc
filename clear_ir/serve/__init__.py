"""Look at what an encoder finds."""
