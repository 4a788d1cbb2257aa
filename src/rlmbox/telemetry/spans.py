"""A reader of one run's events that makes its spans.

Every event that begins something has a key, which is a path (`record/keys.py`); a span is the child of the nearest path
above its own that is open. So parents are right however many calls are under way at once, and in a run that goes on.
While a request or a call of a function is under way its span is the current one of the task that makes it, so that
spans of others (a tool's own, an HTTP client's, an MCP server's) hang below it.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.propagate import inject
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from rlmbox import __version__, errors, events
from rlmbox.events import Event
from rlmbox.models.base import trace_headers
from rlmbox.record.keys import key_of
from rlmbox.telemetry import names
from rlmbox.telemetry.content import json_text, messages_json, reply_json
from rlmbox.telemetry.metrics import Instruments
from rlmbox.types import Message, Usage

_CANCELLED = "cancelled"


@dataclass(slots=True, eq=False)
class _OpenSpan:
    """A span that has not ended.

    Attributes:
        span: The span.
        began_s: When it began, in seconds since the epoch.
        metric: The metric of its duration; empty for none.
        labels: The attributes of that metric.
        detach: Makes the span that was current before it the current one again.
    """

    span: Span
    began_s: float
    metric: str = ""
    labels: Mapping[str, Any] = field(default_factory=dict)
    detach: Callable[[], None] | None = None


@dataclass(slots=True)
class _Session:
    """A session that has begun.

    Attributes:
        model: Its model.
        sandbox: Its sandbox.
        question: Number of the question at work.
        turn: Number of the turn at work.
        usage: Tokens that it and the sessions below it were charged for its question.
        usd: Money, the same.
        messages: The conversation, where content was asked for.
    """

    model: str = ""
    sandbox: str = ""
    question: int = 0
    turn: int = 0
    usage: Usage = Usage()
    usd: Decimal = Decimal(0)
    messages: list[Message] = field(default_factory=list)


class RunSpans:
    """A reader of one run's events that makes its spans and records its metrics.

    Args:
        tracer: The tracer of the OpenTelemetry API.
        instruments: The metrics.
        content: Whether spans have what was said, run, printed and returned.
    """

    def __init__(self, tracer: Tracer, instruments: Instruments, *, content: bool) -> None:
        self._tracer = tracer
        self._instruments = instruments
        self._content = content
        self._outer = otel_context.get_current()
        self._open: dict[str, _OpenSpan] = {}
        self._sessions: defaultdict[str, _Session] = defaultdict(_Session)
        self._asked: dict[str, tuple[Message, ...]] = {}
        self._answered: dict[str, tuple[Span, float]] = {}
        self._by_kind: Mapping[type[Event], Callable[[Any], None]] = {
            events.SessionStarted: self._session_started,
            events.QuestionAsked: self._question_asked,
            events.SessionFinished: self._session_finished,
            events.SessionFailed: self._session_failed,
            events.ModelRequested: self._model_requested,
            events.ModelReplied: self._model_replied,
            events.TurnFinished: self._turn_finished,
            events.CellStarted: self._cell_started,
            events.CellExecuted: self._cell_executed,
            events.HostCallStarted: self._call_started,
            events.HostCallFinished: self._call_finished,
            events.SubcallStarted: self._subcall_started,
            events.SubcallFinished: self._subcall_finished,
            events.ReplyFromCache: self._reply_from_cache,
            events.AttemptStarted: self._attempt_started,
            events.AttemptFinished: self._attempt_finished,
        }

    def __call__(self, event: Event) -> None:
        """Take an event; see `Hook`."""
        handle = self._by_kind.get(type(event))
        if handle is not None:
            handle(event)

    async def aclose(self) -> None:
        """End what is still open, the innermost first: a run that was interrupted."""
        for key in list(self._answered):
            self._end_answered(key)
        for key in sorted(self._open, key=lambda key: -key.count("/")):
            self._fail(key, _CANCELLED, "")

    # Sessions, which are agents, and their questions, each of which invokes the agent.
    def _session_started(self, event: events.SessionStarted) -> None:
        session = self._sessions[event.session_id]
        session.model, session.sandbox = event.model, event.sandbox

    def _question_asked(self, event: events.QuestionAsked) -> None:
        session = self._sessions[event.session_id]
        session.question, session.turn, session.usage, session.usd = event.number, 0, Usage(), Decimal(0)
        self._begin_question(event)
        if self._content:
            self._set(
                self._question_key(event), {names.INPUT_MESSAGES: messages_json([Message("user", event.question)])}
            )

    def _begin_question(self, event: Event, *, resumed: bool = False) -> str:
        session, key = self._sessions[event.session_id], self._question_key(event)
        labels = {
            names.OPERATION: names.INVOKE_AGENT,
            names.PROVIDER: names.provider_of(session.model),
            names.AGENT_NAME: names.AGENT,
            **({names.REQUEST_MODEL: names.model_name(session.model)} if session.model else {}),
        }
        more = {
            names.AGENT_VERSION: __version__,
            names.CONVERSATION: event.session_id,
            names.RUN_ID: event.run_id,
            names.DEPTH: event.depth,
            names.QUESTION_NUMBER: session.question,
            **({names.SANDBOX: session.sandbox} if session.sandbox else {}),
            **({names.RESUMED: True} if resumed else {}),
        }
        name = f"{names.INVOKE_AGENT} {names.AGENT}"
        self._begin(event, key, name, {**labels, **more}, metric=names.AGENT_DURATION, labels=labels)
        return key

    def _session_finished(self, event: events.SessionFinished) -> None:
        key = self._question_key(event)
        more: dict[str, Any] = {names.TURNS: self._sessions[event.session_id].turn}
        if self._content:
            more[names.OUTPUT_MESSAGES] = reply_json(event.answer.text, "stop")
        self._end(event, key, more | self._totals(event))

    def _session_failed(self, event: events.SessionFailed) -> None:
        key = self._question_key(event)
        for below in sorted((k for k in self._open if k.startswith(f"{key}/")), key=lambda k: -k.count("/")):
            self._fail(below, event.error_type, event.message, at_s=event.at_s)
        if key not in self._open:
            self._begin_question(event, resumed=True)
        self._set(key, {names.TURNS: self._sessions[event.session_id].turn} | self._totals(event))
        self._fail(key, event.error_type, event.message, at_s=event.at_s)

    def _totals(self, event: Event) -> dict[str, Any]:
        """Return what a question was charged for, and add it to the question above it."""
        session = self._sessions[event.session_id]
        if event.parent_id is not None:
            above = self._sessions[event.parent_id]
            above.usage, above.usd = above.usage + session.usage, above.usd + session.usd
        return _charged(session.usage, session.usd)

    # Turns and requests.
    def _model_requested(self, event: events.ModelRequested) -> None:
        session = self._sessions[event.session_id]
        session.model = session.model or event.model
        self._note_question(event.session_id, event.key)
        if self._content:
            known = [*session.messages, *event.added]
            session.messages = known if len(known) == event.messages else list(event.added)
            self._asked[event.key] = tuple(session.messages)
        if "/conclude/" in event.key[len(event.session_id) :]:  # the last answer at a limit is no turn
            return
        session.turn = event.turn
        self._begin(event, self._turn_key(event, event.turn), names.TURN_SPAN, {names.TURN_NUMBER: event.turn})

    def _model_replied(self, event: events.ModelReplied) -> None:
        self._asked.pop(event.key, None)
        if event.completion is None:
            return
        more: dict[str, Any] = {names.FINISH_REASONS: (event.completion.stop_reason,)}
        if self._content:
            more[names.OUTPUT_MESSAGES] = reply_json(event.completion.text, event.completion.stop_reason)
        self._end_answered(event.key, more)

    def _turn_finished(self, event: events.TurnFinished) -> None:
        self._end(event, self._turn_key(event, event.turn.number), {names.COST_USD: float(event.turn.cost_usd)})

    def _attempt_started(self, event: events.AttemptStarted) -> None:
        labels = {
            names.OPERATION: names.CHAT,
            names.PROVIDER: names.provider_of(event.model),
            names.REQUEST_MODEL: names.model_name(event.model),
        }
        more = {
            names.CONVERSATION: event.session_id,
            names.REQUEST_MAX_TOKENS: event.max_output_tokens,
            names.ATTEMPT: event.attempt,
        }
        messages = event.sent if event.sent is not None else self._asked.get(event.key)
        if self._content and messages is not None:
            more[names.INPUT_MESSAGES] = messages_json(messages)
        self._end_answered(event.key)  # of a reply in several parts
        name, key = f"{names.CHAT} {names.model_name(event.model)}", _attempt_key(event)
        self._begin(
            event,
            key,
            name,
            {**labels, **more},
            kind=SpanKind.CLIENT,
            metric=names.OPERATION_DURATION,
            labels=labels,
            is_current=True,
        )
        headers: dict[str, str] = {}
        inject(headers, context=trace.set_span_in_context(self._open[key].span, self._outer))
        trace_headers.set(headers)

    def _attempt_finished(self, event: events.AttemptFinished) -> None:
        trace_headers.set({})
        session = self._sessions[event.session_id]
        session.usage, session.usd = session.usage + event.usage, session.usd + event.cost_usd
        found = self._open.get(_attempt_key(event))
        if found is None:
            return
        if event.outcome == "settled":
            self._instruments.charged(event.usage, event.cost_usd, found.labels)
            found.span.set_attribute(names.RESPONSE_MODEL, names.model_name(event.model))
        self._set(_attempt_key(event), {names.OUTCOME: event.outcome} | _charged(event.usage, event.cost_usd))
        if event.error is None:
            self._hold(event, found)
        else:
            kind, _, message = event.error.partition(": ")
            self._fail(_attempt_key(event), kind, message, at_s=event.at_s)

    def _hold(self, event: events.AttemptFinished, found: _OpenSpan) -> None:
        """Keep the span of a request that was answered until the event that has the reply."""
        del self._open[_attempt_key(event)]
        if found.detach is not None:
            found.detach()
        self._end_answered(event.key)
        self._instruments.took(found.metric, event.at_s - found.began_s, found.labels)
        self._answered[event.key] = found.span, max(event.at_s, found.began_s)

    def _end_answered(self, key: str, attributes: Mapping[str, Any] = MappingProxyType({})) -> None:
        held = self._answered.pop(key, None)
        if held is not None:
            span, ended_s = held
            span.set_attributes(dict(attributes))
            span.end(_ns(ended_s))

    # Cells, host calls and sub-calls.
    def _cell_started(self, event: events.CellStarted) -> None:
        if event.cell.by == "engine":
            return
        labels = {names.OPERATION: names.EXECUTE_TOOL, names.TOOL_NAME: names.PYTHON}
        more: dict[str, Any] = {names.TOOL_TYPE: "function", names.CELL_INDEX: event.cell.index}
        if self._content:
            more[names.TOOL_ARGUMENTS] = json_text({"code": event.cell.code})
        self._begin(
            event,
            self._cell_key(event),
            f"{names.EXECUTE_TOOL} {names.PYTHON}",
            {**labels, **more},
            metric=names.TOOL_DURATION,
            labels=labels,
        )

    def _cell_executed(self, event: events.CellExecuted) -> None:
        key, execution = self._cell_key(event), event.execution
        self._set(key, {names.CELL_OUTCOME: execution.outcome})
        if self._content:
            shown = {"stdout": execution.stdout, "stderr": execution.stderr, "value": execution.value_repr}
            self._set(key, {names.TOOL_RESULT: json_text(shown)})
        if execution.outcome == "ok":
            self._end(event, key)
        else:
            error = execution.error
            kind, message = (error.type, error.message) if error is not None else (execution.outcome, "")
            self._fail(key, kind, message, at_s=event.at_s)

    def _call_started(self, event: events.HostCallStarted) -> None:
        labels = {names.OPERATION: names.EXECUTE_TOOL, names.TOOL_NAME: event.function}
        more = {names.TOOL_TYPE: "function", names.TOOL_CALL_ID: event.key}
        if self._content:
            more[names.TOOL_ARGUMENTS] = json_text({"arguments": event.arguments, "keywords": dict(event.keywords)})
        self._begin(
            event,
            event.key,
            f"{names.EXECUTE_TOOL} {event.function}",
            {**labels, **more},
            metric=names.TOOL_DURATION,
            labels=labels,
            is_current=True,
        )

    def _call_finished(self, event: events.HostCallFinished) -> None:
        if self._content and event.ended == "done":
            self._set(event.key, {names.TOOL_RESULT: json_text(event.value)})
        self._end_effect(event)

    def _subcall_started(self, event: events.SubcallStarted) -> None:
        if self._content:
            self._asked[event.key] = event.prompt
        attributes = {names.SUBCALL_NUMBER: event.number, names.REQUEST_MODEL: names.model_name(event.model)}
        self._begin(event, event.key, f"{names.SUBCALL_SPAN} {event.function}", attributes)

    def _reply_from_cache(self, event: events.ReplyFromCache) -> None:
        self._set(event.key, {names.FROM_CACHE: True})

    def _subcall_finished(self, event: events.SubcallFinished) -> None:
        self._asked.pop(event.key, None)
        said: dict[str, Any] = {}
        if self._content and event.ended == "done":
            said[names.OUTPUT_MESSAGES] = reply_json(event.text, "stop")
        self._end_answered(event.key, said)
        self._set(event.key, {names.COST_USD: float(event.cost_usd)})
        self._end_effect(event)

    def _end_effect(self, event: events.HostCallFinished | events.SubcallFinished) -> None:
        if event.ended == "done":
            self._end(event, event.key)
        else:
            kind = _CANCELLED if event.ended == "cancelled" else event.error_type or "_OTHER"
            self._fail(event.key, kind, event.error or "", at_s=event.at_s)

    # Spans.
    def _begin(
        self,
        event: Event,
        key: str,
        name: str,
        attributes: Mapping[str, Any],
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        metric: str = "",
        labels: Mapping[str, Any] = MappingProxyType({}),
        is_current: bool = False,
    ) -> None:
        parent = self._parent_of(event, key)
        span = self._tracer.start_span(
            name, context=parent, kind=kind, attributes=dict(attributes), start_time=_ns(event.at_s)
        )
        found = self._open[key] = _OpenSpan(span, event.at_s, metric, labels)
        if is_current:
            found.detach = _attached(trace.set_span_in_context(span, parent))

    def _parent_of(self, event: Event, key: str) -> Any:
        """Return the context of the nearest span above a path; of the session's question, where none is open."""
        above = key
        while (cut := above.rfind("/")) > 0:
            above = above[:cut]
            if above in self._open:
                return trace.set_span_in_context(self._open[above].span, self._outer)
        question = self._question_key(event)
        if key == question or question in self._open:
            return self._outer
        self._note_question(event.session_id, key)
        question = self._begin_question(event, resumed=True)  # it began in a process before this one
        return trace.set_span_in_context(self._open[question].span, self._outer)

    def _set(self, key: str, attributes: Mapping[str, Any]) -> None:
        if key in self._open:
            self._open[key].span.set_attributes(dict(attributes))

    def _end(self, event: Event, key: str, attributes: Mapping[str, Any] = MappingProxyType({})) -> None:
        self._set(key, attributes)
        self._close(key, event.at_s, {})

    def _fail(self, key: str, error_type: str, message: str, *, at_s: float = math.nan) -> None:
        found = self._open.get(key)
        if found is None:
            return
        found.span.set_attribute(names.ERROR_TYPE, error_type)
        found.span.set_status(StatusCode.ERROR, message if self._content or _is_limit(error_type) else error_type)
        self._close(key, at_s, {names.ERROR_TYPE: error_type})

    def _close(self, key: str, at_s: float, labels: Mapping[str, Any]) -> None:
        found = self._open.pop(key, None)
        if found is None:
            return
        if found.detach is not None:
            found.detach()
        if math.isnan(at_s):
            found.span.end()
            return
        found.span.end(_ns(max(at_s, found.began_s)))
        if found.metric:
            self._instruments.took(found.metric, at_s - found.began_s, {**found.labels, **labels})

    def _question_key(self, event: Event) -> str:
        return key_of(event.session_id, self._sessions[event.session_id].question)

    def _turn_key(self, event: Event, turn: int) -> str:
        return key_of(self._question_key(event), turn)

    def _cell_key(self, event: events.CellStarted | events.CellExecuted) -> str:
        return key_of(self._turn_key(event, event.cell.turn), event.cell.index)

    def _note_question(self, session_id: str, key: str) -> None:
        """Take the number of a session's question from the path of something in it, where the record told of it."""
        number = key[len(session_id) + 1 :].partition("/")[0]
        if not self._sessions[session_id].question and number.isdecimal():
            self._sessions[session_id].question = int(number)


def _attached(context: Any) -> Callable[[], None]:
    """Make a context the current one of the running task; return what undoes that, in the same task only."""
    task, token = asyncio.current_task(), otel_context.attach(context)

    def detach() -> None:
        if asyncio.current_task() is task:
            otel_context.detach(token)

    return detach


def _attempt_key(event: events.AttemptStarted | events.AttemptFinished) -> str:
    return key_of(event.key, f"attempt-{event.model}-{event.attempt}")


def _charged(usage: Usage, usd: Decimal) -> dict[str, Any]:
    found = {
        names.INPUT_TOKENS: usage.input_tokens,
        names.OUTPUT_TOKENS: usage.output_tokens,
        names.CACHE_READ_TOKENS: usage.cached_input_tokens,
        names.CACHE_CREATION_TOKENS: usage.cache_write_tokens,
        names.REASONING_TOKENS: usage.reasoning_tokens,
    }
    always = (names.INPUT_TOKENS, names.OUTPUT_TOKENS)
    return {name: count for name, count in found.items() if count or name in always} | {names.COST_USD: float(usd)}


def _is_limit(error_type: str) -> bool:
    """Return True for an error whose message is of rlmbox's own making and has nothing of a text in it."""
    kind = getattr(errors, error_type, None)
    return isinstance(kind, type) and issubclass(kind, errors.LimitExceeded)


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
