"""The one way to ask a model."""
