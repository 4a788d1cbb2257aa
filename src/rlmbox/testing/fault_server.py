"""A provider with all the faults that real providers have, which records what it charged.

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
"""A fault instead of a good reply; a `ProviderReply` is one with nonsensical token counts."""

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
"""The default faults; all but the slow ones, `hang` and `huge`."""


@dataclass(slots=True)
class Charged:
    """A provider's own record of what it charged.

    Attributes:
        complete: Tokens of replies that were sent completely and with their counts.
        broken: Tokens of replies that it generated and that did not arrive completely or without their counts.
        refused: Number of requests that it refused, and did not charge.
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
        """Return the answer to a request, and record what it charges."""
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
    """A server that answers every n-th request with a fault.

    A token is one byte, so that the charge is the worst case that a budget has to cover.

    Args:
        answer: Returns the text of a good reply; called in the server's thread.
        faults: The faults, in rotation.
        every: Number of requests per fault: 5 for one in five; 0 for no faults.

    Attributes:
        charged: What it charged.
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
