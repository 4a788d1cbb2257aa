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
    """A reply's body exceeds the size limit."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An error response of a provider, as received.

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
        exchange: Where progress is reported.
        adaptations: The changes to the request before it is sent.
        streams: Whether the reply is requested as a stream.
        written: The request as written by the provider's library.
        content: The request's body as it was sent.
        refused: The error response; None if there was none.
        body: The body of a good reply; None if there was none.
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
        """Record that the server may have received the whole request."""
        self.exchange.sent = True
