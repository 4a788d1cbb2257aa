"""Requests to models: the single path for every call of a model."""
