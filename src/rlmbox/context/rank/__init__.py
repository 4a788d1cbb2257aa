"""Ranked search over passages."""
