"""Arms: a direct call, rlmbox itself, and a function of the user's; the retrieval arm is in `passages`."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

from anyio import to_thread

from rlmbox.context import Context
from rlmbox.errors import ConfigError, RLMError
from rlmbox.evaluation.one_request import REPLY_TOKENS, REQUEST_S, TOKENS_PER_S, Excerpt, OneRequestArm
from rlmbox.evaluation.outcomes import Ending, Estimate, Outcome, Trial, ending_of
from rlmbox.guard import Guard
from rlmbox.models.base import Model
from rlmbox.record.journal import Store
from rlmbox.requests.retries import RetryPolicy
from rlmbox.rlm import RLM
from rlmbox.types import Answer, Usage

Cut = Literal["refuse", "head", "middle"]
"""What to do with a text that is longer than the window."""

CUTS: Mapping[str, str] = {
    "refuse": "a text longer than the window is not sent: the arm cannot answer",
    "head": "a text longer than the window is cut to its beginning",
    "middle": "a text longer than the window is cut in its middle: its beginning and its end are sent, as long each",
}
"""The rules for a text that is longer than the window, as shown to the user."""

_LEFT_OUT = "\n[... {chars:,} characters are left out here ...]\n"
_TURNS = 5
_TURN_TOKENS = 4_000  # input of a turn of a session, with its system message


class DirectArm(OneRequestArm):
    """The text and the question in one request.

    Args:
        model: The model.
        name: Its name in the table.
        cut: What to do with a text that is longer than the window; see `CUTS`.
        guard: Checks what leaves; by default it hides secrets and personal data.
        retries: Retry policy for failed requests; None for the default.

    Raises:
        ConfigError: There is no such rule.
    """

    def __init__(
        self,
        model: Model,
        *,
        name: str = "direct",
        cut: Cut = "refuse",
        guard: Guard | None = None,
        retries: RetryPolicy | None = None,
    ) -> None:
        if cut not in CUTS:
            raise ConfigError(f"there is no cut {cut!r}; there are {', '.join(CUTS)}")
        super().__init__(name, model, guard, retries)
        self._cut = cut

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings that affect its answers."""
        return {"kind": "direct", "model": self._model.name, "cut": self._cut, "guard": self._guard.settings()}

    def _asked_by(self, trial: Trial) -> str:
        return ""  # the text is the same for every question

    def estimate(self, trial: Trial) -> Estimate:
        """Estimate a trial.

        Args:
            trial: The trial.
        """
        prepared = self._prepared(trial)
        if prepared.excerpt is None:
            prepared.excerpt = self._cut_to_window(trial.context)
            self._count(prepared, prepared.excerpt.text)
        found = prepared.excerpt
        if found.text is None:
            return Estimate(cannot=found.note)
        return self._estimated(found.tokens, found.size_bytes, trial)

    async def _excerpt(self, trial: Trial, most_usd: Decimal | None) -> Excerpt:
        return await to_thread.run_sync(self._cut_to_window, trial.context)

    def _cut_to_window(self, context: Context) -> Excerpt:
        """Return the excerpt to send, or why nothing is sent."""
        room, scale = self._room_tokens(), self._state.tokens
        # In no vocabulary does a long text average more characters per token.
        if context.length <= room * 12:
            text = context.slice(0, context.length)
            tokens = scale.likely_text(text)
            if tokens <= room:
                return Excerpt(text, "", tokens, len(text.encode("utf-8", "replace")))
        if self._cut == "refuse":
            said = f"the text of {context.length:,} characters is longer than the window of {self._model.name}"
            return Excerpt(None, said)
        chars = min(context.length, room * 4)
        while True:
            text = self._shortened(context, chars)
            tokens = scale.likely_text(text)
            if tokens <= room or chars < 100:
                note = f"{CUTS[self._cut]}; {chars:,} of {context.length:,} characters were sent"
                return Excerpt(text, note, tokens, len(text.encode("utf-8", "replace")))
            chars = int(chars * min(0.95, room / tokens))

    def _shortened(self, context: Context, chars: int) -> str:
        if self._cut == "head":
            return context.slice(0, chars)
        half = chars // 2
        between = _LEFT_OUT.format(chars=context.length - 2 * half)
        return context.slice(0, half) + between + context.slice(context.length - half, context.length)


class RlmArm:
    """`RLM` with any settings.

    With a store, its runs are recorded under names derived from the trial's key; a run that was interrupted resumes
    from its record without repeating a request.

    Args:
        rlm: The RLM.
        name: Its name in the table.
        settings: The settings it was created with, as JSON.
        store: The store that the RLM records in, or None.
        run_limit_usd: Cost limit of one run; None for the RLM's limit.
    """

    def __init__(
        self,
        rlm: RLM,
        *,
        name: str = "rlm",
        settings: Mapping[str, Any] | None = None,
        store: Store | None = None,
        run_limit_usd: Decimal | None = None,
    ) -> None:
        self._rlm = rlm
        self._name = name
        self._settings = dict(settings or {})
        self._store = store
        self._run_limit_usd = run_limit_usd

    @property
    def name(self) -> str:
        """Its name in the table."""
        return self._name

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings that affect its answers."""
        models = {"model": self._rlm.model.name, "sub_model": self._rlm.sub_model.name}
        return {"kind": "rlm", **models, **self._settings}

    def estimate(self, trial: Trial) -> Estimate:
        """Estimate a trial: some turns, and sub-calls over a small part of the text.

        Args:
            trial: The trial.
        """
        root, sub = self._rlm.model.price, self._rlm.sub_model.price
        sent, received = _TURNS * _TURN_TOKENS, _TURNS * REPLY_TOKENS
        read = min(trial.context.length // 4, 50_000)
        likely = root.cost_usd(Usage(sent, 0, received, 0, _TURNS)) if root else Decimal(0)
        likely += sub.cost_usd(Usage(read, 0, REPLY_TOKENS, 0, 2)) if sub else Decimal(0)
        most = self._run_limit_usd if self._run_limit_usd is not None else self._rlm.limits.money
        most = likely if most == 0 else most  # with a limit of 0 the reservation fails, and it is not asked
        free = not likely
        return Estimate(
            _TURNS + 2,
            sent + read,
            received + REPLY_TOKENS,
            likely,
            Decimal(0) if free or most is None else most,
            Decimal(0) if free or most is None else min(likely, most),
            _TURNS * (REQUEST_S + REPLY_TOKENS / TOKENS_PER_S),
            root is not None and sub is not None,
        )

    async def answer(self, trial: Trial, most_usd: Decimal | None) -> Outcome:
        """Answer a question in a run, resuming the recorded one if there is one.

        Args:
            trial: The trial.
            most_usd: Cost limit; None for no limit.
        """
        run_id = trial.key.replace("/", ".")
        began = time.monotonic()
        try:
            answer = await self._run(trial, run_id, most_usd)
            ending: Ending = "answered" if answer.text.strip() else "no answer"
            note = ""
        except RLMError as error:
            answer = error.partial or Answer("", run_id=run_id)
            ending, note = ending_of(error)
            if ending == "cannot":
                ending = "provider"
        usage = answer.usage
        return Outcome(
            ending,
            answer.text,
            answer.value,
            note,
            answer.cost_usd,
            answer.cost.uncertain_usd,
            usage.input_tokens,
            usage.output_tokens,
            usage.requests,
            answer.duration_s or time.monotonic() - began,
            run_id if self._store is not None else "",
        )

    async def _run(self, trial: Trial, run_id: str, most_usd: Decimal | None) -> Answer:
        if self._store is not None and await self._store.read(run_id):
            return await self._rlm.aresume(run_id, context=trial.context)
        limits = self._rlm.limits if most_usd is None else replace(self._rlm.limits, cost_limit_usd=most_usd)
        named = run_id if self._store is not None else None
        return await self._rlm.aask(trial.asked, trial.context, limits=limits, run_id=named)

    async def aclose(self) -> None:
        """Close the connections of its models."""
        await self._rlm.aclose()


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """The answer of a user's arm, with its cost.

    Attributes:
        text: The answer.
        cost_usd: Its cost, in US dollars.
        value: The answer as a JSON value, or None.
    """

    text: str
    cost_usd: Decimal | float | str = 0
    value: Any = None


class OwnArm:
    """A function of the user's.

    Args:
        function: Takes the question and the `Context`; returns a string or an `OwnAnswer`; sync or async. A sync
            function runs in a thread.
        name: Its name in the table; by default the function's.
    """

    def __init__(self, function: Callable[[str, Context], Any], *, name: str = "") -> None:
        self._function = function
        self._name = name or str(getattr(function, "__name__", "own"))

    @property
    def name(self) -> str:
        """Its name in the table."""
        return self._name

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings that affect its answers, as far as they are known."""
        return {"kind": "own", "function": self._name}

    def estimate(self, trial: Trial) -> Estimate:
        """Return an empty estimate: the cost of the function is not known.

        Args:
            trial: The trial.
        """
        return Estimate(price_known=False)

    async def answer(self, trial: Trial, most_usd: Decimal | None) -> Outcome:
        """Call the function.

        Args:
            trial: The trial.
            most_usd: Not passed to the function.
        """
        began = time.monotonic()
        try:
            if inspect.iscoroutinefunction(self._function):
                given = await self._function(trial.asked, trial.context)
            else:
                given = await to_thread.run_sync(self._function, trial.asked, trial.context)
            said = given if isinstance(given, OwnAnswer) else OwnAnswer("" if given is None else str(given))
            cost_usd = Decimal(str(said.cost_usd))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a failure of the user's function is a result
            ending, note = ending_of(error)
            return Outcome(ending, note=note, duration_s=time.monotonic() - began)
        ending = "answered" if said.text.strip() else "no answer"
        return Outcome(ending, said.text, said.value, cost_usd=cost_usd, duration_s=time.monotonic() - began)

    async def aclose(self) -> None:
        """Do nothing."""
