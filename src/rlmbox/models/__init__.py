"""Ways to reach a language model."""

from rlmbox.models.base import Model, Price

__all__ = ["Model", "Price"]
