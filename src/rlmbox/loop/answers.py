"""The answer to a question, in any of the forms in which a model may submit it, and the rules that it must pass.

In order of precedence within a turn: a call of `FINAL`, `SUBMIT` or `FINAL_VAR` in code, the `answer`
dictionary with `ready` set by code, the variable named by `auto_finalize_var`, a final tag in the reply's text.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

from rlmbox.context import Context
from rlmbox.context.json_parts import json_parts
from rlmbox.errors import ContextError, RLMError
from rlmbox.loop.bindings import binds
from rlmbox.loop.final_answer import FinalAnswer
from rlmbox.loop.long_texts import off_loop
from rlmbox.loop.observation import missing_variable
from rlmbox.loop.task import Task
from rlmbox.reply.code import program
from rlmbox.reply.final_call import read_argument
from rlmbox.reply.parse import Final, mentions_answer_dict, parse_reply
from rlmbox.sandboxes.worker._values import TOO_DEEP
from rlmbox.types import Cell, CellError, Execution, HostFunction, Source

MAX_SOURCES = 50
_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)
_QUOTED = re.compile(r"`([^`\n]{3,300})`|\"([^\"\n]{8,300})\"|“([^”\n]{8,300})”")
_LIKE_ITERATOR = re.compile(r"<[\w.]+ object( <?[\w.<>]+)?>")
_OF_HANDLE = re.compile(r"<\w[\w ]*(?: of|:) (?:[\d,]+ characters|the context|\w+; go)")
_OF_TABLE = re.compile(r"<\w+ of [\d,]+ (?:rows and [\d,]+ columns|values)>")
_IS_SHOWN = (
    "[isinstance(each, (list, tuple, dict, set)) or (isinstance(each, str) and len(each) != {length}) "
    "for each in [{value}]]"
)
_TOO_LONG = "it is or holds a text that is too long for one value here: answer with a part of it, such as context[:500]"
_TOO_MANY_ROWS = (
    "it is {table}, too long to be an answer by its name: answer with what matters of it, such as head(100)"
)
_SETS_ANSWER = re.compile(  # a key is short: without a bound, time would be quadratic
    r"ready|\banswer\b\s*(?:\[[^\]\n]{0,80}\]\s*)*[-+*/|]?=(?!=)|\banswer\.(?:update|setdefault)\b"
)
_KEPT = "_answer_value"
_IS_READY = "isinstance(answer, dict) and answer.get('ready') is True"
_CONTENT = "answer['content']"
_EMPTY = "The answer is empty. Give it in words: FINAL(your answer)."
_FAILED = (
    "The final answer is an expression that does not work: {error}. Compute it in a ```repl block first; an answer in "
    "words is written in quotes."
)
_FAILED_VARIABLE = "The variable {name!r} cannot be the final answer: {error}. Set one that can be, and answer with it."


AnswerRule = Callable[[Task, FinalAnswer], Awaitable[str | None]]
"""Judges a proposed answer: None accepts it; a string is what the model is told in place of an end."""


@dataclass(frozen=True, slots=True)
class _Called:
    value: object = None
    variable: str | None = None
    sources: Sequence[Any] = ()
    is_of_variable: bool = False
    several: Sequence[Any] = ()  # one for each field, where that many were asked for
    is_cited: bool = False  # the second of two was read as sources


class Namespace(Protocol):
    """Read access to the session's REPL for answers, with cells that the engine itself runs."""

    @property
    def host(self) -> Mapping[str, object]:
        """The functions that code may call, by name."""

    async def evaluate(self, code: str) -> Execution:
        """Evaluate an expression and return the execution."""

    def without_calls(self) -> AbstractContextManager[None]:
        """Refuse calls of host functions while an answer is looked at, except those that only read the context."""

    async def variables(self) -> Mapping[str, str]:
        """Return the variables, each with a short description."""


class AnswerRules:
    """The functions with which code submits an answer, and the conclusion of each turn.

    Args:
        auto_finalize_var: Name of a variable that ends a question as soon as code has set it to something.
        strict: Accept only `FINAL("literal")` and `FINAL_VAR(identifier)` in the reply's text.
        approves: True if somebody sees code before it runs.
        rules: Rules that an answer must pass, in order.
    """

    def __init__(
        self,
        auto_finalize_var: str | None = None,
        *,
        strict: bool = False,
        approves: bool = False,
        rules: Sequence[AnswerRule] = (),
    ) -> None:
        self._auto = auto_finalize_var
        self._strict, self._approves = strict, approves
        self._rules = tuple(rules)
        self._called: _Called | None = None
        self._judged: tuple[type, str] | None = None  # the last answer in the dictionary

    def functions(self) -> tuple[HostFunction, ...]:
        """Return the functions with which code submits an answer, which the prompt describes in prose."""
        if self._strict:
            return ()
        return (
            HostFunction("FINAL", self._final, "ends with an answer", is_answer=True),
            HostFunction("SUBMIT", self._final, "ends with an answer", is_answer=True),
            HostFunction("FINAL_VAR", self._final_var, "ends with the value of a variable", is_answer=True),
        )

    def variables(self) -> dict[str, object]:
        """Return the variables with which code submits an answer."""
        return {} if self._strict else {"answer": {"content": "", "ready": False}}

    def forget(self) -> None:
        """Discard an answer that code submitted in a turn that was not concluded."""
        self._called = None

    async def judge(self, task: Task, proposed: FinalAnswer) -> str | None:
        """Return the correction to send to the model, or None if the answer passes every rule.

        Args:
            task: The question.
            proposed: The answer.
        """
        is_none = proposed.value is None and not (task.returns is not None and task.returns.takes_none)
        if not self._strict and (is_none or not proposed.text.strip()):
            return _EMPTY
        for rule in self._rules:
            correction = await rule(task, proposed)
            if correction is not None:
                return correction
        return None

    async def of_turn(
        self, namespace: Namespace, cells: Sequence[Cell], final: Final | None, *, fields: Sequence[str] = ()
    ) -> FinalAnswer | str | None:
        """Return the answer of a turn.

        Args:
            namespace: The REPL in which the turn's cells ran.
            cells: The cells that ran.
            final: The final tag in the reply's text, or None if it does not count.
            fields: Names of the fields that were asked for, in order; none for an answer of another type.

        Returns:
            The answer; or a correction for the model if the name it gave does not work; or None for no answer.
        """
        # An iterator that is an answer may hold calls that would be made only now.
        with namespace.without_calls() if self._strict else nullcontext():
            return await self._of_turn(namespace, cells, final, fields)

    async def _of_turn(
        self, namespace: Namespace, cells: Sequence[Cell], final: Final | None, fields: Sequence[str]
    ) -> FinalAnswer | str | None:
        called, self._called = self._called, None
        if called is not None:
            return await self._of_call(namespace, _by_field(called, fields), cells)
        found = None if self._strict else await self._of_answer_dict(namespace, cells)
        if found is None and self._auto is not None and any(binds(cell.code, self._auto) for cell in cells):
            set_to = await _variable(namespace, self._auto, ())
            found = set_to if isinstance(set_to, FinalAnswer) and set_to.value not in (None, "") else None
        return found if found is not None or final is None else await self._of_tag(namespace, final)

    async def last_word(self, namespace: Namespace, text: str, *, prose: bool) -> FinalAnswer | None:
        """Return the answer in the last reply of a question that a limit has ended; its code does not run.

        Args:
            namespace: The REPL with the session's variables.
            text: The reply.
            prose: True if words without a final tag are an answer, because one was asked for.
        """
        reply = await off_loop(parse_reply, text)
        final = reply.final or (reply.draft if prose else None)
        if final is None:
            words = reply.thought.strip()
            return FinalAnswer(words, words) if words and prose and not reply.cells else None
        if reply.cells and not prose:
            return None  # it refers to results that do not exist
        if self._may_not_run(namespace, final):
            return FinalAnswer(final.text, final.value, final.sources) if final.kind == "text" else None
        try:
            with namespace.without_calls():
                found = await self._of_tag(namespace, final)
        except RLMError:
            # The REPL is gone because of the limit: words in the tag are the best available.
            return FinalAnswer(final.text, final.value) if final.kind == "text" else None
        return found if isinstance(found, FinalAnswer) and found.text.strip() else None

    def _may_not_run(self, namespace: Namespace, final: Final) -> bool:
        """Return whether the tag of a last reply, which nobody approves, may not be evaluated."""
        if self._strict:
            return final.kind == "expression"
        return bool(final.code) and (self._approves or not _host_names(namespace).isdisjoint(final.names))

    async def _of_call(self, namespace: Namespace, called: _Called, cells: Sequence[Cell]) -> FinalAnswer | str:
        if called.variable is None:
            if called.is_of_variable and _is_written(called.value, cells):  # FINAL_VAR("found['total']")
                final, problem = read_argument("FINAL_VAR", repr(called.value))
                final = final and replace(final, sources=tuple(called.sources))
                return await self._of_tag(namespace, final) if final else problem
            value = _content(called.value)
            return FinalAnswer(await off_loop(value_as_text, value), value, called.sources)
        written = _is_written(called.variable, cells)
        # FINAL_VAR(result) passes the value of `result`; a word that no code has assigned, such as `max`, is no name.
        if not written and called.variable not in await namespace.variables():
            return FinalAnswer(called.variable, called.variable, called.sources)
        return await _variable(namespace, called.variable, called.sources)

    async def _of_answer_dict(self, namespace: Namespace, cells: Sequence[Cell]) -> FinalAnswer | str | None:
        if not any(mentions_answer_dict(cell.code) for cell in cells):
            return None
        execution = await namespace.evaluate("answer")
        answer = execution.value
        # Shown as text if it contains a text that is too long for a value.
        if execution.error is None and not (isinstance(answer, str) and _OF_HANDLE.search(answer)):
            if not (isinstance(answer, Mapping) and answer.get("ready") is True):
                return None
            value = answer.get("content", "")
            words = await off_loop(value_as_text, value)
            judged, self._judged = self._judged, (type(value), words)
            if self._judged == judged and not any(_SETS_ANSWER.search(cell.code) for cell in cells):
                return None  # `ready` is still set, and this code does no more than print(answer)
            if TOO_DEEP not in words and not _is_like_iterator(value):
                return FinalAnswer(words, value)
        elif (await namespace.evaluate(_IS_READY)).value is not True:
            return None
        # As a whole it may be too large or too deep although its content is not; an iterator is to be consumed.
        execution = await _value_of(namespace, _CONTENT)
        if execution.error is not None:
            error = f"{execution.error.type}: {execution.error.message}"
            return _FAILED_VARIABLE.format(name=_CONTENT, error=error)
        return FinalAnswer(await off_loop(value_as_text, execution.value), execution.value)

    async def _of_tag(self, namespace: Namespace, final: Final) -> FinalAnswer | str:
        if final.kind == "variable":
            return await _variable(namespace, final.name, final.sources)
        if final.kind == "expression":
            execution = await _value_of(namespace, final.text)
            if execution.error is not None:
                return _FAILED.format(error=f"{execution.error.type}: {execution.error.message}")
            return FinalAnswer(await off_loop(value_as_text, execution.value), execution.value, final.sources)
        if final.names and not self._strict and await self._is_of_repl(namespace, final):
            # FINAL(result) beside code that sets `result` means its value.
            execution = await _value_of(namespace, final.text)
            if execution.error is None:
                value = _content(execution.value)
                return FinalAnswer(await off_loop(value_as_text, value), value, final.sources)
            return _FAILED.format(error=f"{execution.error.type}: {execution.error.message}")
        return FinalAnswer(final.text, final.value, final.sources)

    async def _is_of_repl(self, namespace: Namespace, final: Final) -> bool:
        """Return whether the names in words that are Python are variables, or functions that they call."""
        known = {*await namespace.variables(), *self.variables()}
        if "(" in final.text:
            known |= _host_names(namespace)
        return set(final.names) <= known

    def _final(self, /, *answers: Any, sources: Any = None, **fields: Any) -> None:
        if not answers and "answer" in fields:
            answers = (fields.pop("answer"),)
        if len(answers) > 1:
            cited = _listed(answers[1]) if len(answers) == 2 and sources is None and not fields else None
            if cited is None:
                value, several = [*answers, *([fields] if fields else [])], () if fields else answers
                self._called = _Called(value, sources=_read_sources(sources), several=several)
            else:
                self._called = _Called(answers[0], sources=cited, several=answers, is_cited=True)
        elif fields:  # SUBMIT(total=3, name="x") is an answer with these fields
            given = {"answer": answers[0]} if answers else {}
            listed = _listed(sources)
            given |= {} if sources is None or listed else {"sources": sources}
            self._called = _Called(given | fields, sources=listed or ())
        else:
            self._called = _Called(answers[0] if answers else "", sources=_read_sources(sources))

    def _final_var(self, name: Any, sources: Any = None) -> None:
        listed = _read_sources(sources)
        if isinstance(name, str) and name.isidentifier():
            self._called = _Called(variable=name, sources=listed)
        else:
            # Code often passes the variable itself instead of its name; what it holds is what was meant.
            self._called = _Called(name, sources=listed, is_of_variable=isinstance(name, str))


def _by_field(called: _Called, fields: Sequence[str]) -> _Called:
    """Return `SUBMIT(3, "x")` for two fields as an answer with these; `SUBMIT({"a": 3, "b": "x"}, sources)` is one."""
    is_whole = called.is_cited and isinstance(called.value, Mapping) and not called.value.keys().isdisjoint(fields)
    if is_whole or not called.several or len(called.several) != len(fields):
        return called
    return _Called(dict(zip(fields, called.several, strict=True)), sources=() if called.is_cited else called.sources)


def _listed(sources: object) -> Sequence[Any] | None:
    """Return sources as a list, also where only one was given; None where they are something else."""
    if sources is None:
        return ()
    if isinstance(sources, Mapping):
        sources = [sources] if _span(sources)[0] is not None else None
    elif isinstance(sources, list | tuple) and _span(sources)[0] is not None:
        sources = [sources]
    return sources if isinstance(sources, list | tuple) else None


def _read_sources(sources: object) -> Sequence[Any]:
    listed = _listed(sources)
    if listed is None:  # FINAL_VAR("total", 5)
        raise TypeError("sources are a list of hits or (start, end) pairs; several answers are one list")
    return listed


def _host_names(namespace: Namespace) -> set[str]:
    """Return the names by which code calls functions of the host: `ctx` for all of its methods."""
    return {name.partition(".")[0] for name in namespace.host}


def _content(value: object) -> object:
    """Return the content of the dictionary `answer` if that is the value, as in `FINAL(answer)`; else the value."""
    return value["content"] if isinstance(value, Mapping) and value.keys() == {"content", "ready"} else value


def _is_written(name: object, cells: Sequence[Cell]) -> bool:
    """Return whether code calls FINAL_VAR with this literal text, and not with a variable."""
    trees = (program(cell.code) for cell in cells if "FINAL_VAR" in cell.code)
    calls = (node for tree in trees if tree is not None for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(
        isinstance(call.func, ast.Name)
        and call.func.id == "FINAL_VAR"
        and any(isinstance(part, ast.Constant) and part.value == name for part in call.args[:1])
        for call in calls
    )


def _is_like_iterator(value: object) -> bool:
    return isinstance(value, str) and _LIKE_ITERATOR.fullmatch(value) is not None


async def _value_of(namespace: Namespace, expression: str) -> Execution:
    """Evaluate the expression of an answer: as in a call of `FINAL`, an iterator becomes the list of its items.

    As a cell's last expression, a text too long for one value is shown as a notice, alone or in a list; such a notice
    is no answer.
    """
    if "(" in expression:  # calls are made once, however often the value is looked at
        execution = await namespace.evaluate(f"({_KEPT} := ({expression}\n))")
        expression = _KEPT
    else:
        execution = await namespace.evaluate(expression)
    if isinstance(execution.value, str) and _OF_HANDLE.search(execution.value):
        is_shown = _IS_SHOWN.format(value=expression, length=len(execution.value))
        if (await namespace.evaluate(is_shown)).value == [True]:
            return replace(execution, value=None, error=CellError("TypeError", _TOO_LONG, f"TypeError: {_TOO_LONG}"))
    if isinstance(execution.value, str) and (table := _OF_TABLE.fullmatch(execution.value)):
        problem = _TOO_MANY_ROWS.format(table=table[0])
        return replace(execution, value=None, error=CellError("ValueError", problem, f"ValueError: {problem}"))
    if not _is_like_iterator(execution.value):
        return execution
    is_one = await namespace.evaluate(f"[iter(each) is each for each in [{expression}]]")
    if is_one.value not in ([True], True):  # records made before this was a list have True
        return execution
    return await namespace.evaluate(f"[item for item in ({expression})]")


async def _variable(namespace: Namespace, name: str, sources: Sequence[Any]) -> FinalAnswer | str:
    """Return a variable's value, or a hint for the model if there is no such variable."""
    execution = await _value_of(namespace, name)
    if execution.error is None:
        value = _content(execution.value)
        return FinalAnswer(await off_loop(value_as_text, value), value, sources)
    variables = await namespace.variables()
    if name in variables:  # it exists but cannot be returned: the error says why
        return _FAILED_VARIABLE.format(name=name, error=f"{execution.error.type}: {execution.error.message}")
    return missing_variable(name, variables)


def value_as_text(value: object) -> str:
    """Return a value as text: a string as it is, everything else as JSON.

    Args:
        value: A JSON value.
    """
    return value if isinstance(value, str) else "".join(json_parts(value, _ENCODER))


def checked_sources(answer: FinalAnswer, context: Context) -> tuple[Source, ...]:
    """Return the positions in the context that support an answer.

    Sources that the model named count if they are positions in the text; without any, a quotation in the answer
    counts if the text contains it verbatim.

    Args:
        answer: The answer.
        context: The text.
    """
    found: dict[tuple[str, int, int], Source] = {}
    for item in answer.sources[:MAX_SOURCES]:
        start, end = _span(item)
        if start is not None and 0 <= start < end <= context.length:
            source = context.locate(start, end)
            found[source.document, source.start, source.end] = source
    if not found:
        quotes = ["".join(groups) for groups in _QUOTED.findall(answer.text[:20_000])]
        whole = answer.text.strip()
        for quote in dict.fromkeys([whole] * (8 <= len(whole) <= 2_000) + quotes[:10]):
            try:
                sources = context.find_quote(quote, limit=1)
            except (ContextError, ValueError):
                continue
            found.update({(source.document, source.start, source.end): source for source in sources})
    return tuple(found.values())


def _span(item: Any) -> tuple[int | None, int]:
    """Return a position given by code: a match with `start` and `end`, or a pair."""
    if isinstance(item, Mapping):
        item = (item.get("start"), item.get("end"))
    if isinstance(item, list | tuple) and len(item) == 2 and all(type(part) is int for part in item):
        return item[0], item[1]
    return None, 0
