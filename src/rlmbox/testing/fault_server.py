"""A provider that fails in every way that providers do, and keeps its own account of what it charged for.

server = FaultServer(lambda request: "ok", every=5)  # each fifth request meets a fault
with server:
    ...
assert what_the_run_says_it_spent == server.charged.complete
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from rlmbox.testing.provider_server import ProviderAnswer, ProviderFault, ProviderServer, http_fault
from rlmbox.testing.provider_wire import ProviderReply, ProviderRequest
from rlmbox.types import Usage

Fault = ProviderFault | ProviderReply
"""A fault in place of a good reply; as a `ProviderReply`, one whose counts make no sense."""

_SOON = MappingProxyType({"Retry-After-Ms": "20"})

FAULTS: tuple[Fault, ...] = (
    http_fault(429),
    ProviderFault("status", 429, headers=_SOON),
    http_fault(500),
    http_fault(503, retry_after="0"),
    http_fault(529),
    ProviderFault("reset"),
    ProviderFault("truncated"),
    ProviderFault("hang_up"),
    ProviderFault("not_json"),
    ProviderReply(input_tokens=None),
    ProviderReply(input_tokens=-5_000, output_tokens=-1),
    ProviderReply(input_tokens=0, output_tokens=0),
)
"""The faults in turn unless told otherwise; without what takes long, which is `hang` and `huge`."""


@dataclass(slots=True)
class Charged:
    """A provider's own count of what it charged for.

    Attributes:
        complete: Tokens of replies that were sent whole and with their counts.
        broken: Tokens of replies that it made and that did not arrive whole, or without their counts.
        refused: Requests that it refused, and charged nothing for.
    """

    complete: Usage = Usage()
    broken: Usage = Usage()
    refused: int = 0


@dataclass(slots=True)
class _Plan:
    answer: Callable[[ProviderRequest], str]
    faults: Sequence[Fault]
    every: int
    charged: Charged = field(default_factory=Charged)
    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def entry(self, request: ProviderRequest) -> ProviderAnswer:
        """Return what a request gets, and enter it in the account."""
        text = self.answer(request)
        usage = _usage(request, text)
        with self.lock:
            self.count += 1
            fault = None
            if self.every and self.count % self.every == 0:
                fault = self.faults[(self.count // self.every - 1) % len(self.faults)]
            self._charge(fault, usage)
        if isinstance(fault, ProviderFault):
            return fault
        if fault is not None:
            return replace(fault, text=text)
        return ProviderReply(text, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)

    def _charge(self, fault: Fault | None, usage: Usage) -> None:
        if fault is None:
            self.charged.complete += usage
        elif isinstance(fault, ProviderFault) and fault.kind in ("status", "too_long"):
            self.charged.refused += 1
        else:
            self.charged.broken += usage


class FaultServer(ProviderServer):
    """A server whose requests meet faults in turn, each so many requests one.

    Tokens are a byte each, so that what it charges is what a budget's worst case must cover.

    Args:
        answer: Gives the text of a good reply; it is called in the server's thread.
        faults: What goes wrong, in turn.
        every: Each so many requests meet a fault: 5 for a fifth; 0 for none.

    Attributes:
        charged: What it charged for.
    """

    def __init__(
        self, answer: Callable[[ProviderRequest], str], *, faults: Sequence[Fault] = FAULTS, every: int = 5
    ) -> None:
        plan = _Plan(answer, faults, every)
        super().__init__(plan.entry)
        self.charged = plan.charged


def _usage(request: ProviderRequest, text: str) -> Usage:
    sent = sum(len(message.content.encode()) for message in request.messages)
    return Usage(input_tokens=sent, output_tokens=len(text.encode()), requests=1)
