"""The guard: one object that every text passes on its way out of the sandbox.

`Guard` is the policy, created once; `RunGuard` is its state in one run: the table of placeholders, and what of the
context has been shown. A session and its children share one `RunGuard`.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from itertools import accumulate
from typing import Any, Literal, get_args

from rlmbox.context import Context
from rlmbox.errors import ConfigError
from rlmbox.guard.blobs import binary_name, encoded_blobs
from rlmbox.guard.bounds import MAX_MARKER_CHARS, OutputBounds, bounded, joined, split
from rlmbox.guard.copying import CopyBudgets, CopyGuard, CopyVerdict
from rlmbox.guard.detecting import built_in, is_plain, run_detector, warm
from rlmbox.guard.findings import Detector, Finding, FindingEffect, without_overlaps
from rlmbox.guard.known import KnownSecrets
from rlmbox.guard.normalizing import normalize
from rlmbox.guard.placeholders import PLACEHOLDER_BEGIN, Placeholders, placeholder
from rlmbox.guard.results import Checked, News, Shown
from rlmbox.guard.visible import make_visible
from rlmbox.threads import start_background

Policy = Literal["off", "redact", "strict"]
GuardPath = Literal["observation", "subcall", "question", "tool", "answer", "approval", "export"]

_MARGIN_CHARS = 8_192
"""Looked at beyond what is shown, so that a secret is whole where the output is cut."""

# A secret of several lines, such as the body of a private key, ends at two empty lines, and no word crosses them.
_BETWEEN = "\n\n\n"
_BATCH_TEXTS, _BATCH_TEXT_CHARS = 200, 200


@dataclass(frozen=True, slots=True)
class _PathRules:
    """The rules of a path besides redaction.

    Attributes:
        copies: The budget against which verbatim context is counted; empty for none.
        is_bounded: Whether length is limited.
        is_read: Whether a model or a person reads it as text, so that control characters and blobs are made visible;
            otherwise, as in the argument of a tool, it is data and unchanged.
    """

    copies: Literal["", "shown", "given"] = ""
    is_bounded: bool = False
    is_read: bool = False


_PATHS: Mapping[str, _PathRules] = {
    "observation": _PathRules("shown", is_bounded=True, is_read=True),
    "subcall": _PathRules("given", is_read=True),
    "question": _PathRules("given", is_read=True),
    "tool": _PathRules("shown"),
    "answer": _PathRules(),
    "approval": _PathRules(is_read=True),
    "export": _PathRules(),
}


class Guard:
    """Decides what may leave the sandbox.

    Args:
        policy: `redact` hides secrets and personal data and limits how much of the context is shown verbatim; `strict`
            also hides digests, and allows little of the context to be shown and a quarter of it to sub-models; `off`
            hides nothing. Under all of them, length is limited and binary data is described instead of shown.
        detectors: Additional detectors.
        allow: What stays visible: literal values, regardless of case, or compiled patterns that match a whole value.
        ignore: Kinds that stay visible, such as `phone`.
        known_secrets: Secrets of this host, to be hidden in any encoding.
        budgets: How much of the context may be shown verbatim; by default according to the policy.
        bounds: How much output is shown.
        per_model: Policies by pattern of the model's name; the first match applies.
        per_path: Policies by path, which take precedence over those of models.

    Raises:
        ConfigError: A policy or a path does not exist.
    """

    def __init__(
        self,
        policy: Policy = "redact",
        *,
        detectors: Iterable[Detector] = (),
        allow: Iterable[str | re.Pattern[str]] = (),
        ignore: Iterable[str] = (),
        known_secrets: Iterable[str] = (),
        budgets: CopyBudgets | None = None,
        bounds: OutputBounds | None = None,
        per_model: Mapping[str, Policy] | None = None,
        per_path: Mapping[GuardPath, Policy] | None = None,
    ) -> None:
        self.policy = policy
        self.bounds = bounds or OutputBounds()
        self._own = tuple(detectors)
        self._allowed = _allowed_by(allow)
        self._ignored = frozenset(ignore)
        self._known_values = tuple(known_secrets)
        self._budgets = budgets
        self._per_model = dict(per_model or {})
        self._per_path = {str(path): each for path, each in (per_path or {}).items()}
        for each in (policy, *self._per_model.values(), *self._per_path.values()):
            _check_policy(each)
        for path in self._per_path:
            _rules(path)

    def __repr__(self) -> str:
        return f"<Guard {self.policy}>"

    @property
    def is_ever_on(self) -> bool:
        """True if some path or model has a policy other than `off`."""
        return any(each != "off" for each in (self.policy, *self._per_model.values(), *self._per_path.values()))

    def settings(self) -> dict[str, object]:
        """Return the policies as a JSON value, for the record of a run."""
        return {"policy": self.policy, "per_model": dict(self._per_model), "per_path": dict(self._per_path)}

    def policy_for(self, path: GuardPath, model: str | None = None) -> Policy:
        """Return the policy on a path to a model.

        Args:
            path: The path of the text.
            model: The model that will read it; None if none does.
        """
        if path in self._per_path:
            return self._per_path[path]
        matching = (each for pattern, each in self._per_model.items() if model and fnmatchcase(model, pattern))
        return next(matching, self.policy)

    def budgets_for(self, policy: Policy) -> CopyBudgets:
        """Return the budgets under a policy for showing the context verbatim."""
        if self._budgets is not None:
            return self._budgets
        return CopyBudgets.strict() if policy == "strict" else CopyBudgets()

    def for_run(
        self, context: Context | None = None, *, others: Iterable[Context] = (), known_secrets: Iterable[str] = ()
    ) -> RunGuard:
        """Return the guard of one run, shared by its sessions.

        Args:
            context: The text that may not be copied out; None if there is none.
            others: Further such texts.
            known_secrets: Secrets of this run, in addition to those of the guard.
        """
        copying = CopyGuard(context, others) if context is not None else None
        return RunGuard(self, copying, KnownSecrets((*self._known_values, *known_secrets)))

    def findings(self, text: str, known: KnownSecrets | None = None, *, policy: Policy | None = None) -> list[Finding]:
        """Return what is to be hidden or warned about in a text, in order.

        Args:
            text: The text.
            known: Additional secrets.
            policy: The policy on digests; by default the guard's own.
        """
        normalized = normalize(text)
        is_strict = (policy or self.policy) == "strict"
        plain = is_plain(normalized.text, is_strict)
        # Of two detectors with the same finding, the first one names it, so the most reliable come first.
        detectors = [known, *self._own, *(() if plain else built_in(is_strict))]
        found = [
            Finding(each.kind, *normalized.original_span(each.start, each.end), _effect(each), why=each.why)
            for detector in detectors
            if detector is not None
            for each in run_detector(detector, normalized.text)
            if each.kind not in self._ignored and not self._allowed(normalized.text[each.start : each.end])
        ]
        return without_overlaps(found)

    @property
    def has_own_detectors(self) -> bool:
        """True if there are detectors in addition to the built-in ones."""
        return bool(self._own)

    def warm(self) -> None:
        """Compile and import what is otherwise compiled and imported on first use."""
        warm(self.policy == "strict")


class RunGuard:
    """The state of a guard in one run, from `Guard.for_run`. Thread-safe."""

    def __init__(self, guard: Guard, copying: CopyGuard | None, known: KnownSecrets) -> None:
        self.guard = guard
        self._known = known
        self._placeholders = Placeholders()
        self._copying = copying
        self._lock = threading.Lock()
        self._turns: dict[str, tuple[int | None, int]] = {}
        self._sessions: Counter[str] = Counter()
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._totals: Counter[str] = Counter()
        self._news: dict[str, News] = {}
        self._put_off: deque[Callable[[], None]] = deque()
        self._put_off_lock = threading.RLock()
        self._catches_up = False

    def put_off(self, look: Callable[[], None]) -> None:
        """Defer a check until just before the next decision, if any; deferred checks keep their order.

        Args:
            look: Calls the guard.
        """
        self._put_off.append(look)

    def prepare(self) -> None:
        """Begin to compile patterns and to index the context in threads, so that the first output is not delayed."""
        if not self.guard.is_ever_on:
            return
        start_background(self.guard.warm, "rlmbox-guard")
        if self._copying is not None:
            self._copying.prepare(self.guard.budgets_for(self.guard.policy))

    def release(self) -> None:
        """Release the index of the context; checks after the run rebuild it."""
        if self._copying is not None:
            self._copying.release()

    def check(
        self,
        text: str,
        *,
        path: GuardPath,
        model: str | None = None,
        session: str = "",
        turn: int | None = None,
        max_chars: int | None = None,
        dropped_chars: int = 0,
    ) -> Checked:
        """Return the part of a text that may leave.

        Args:
            text: The text.
            path: Its path.
            model: The model that will read it; None if none does.
            session: Its session.
            turn: Its turn in the session. Outputs of one turn share a limit; without a number each has its own.
            max_chars: A limit for this text alone, if narrower than that of the path.
            dropped_chars: Number of characters dropped from its middle before.

        Raises:
            ConfigError: The path does not exist, or a user's detector failed.
        """
        self._catch_up()
        rules = _rules(path)
        policy = self.guard.policy_for(path, model)
        room = self._room(session, turn) if rules.is_bounded else None
        if max_chars is not None:
            room = max_chars if room is None else min(room, max_chars)
        shown, findings, hidden_chars = self._redacted(text, policy, rules, room, dropped_chars)
        verdict = self._copied(shown, policy, rules, session, turn)
        if verdict.cut_at is not None:
            shown = "\n".join(part for part in (shown[: verdict.cut_at].rstrip(), verdict.message) if part)
        if rules.is_read:
            shown = make_visible(shown)
        slack = _MARGIN_CHARS if max_chars is None else MAX_MARKER_CHARS + len(verdict.message)
        if room is not None and len(shown) > room + slack:
            # Escapes are longer than the characters they represent; that matters if there are many.
            shown, more = bounded(shown, room, self.guard.bounds.head_share)
            hidden_chars += more
        checked = Checked(
            shown, findings, verdict.copied_chars, hidden_chars, verdict.message, verdict.reason, shown != text
        )
        self._count(checked, path, rules, session, turn)
        return checked

    def show(
        self,
        text: str,
        *,
        max_chars: int,
        dropped_chars: int = 0,
        model: str | None = None,
        session: str = "",
        turn: int | None = None,
    ) -> Shown:
        """Return what a model may see of an output, with the notice of a cut separate from it; see `check`."""
        checked = self.check(
            text,
            path="observation",
            model=model,
            session=session,
            turn=turn,
            max_chars=max_chars,
            dropped_chars=dropped_chars,
        )
        kept = checked.text.removesuffix(checked.cut_message).rstrip("\n") if checked.cut_message else checked.text
        return Shown(kept, checked.hidden_chars, checked.cut_message)

    def secrets_in(self, text: str) -> list[Finding]:
        """Return what is to be hidden in a text when it is stored, whatever the policy for models.

        Args:
            text: The text.
        """
        policy: Policy = "strict" if self.guard.policy == "strict" else "redact"
        return self.guard.findings(text, self._known, policy=policy)

    def suspects(self, texts: Iterable[str]) -> set[str]:
        """Return those of many short texts in which `secrets_in` may find something; in the others it finds nothing.

        They are searched together, in an eighth of the time. A user's detector may depend on texts being separate, so
        with one of those every text is a suspect.

        Args:
            texts: The texts.
        """
        kept = list(texts)
        if self.guard.has_own_detectors:
            return set(kept)
        found = {each for each in kept if len(each) > _BATCH_TEXT_CHARS or len(each.splitlines()) > 1}
        short = [each for each in kept if each not in found]
        for first in range(0, len(short), _BATCH_TEXTS):
            batch = short[first : first + _BATCH_TEXTS]
            starts = [0, *accumulate(len(each) + len(_BETWEEN) for each in batch)]
            for each in self.secrets_in(_BETWEEN.join(batch)):
                touched = range(bisect_right(starts, each.start) - 1, bisect_left(starts, each.end))
                found.update(batch[place] for place in touched)
        return found

    def redact_again(self, text: str, *, path: GuardPath, model: str | None = None) -> str:
        """Return a text composed of checked ones, with anything hidden that passed the checks of its parts.

        Nothing is counted, limited or cut.

        Args:
            text: The text.
            path: Its path.
            model: The model that will read it; None if none does.
        """
        self._catch_up()
        return self._replaced(text, self.guard.policy_for(path, model), _PathRules())[0]

    def restore(self, text: str) -> str:
        """Return a text for the user, with this run's placeholders replaced by their values."""
        if PLACEHOLDER_BEGIN not in text:
            return text
        self._catch_up()
        return self._placeholders.restore(text)

    def restore_value(self, value: object) -> object:
        """Return a JSON value for the user, with this run's placeholders replaced by their values."""
        return each_text(value, self.restore)

    def report(self) -> dict[str, object]:
        """Return what was hidden in the run and why, as a JSON value without the values."""
        self._catch_up()
        with self._lock:
            by_kind: dict[str, dict[str, int]] = {}
            for (path, kind, effect), number in sorted(self._counts.items()):
                by_kind.setdefault(f"{kind} {effect}", {})[path] = number
            return {
                "policy": self.guard.policy,
                "findings": by_kind,
                "different_values": self._placeholders.counts(),
                "copied_chars": self._copying.shown_chars if self._copying else 0,
                "given_to_subcalls_chars": self._copying.given_chars if self._copying else 0,
                "cuts": self._totals["cuts"],
                "hidden_chars": self._totals["hidden_chars"],
            }

    def news(self, session: str) -> dict[str, Any] | None:
        """Return the findings in a session since the last call, for an event; None for nothing.

        Args:
            session: The session.
        """
        with self._lock:
            news = self._news.pop(session, None)
        return news.as_fields() if news is not None else None

    def _catch_up(self) -> None:
        """Run deferred checks before anything else; their own calls of the guard are not deferred."""
        if not self._put_off:
            return
        with self._put_off_lock:
            if self._catches_up:
                return
            self._catches_up = True
            try:
                while self._put_off:
                    self._put_off[0]()
                    self._put_off.popleft()  # only now, so that other threads wait for its end
            finally:
                self._catches_up = False

    def _redacted(
        self, text: str, policy: Policy, rules: _PathRules, room: int | None, dropped_chars: int
    ) -> tuple[str, tuple[Finding, ...], int]:
        """Return the text, limited and redacted, with its findings and the number of characters hidden for length."""
        if rules.is_read and (named := binary_name(text)):
            return named, (Finding("binary", 0, len(text), "named", why="bytes that are no text"),), dropped_chars
        if room is None or len(text) <= room + 2 * _MARGIN_CHARS:
            # If redaction makes it short enough, all of the rest is shown.
            shown, findings = self._replaced(text, policy, rules)
            most = len(shown) if room is None or len(text) <= room else room
            shown, hidden_chars = bounded(shown, most, self.guard.bounds.head_share, dropped_chars)
            return shown, tuple(findings), hidden_chars
        head_chars, tail_chars = split(room, self.guard.bounds.head_share)
        tail_at = len(text) - tail_chars
        head, first = self._replaced(text[: head_chars + _MARGIN_CHARS], policy, rules, end=head_chars)
        begin = tail_at - _MARGIN_CHARS
        tail, last = self._replaced(text[begin:], policy, rules, start=_MARGIN_CHARS)
        last = [replace(each, start=each.start + begin, end=each.end + begin) for each in last]
        shown, hidden_chars = joined(head, text[head_chars:tail_at], tail, dropped_chars)
        return shown, (*first, *last), hidden_chars

    def _replaced(
        self, text: str, policy: Policy, rules: _PathRules, *, start: int = 0, end: int | None = None
    ) -> tuple[str, list[Finding]]:
        """Return a range of a text with placeholders, and the findings in it.

        The text around the range is searched, too, so that a secret cut by the range is recognised; it is not returned.
        """
        end = len(text) if end is None else end
        blobs = list(encoded_blobs(text)) if rules.is_read else []
        found = [blob for blob, _ in blobs]
        if policy != "off":
            found += self.guard.findings(text, self._known, policy=policy)
            if self._copying is not None and rules.copies:
                find = partial(self.guard.findings, known=self._known, policy=policy)
                found += self._copying.cut_secrets(text, find)
        pieces: list[str] = []
        numbered: list[Finding] = []
        at = start
        for each in without_overlaps(found):
            if each.end <= start or each.start >= end:
                continue
            number, instead = self._instead(text, each, blobs)
            if instead is not None:
                pieces += (text[at : each.start], instead)
                at = each.end
            numbered.append(replace(each, number=number))
        return "".join((*pieces, text[at:end])), numbered

    def _instead(self, text: str, found: Finding, blobs: list[tuple[Finding, str]]) -> tuple[int, str | None]:
        """Return a finding's number and its replacement; None if it stays."""
        if found.effect == "warned":
            return 0, None
        if found.effect == "named":
            return 0, next(described for blob, described in blobs if found.start <= blob.start < found.end)
        number = self._placeholders.number(found.kind, text[found.start : found.end])
        return number, placeholder(found.kind, number)

    def _room(self, session: str, turn: int | None) -> int:
        """Return the number of characters of output that a turn may still show."""
        bounds = self.guard.bounds
        with self._lock:
            number, used = self._turns.get(session, (None, 0))
            used = used if turn is not None and number == turn else 0
            left = bounds.session_chars - (self._sessions[session] - used)
        return max(0, min(bounds.turn_chars, max(bounds.least_chars, left)) - used)

    def _copied(self, text: str, policy: Policy, rules: _PathRules, session: str, turn: int | None) -> CopyVerdict:
        if self._copying is None or policy == "off" or not rules.copies:
            return CopyVerdict()
        budgets = self.guard.budgets_for(policy)
        if rules.copies == "given":
            return self._copying.given(text, budgets)
        return self._copying.shown(text, budgets, session=session, turn=turn)

    def _count(self, checked: Checked, path: str, rules: _PathRules, session: str, turn: int | None) -> None:
        with self._lock:
            for finding in checked.findings:
                self._counts[path, finding.kind, finding.effect] += 1
            self._totals["cuts"] += bool(checked.cut_message)
            self._news.setdefault(session, News()).add(checked, path)
            self._totals["hidden_chars"] += checked.hidden_chars
            if rules.is_bounded:
                number, used = self._turns.get(session, (None, 0))
                used = used if turn is not None and number == turn else 0
                self._turns[session] = turn, used + len(checked.text)
                self._sessions[session] += len(checked.text)


def each_text(value: object, change: Callable[[str], str]) -> object:
    """Return a JSON value with each of its texts, including keys, replaced.

    Args:
        value: The value.
        change: Returns the replacement of a text.
    """
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [each_text(item, change) for item in value]
    if isinstance(value, dict):
        return {each_text(key, change): each_text(item, change) for key, item in value.items()}
    return value


def _rules(path: str) -> _PathRules:
    if path not in _PATHS:
        raise ConfigError(f"{path!r} is not a path of the guard; choose one of {', '.join(_PATHS)}")
    return _PATHS[path]


def _check_policy(policy: str) -> None:
    if policy not in get_args(Policy):
        raise ConfigError(f"{policy!r} is not a policy of the guard; choose one of {', '.join(get_args(Policy))}")


def _effect(found: Finding) -> FindingEffect:
    return "warned" if found.effect == "warned" else "hidden"  # only blobs are replaced by a description


def _allowed_by(allow: Iterable[str | re.Pattern[str]]) -> Callable[[str], bool]:
    values, patterns = set(), []
    for each in allow:
        if isinstance(each, str):
            values.add(each.casefold())
        else:
            patterns.append(each)
    return lambda value: value.casefold() in values or any(each.fullmatch(value) for each in patterns)
