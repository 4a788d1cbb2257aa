"""Ranked search over passages of a text."""
