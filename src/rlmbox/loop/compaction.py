"""Compaction: the middle of a long conversation is replaced by a digest, and that is recorded.

The compaction of a turn is an effect like a request: its key is `session/question/turn/compact`, and a resumed run puts
the recorded digest in the recorded place, whatever this version of rlmbox would write.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rlmbox.errors import ConfigError, RLMError
from rlmbox.events import CompactionStarted, EffectEnded, Ended, HistoryCompacted
from rlmbox.guard import nonce_of, quote
from rlmbox.loop.bridge import ended_with, recorded_error
from rlmbox.loop.digest import TurnNote, digest_of, heading, note_of, variables_in_words
from rlmbox.loop.history import History
from rlmbox.loop.scope import Scope
from rlmbox.loop.task import Task
from rlmbox.models.base import Model
from rlmbox.record.journal import Effect
from rlmbox.record.keys import key_of
from rlmbox.reply.thoughts import split_thought
from rlmbox.requests.state import model_state_of
from rlmbox.types import Message, Turn

HISTORY_SHARE = 0.6
"""The part of a model's window that a conversation may take where nobody set `max_history_tokens`."""

_MOST_SHARE = 0.75  # above this share there may be no room for a reply, and requests would be truncated
_TAIL_SHARE, _DIGEST_SHARE = 0.25, 0.4
_LEAST_DIGEST_CHARS = 800
_CHARS_PER_TOKEN = 4
_NOTED_CHARS = 20_000  # of a question; a digest contains less of it
_MOST_SUMMARY_TOKENS = 2_048
_SUMMARY = (
    "Below is the middle of a conversation in which you answer a question by writing code in a REPL. It is about to "
    "be replaced by your digest. Write the digest in at most {words} words, as notes to yourself: every figure, name "
    "and quote that was found, which variable holds what, what was tried and failed, and what is still to do. Reply "
    "with the digest only.\n\nVariables: {variables}\n\n{talk}"
)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The part of a conversation that a digest replaces.

    Attributes:
        notes: Every turn and question that is no longer in the conversation, including those of earlier digests.
        messages: The messages that are removed from the conversation now; the first may be the previous digest.
        count: Number of messages removed so far, including those of earlier digests.
        variables: The variables of the REPL, each with a short description.
        room_chars: Maximum length of the digest in characters.
        quoted: Encloses the output of code in delimiters that no text can forge.
        ask: Asks the session's model within its budget, and returns its reply; may be called once.
    """

    notes: tuple[TurnNote, ...]
    messages: tuple[Message, ...]
    count: int
    variables: Mapping[str, str]
    room_chars: int
    quoted: Callable[[str], str]
    ask: Callable[[str], Awaitable[str]]


Compaction = Callable[[LeftOut], str | Awaitable[str]]
"""Writes the digest of what is left out of a conversation; plain or async."""


def plain_digest(left_out: LeftOut) -> str:
    """Write a digest without a model: variables, and what each turn did and printed.

    Args:
        left_out: The part of the conversation that the digest replaces.
    """
    return digest_of(
        left_out.notes,
        left_out.variables,
        left_out=left_out.count,
        room_chars=left_out.room_chars,
        quoted=left_out.quoted,
    )


async def model_digest(left_out: LeftOut) -> str:
    """Have the session's model write the digest; if it cannot, write it without a model.

    Args:
        left_out: The part of the conversation that the digest replaces.
    """
    listed = variables_in_words(left_out.variables, left_out.room_chars // 4)
    talk = "\n\n".join(f"[{message.role}]\n{message.content}" for message in left_out.messages)
    words = max(left_out.room_chars // 8, 100)
    try:
        written = await left_out.ask(_SUMMARY.format(words=words, variables=listed, talk=talk))
    except RLMError:
        return plain_digest(left_out)
    head = heading(left_out.notes, left_out.count)
    room = max(left_out.room_chars - len(head) - len(listed), _LEAST_DIGEST_CHARS)
    written = split_thought(written)[1].strip()
    return f"{head}\n{listed}\n{written[:room]}" if written else plain_digest(left_out)


COMPACTIONS: Mapping[str, Compaction] = {"digest": plain_digest, "model": model_digest}
"""The compactions that go by a name."""


def compaction_from(given: str | Compaction) -> Compaction:
    """Return the compaction with a name, or a user's own function unchanged.

    Args:
        given: A name, or a function that writes digests.

    Raises:
        ConfigError: There is no compaction with that name.
    """
    if callable(given):
        return given
    if str(given) not in COMPACTIONS:
        raise ConfigError(f"there is no compaction {given!r}; there are {', '.join(COMPACTIONS)}")
    return COMPACTIONS[given]


class Compactor:
    """Keeps one session's conversation within its token limit.

    Args:
        scope: The session.
        model: Its model.
        compaction: Writes the digests.
        max_tokens: Maximum tokens of the conversation; None for 60 % of the model's window.
    """

    def __init__(self, scope: Scope, model: Model, compaction: Compaction, max_tokens: int | None = None) -> None:
        self._scope = scope
        self._model = model
        self._compaction = compaction
        self._max_tokens = max_tokens
        self._state = model_state_of(model)
        self._tokens = self._state.tokens
        self._notes: list[TurnNote] = []

    @property
    def max_tokens(self) -> int:
        """Maximum tokens of the conversation, by the estimate used for requests."""
        window = self._state.window_tokens(self._model)
        if self._max_tokens is None:
            return int(HISTORY_SHARE * window)
        return min(self._max_tokens, int(_MOST_SHARE * window))

    def note_question(self, task: Task, at: int) -> None:
        """Note a question for later digests.

        Args:
            task: The question.
            at: Index of its message among all messages of the session.
        """
        self._notes.append(TurnNote(task.number, 0, at, " ".join(task.question[:_NOTED_CHARS].split())))

    def note_turn(self, task: Task, turn: Turn, at: int) -> None:
        """Note a finished turn for later digests.

        Args:
            task: Its question.
            turn: The turn.
            at: Index of its reply among all messages of the session.
        """
        self._notes.append(note_of(task.number, turn, turn.observation.text if turn.observation else "", at))

    def note_answer(self, text: str) -> None:
        """Note that the last turn submitted an answer.

        Args:
            text: The answer.
        """
        self._notes[-1] = replace(self._notes[-1], answer=" ".join(text[:_NOTED_CHARS].split()))

    async def keep_within(
        self, history: History, task: Task, variables: Callable[[], Awaitable[Mapping[str, str]]]
    ) -> int | None:
        """Replace the middle of the conversation if it has become too long, or if the record has a replacement.

        Args:
            history: The conversation.
            task: The current question.
            variables: Returns the REPL's variables, each with a short description.

        Returns:
            The number of messages at the beginning that are unchanged; None if nothing was replaced.
        """
        turn = len(task.turns) + 1
        path = key_of(self._scope.session_id, task.number, turn)
        past = self._scope.run.journal.past
        key = key_of(path, "compact")
        is_live = past.end(key) is None
        if is_live:
            if self._scope.run.journal.is_sealed or past.end(key_of(path, "request")) is not None:
                return None  # the turn was taken with the conversation uncompacted
            await history.messages.measure_ahead()
            before = self._tokens.likely(history.messages)
            if before <= self.max_tokens:
                return None
        first_kept = history.middle(int(_TAIL_SHARE * self.max_tokens), self._tokens.likely_text)
        if is_live and first_kept is None:
            return None
        compacted = await self._recorded(history, task, key, first_kept or 0, variables)
        return history.compact(compacted.first_kept, compacted.digest)

    async def _recorded(
        self,
        history: History,
        task: Task,
        key: str,
        first_kept: int,
        variables: Callable[[], Awaitable[Mapping[str, str]]],
    ) -> HistoryCompacted:
        turn, messages = len(task.turns) + 1, history.messages
        before = self._tokens.likely(messages)
        tale = self._scope.tells("THOUGHT", self._model.name, key)

        def event(**fields: Any) -> HistoryCompacted:
            made: HistoryCompacted = self._scope.event(
                HistoryCompacted, "THOUGHT", key=key, turn=turn, cost_usd=tale.cost_usd, **fields
            )
            return made

        async def ask(prompt: str) -> str:
            reply = await self._scope.run.calls.complete(
                self._model,
                [Message("user", prompt)],
                account=task.account,
                max_output_tokens=min(_MOST_SUMMARY_TOKENS, task.limits.max_output_tokens),
                tell=tale.tell,
                whole=True,
                reuse=False,
            )
            return reply.completion.text

        def quoted(text: str) -> str:
            return quote(text, nonce_of(self._scope.session_id, (key, text)))

        async def make() -> HistoryCompacted:
            shown = messages[2:first_kept]
            until = history.said - len(messages) + first_kept
            notes = tuple(note for note in self._notes if note.at < until)
            left_out = LeftOut(notes, shown, until - 2, await variables(), self._room_chars(messages), quoted, ask)
            text = self._scope.guard.told(await self._written(left_out), self._model.name)
            after = self._tokens.likely([*messages[:2], Message("user", text), *messages[first_kept:]])
            return event(
                first_kept=first_kept, digest=text, left_out=len(shown), before_tokens=before, after_tokens=after
            )

        def failed(error: BaseException, ended: Ended) -> EffectEnded:
            return event(**ended_with(error, ended))

        began = self._scope.event(
            CompactionStarted, "THOUGHT", key=key, turn=turn, messages=len(messages), tokens=before
        )
        return await self._scope.run.journal.once(Effect(began, lambda made: made, failed, _loaded), make)

    async def _written(self, left_out: LeftOut) -> str:
        try:
            written = self._compaction(left_out)
            text: object = await written if inspect.isawaitable(written) else written
        except RLMError:
            raise
        except Exception as error:
            raise ConfigError(f"compaction raised {type(error).__name__}: {error}") from error
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f"compaction returns the digest, a text, not {text!r}"[:200])
        return text

    def _room_chars(self, messages: Sequence[Message]) -> int:
        """Return the maximum characters of a digest, by the average token length of this conversation."""
        chars = sum(len(message.content) for message in messages)
        per_token = min(chars / max(self._tokens.likely(messages), 1), _CHARS_PER_TOKEN)
        return max(math.floor(_DIGEST_SHARE * self.max_tokens * per_token), _LEAST_DIGEST_CHARS)


def _loaded(event: EffectEnded) -> HistoryCompacted:
    if not isinstance(event, HistoryCompacted) or event.ended != "done":
        raise recorded_error(event)
    return event
