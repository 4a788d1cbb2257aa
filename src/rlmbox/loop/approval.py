"""Approval of a model's proposals by a person, or by a policy, before any of their code runs."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

import anyio.to_thread

from rlmbox.errors import ConfigError, RLMError, is_interrupt
from rlmbox.loop.task import Proposal

_SUBCALLS = frozenset(
    {"llm_query", "llm_query_batched", "llm_query_batch", "llm_batch", "llm_query_json", "llm_batch_json"}
    | {"sub_llm", "sub_llm_batch", "recursive_llm", "sub_rlm"}
    | {"ask", "ask_chunks", "ask_chunks_first", "rlm_query", "rlm_query_batched"}
)


@dataclass(frozen=True, slots=True)
class Replace:
    """Run this code instead of the model's.

    Attributes:
        code: The code.
    """

    code: str


Decision = bool | str | Replace
"""True runs the proposal; False rejects it, a string rejects it with the reason; `Replace` runs other code."""

Approve = Callable[[Proposal], Decision | Awaitable[Decision]]
"""Decides on a proposal; plain, and then called in a thread, or async."""

_WORD = re.compile(r"[^\W\d]\w*")
_HIDING = frozenset({"exec", "eval", "globals", "locals", "vars", "getattr", "__builtins__", "__import__"})
"""Names by which code reaches others that its text need not have."""

POLICIES = ("never", "always", "first", "on_subcalls")
"""When somebody is asked: never; about all code; until the first approval; about code that would spend."""


class Approval:
    """Decides which proposals need approval.

    Args:
        ask: The approver, called with a proposal.
        policy: One of `POLICIES`.

    Raises:
        ConfigError: There is no such policy.
    """

    def __init__(self, ask: Approve, policy: str = "always") -> None:
        if not callable(ask):
            raise ConfigError(
                f"approve is a function that takes a proposal, not {ask!r}; Approval(fn, policy) says when it is asked"
            )
        if policy not in POLICIES:
            raise ConfigError(f"there is no approval policy {policy!r}; there are {', '.join(POLICIES)}")
        self._ask = ask
        self._policy = policy
        self._approved = False
        self._spending: set[str] = set()  # names that cells bound to functions that ask a model

    def concerns(self, proposal: Proposal) -> bool:
        """Return True if a proposal needs approval.

        Args:
            proposal: What the model would do.
        """
        if not proposal.has_code or self._policy == "never" or (self._policy == "first" and self._approved):
            return False
        return self._policy != "on_subcalls" or self._would_spend(proposal)

    def _would_spend(self, proposal: Proposal) -> bool:
        """Return True if code names a function that asks a model, or a function of an earlier cell that does."""
        found = False
        for code in (*(cell.code for cell in proposal.cells), proposal.final_code):
            known = _SUBCALLS | _HIDING | self._spending
            names, bound = _named_and_bound(code, known)
            if names & known:
                found = True
                self._spending |= bound
        return found

    async def decide(self, proposal: Proposal) -> Decision:
        """Return the approver's decision.

        Args:
            proposal: What the model would do.

        Raises:
            ConfigError: The approver returned something that is not a decision.
        """
        ask: Callable[[Proposal], Any] = self._ask
        try:
            if inspect.iscoroutinefunction(ask):
                found = ask(proposal)
            else:  # it may wait for a person, and must not block the event loop
                found = await anyio.to_thread.run_sync(ask, proposal, abandon_on_cancel=True)
            decision = await found if inspect.isawaitable(found) else found
        except RLMError:
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise ConfigError(f"approve raised {type(error).__name__}: {error}") from error
        if not isinstance(decision, bool | str | Replace):
            raise ConfigError(f"approve returns True, False, a reason or Replace(code), not {decision!r:.200}")
        self._approved = self._approved or decision is True
        return decision


def _named_and_bound(code: str, known: Collection[str]) -> tuple[set[str], set[str]]:
    """Return the names that code uses, and the names that it binds to something that calls a known one.

    The latter exclude variables that only hold results of calls: later code may print those without approval.
    """
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(_WORD.findall(code)), set()
    names = [node for node in nodes if isinstance(node, ast.Name)]
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    bound = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    is_passed_on = any(name.id in known and id(name) not in called for name in names)
    if is_passed_on or any(isinstance(node, ast.Lambda) for node in nodes):
        bound |= {name.id for name in names if isinstance(name.ctx, ast.Store)}
    used = {name.id for name in names}
    if "FINAL_VAR" in used:  # a text passed to it may be code, as in `FINAL_VAR("ask(query, part)")`
        texts = (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
        used.update(*map(_WORD.findall, texts))
    return used, bound
