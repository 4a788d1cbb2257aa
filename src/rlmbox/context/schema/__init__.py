"""The structure of a text, without its data."""
