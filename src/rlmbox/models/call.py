"""One request to a provider and its reply, as they go over the wire.

Imports httpx2, so it is itself imported late, by `providers`.
"""

from __future__ import annotations

from dataclasses import dataclass

import httpx2

from rlmbox.models.adapting import Adaptations
from rlmbox.models.base import Exchange
from rlmbox.models.http11 import Headers
from rlmbox.models.reply_fields import WireProtocol
from rlmbox.models.templates import WrittenRequest


class ReplyTooLarge(httpx2.TransportError):
    """A reply's body is longer than any that is read."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An error that a provider answered with, as it came over the wire.

    Attributes:
        status: The HTTP status.
        headers: The headers.
        body: The body.
    """

    status: int
    headers: httpx2.Headers
    body: bytes


@dataclass(slots=True)
class Call:
    """One request and its reply, as they go over the wire.

    Attributes:
        protocol: The protocol that the provider speaks.
        exchange: Where to report how far the request came.
        adaptations: How the request is changed before it is sent.
        streams: Whether the reply is asked for as a stream.
        written: The request as the provider's library wrote it.
        content: The request's body as it was sent.
        refused: The error that it was answered with; None where there was none.
        body: The body of a good reply; None where there was none.
        headers: The headers of a good reply.
    """

    protocol: WireProtocol
    exchange: Exchange
    adaptations: Adaptations
    streams: bool = False
    written: WrittenRequest | None = None
    content: bytes = b"{}"
    refused: Refused | None = None
    body: bytes | None = None
    headers: Headers = ()

    def note_sent(self) -> None:
        """Note that the server may have the whole request."""
        self.exchange.sent = True
