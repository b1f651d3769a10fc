"""The half that is missing: queries, and passages, in the target language."""
