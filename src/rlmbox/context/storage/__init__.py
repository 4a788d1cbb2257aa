"""The bytes of a text, addressed by characters."""
