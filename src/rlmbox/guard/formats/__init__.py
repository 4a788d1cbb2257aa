"""Key formats as published by their issuers: prefix, alphabet, length. Each entry is one kind."""

from rlmbox.guard.formats import ai, clouds, development, messaging, operations, payments
from rlmbox.guard.formats.base import KeyFormat

FORMATS: tuple[KeyFormat, ...] = (
    *ai.FORMATS,
    *clouds.FORMATS,
    *development.FORMATS,
    *messaging.FORMATS,
    *operations.FORMATS,
    *payments.FORMATS,
)

__all__ = ["FORMATS", "KeyFormat"]
