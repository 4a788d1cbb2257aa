"""Bytes of a text and how they are addressed by characters."""
