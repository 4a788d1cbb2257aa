"""Models: the protocol of a language model, and its implementations for providers."""

from rlmbox.models.base import Model, Price

__all__ = ["Model", "Price"]
