"""YAML in, the settings of every stage out."""
