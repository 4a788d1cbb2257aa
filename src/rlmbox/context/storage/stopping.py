"""Cancellation of a wait for a thread that reads a text."""

from __future__ import annotations

import threading
from contextvars import ContextVar

STOPPED: ContextVar[threading.Event | None] = ContextVar("rlmbox_stopped", default=None)
"""Set once the result of this call is not wanted any more; None where nobody says so. A thread cannot be ended from
outside, and one that reads gigabytes for a cell that was stopped would hold up those that are not."""
