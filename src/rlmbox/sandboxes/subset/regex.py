"""The `re` module of a cell: RE2 does the matching, and results are presented as by Python's `re`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

import re2

from rlmbox.sandboxes.subset.errors import LimitReached
from rlmbox.sandboxes.subset.long_text import LongText, needs_whole
from rlmbox.sandboxes.subset.meter import TEXT_PER_STEP, Meter
from rlmbox.sandboxes.subset.regex_direct import directly
from rlmbox.sandboxes.subset.regex_findall import DirectMatches, NonEmptyMatches, Search, Span, decoded, literals
from rlmbox.sandboxes.subset.regex_translate import MAX_POSITIONS, SubsetPattern, positions, translate, unsupported

Found = list[Span]

_ALLOWED = re.IGNORECASE | re.MULTILINE | re.DOTALL | re.VERBOSE | re.ASCII | re.UNICODE
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_BRACKETS = 100
_POSITIONS_PER_WEIGHT = 500
_MATCH_BYTES = 250
_TAKEN_TOGETHER = 64
_TAKEN_BYTES = 1 << 16
_KEPT_CHARS = 10_000
_MEMORY_BYTES = 2 << 20  # of a compiled pattern, and of RE2's cache between searches
_UNANCHORED = re2._Anchor.UNANCHORED  # noqa: SLF001 - the package has no public way to search from a position
_ANCHORED = re2._Anchor.ANCHOR_START  # noqa: SLF001
_NONE = (-1, -1)
_EMPTY_HINT = "write the pattern so that it matches at least one character, with + for *"


class Subject:
    """A text to search, in the form that RE2 reads.

    Attributes:
        text: The text.
        data: Its bytes.
        wide: Whether byte and character positions differ.
    """

    __slots__ = ("_byte", "_char", "data", "text", "wide")

    def __init__(self, text: str | bytes) -> None:
        self.text = text
        self._byte = self._char = 0
        if isinstance(text, bytes):
            self.data, self.wide = text, False
            return
        self.wide = not text.isascii()
        try:
            self.data = text.encode()
        except UnicodeEncodeError:  # neither a lone surrogate nor its replacement is a letter
            self.data = _SURROGATE.sub("\ufffd", text).encode()

    def byte(self, position: int) -> int:
        """Return the byte position of a character."""
        if not self.wide:
            return position
        return len(self.data) - len(str(self.text[position:]).encode("utf-8", "replace")) if position else 0

    def char(self, position: int) -> int:
        """Return the character position of a byte; fast for ascending positions."""
        if not self.wide:
            return position
        if position < self._byte:
            self._byte = self._char = 0
        self._char += len(self.data[self._byte : position].decode())
        self._byte = position
        return self._char

    def part(self, span: Span) -> Any:
        """Return the text between two byte positions."""
        part = self.data[span[0] : span[1]]
        return part if isinstance(self.text, bytes) else part.decode()

    def before(self, position: int) -> int:
        """Return the byte position of the preceding character."""
        position -= 1
        while position > 0 and self.wide and self.data[position] & 0xC0 == 0x80:
            position -= 1
        return max(0, position)

    def after(self, position: int) -> int:
        """Return the byte position of the following character."""
        position += 1
        while position < len(self.data) and self.wide and self.data[position] & 0xC0 == 0x80:
            position += 1
        return position


class Match:
    """A match of a pattern, like Python's `re.Match`.

    Attributes:
        text: The text that was searched.
        spans: Position of each group in characters; -1 for a group that took no part.
        names: Numbers of the named groups.
    """

    __slots__ = ("names", "spans", "text")

    def __init__(self, text: Any, spans: Found, names: dict[str, int]) -> None:
        self.text, self.spans, self.names = text, spans, names

    def _number(self, group: Any) -> int:
        if group.__class__ is str:
            group = self.names.get(group, -1)
        if group.__class__ not in (int, bool) or not 0 <= group < len(self.spans):
            raise IndexError("no such group")
        return int(group)

    def __getitem__(self, group: Any) -> Any:
        first, last = self.spans[self._number(group)]
        return None if first < 0 else self.text[first:last]

    def group(self, *groups: Any) -> Any:
        """Return one group, or several as a tuple."""
        if len(groups) > 1:
            return tuple(self[group] for group in groups)
        return self[groups[0] if groups else 0]

    def groups(self, default: Any = None) -> tuple[Any, ...]:
        """Return all groups except the whole match."""
        found = (self[number] for number in range(1, len(self.spans)))
        return tuple(default if group is None else group for group in found)

    def groupdict(self, default: Any = None) -> dict[str, Any]:
        """Return the named groups."""
        return {name: default if self[number] is None else self[number] for name, number in self.names.items()}

    def start(self, group: Any = 0) -> int:
        """Return the start of a group."""
        return self.spans[self._number(group)][0]

    def end(self, group: Any = 0) -> int:
        """Return the end of a group."""
        return self.spans[self._number(group)][1]

    def span(self, group: Any = 0) -> Span:
        """Return the start and end of a group."""
        return self.spans[self._number(group)]

    def __repr__(self) -> str:
        return f"<re.Match object; span={self.spans[0]!r}, match={self[0]!r:.50}>"

    def parts(self) -> Sequence[Any]:
        """Return the values that this one refers to."""
        return (self.text,)


Match.__name__ = Match.__qualname__ = "Match"


class _Program:
    """A pattern translated and compiled for one kind of text."""

    __slots__ = ("_first", "_longest", "_pattern", "_regexp", "translation")

    def __init__(self, translation: SubsetPattern, is_bytes: bool) -> None:
        self.translation = translation
        self._pattern: str | bytes = translation.text
        if is_bytes:  # the largest character is 255
            self._pattern = translation.text.replace(r"\x{10ffff}", r"\x{ff}").encode("latin-1")
        self._regexp = _compiled(self._pattern, longest=False)
        self._first = _compiled(translation.first, longest=False) if translation.first else None
        self._longest: Any = None

    def search(self, subject: Subject, position: int, *, anchored: bool = False) -> Found | None:
        """Return the first match from a position on, in byte positions."""
        translation, data = self.translation, subject.data
        if self._first is not None:
            if not position:
                found = self._first.Match(_ANCHORED, data, 0, len(data))
                if found[0] != _NONE or anchored:
                    return _clipped(found, translation) if found[0] != _NONE else None
            position = subject.before(position)
        found = self._regexp.Match(_ANCHORED if anchored else _UNANCHORED, data, position, len(data))
        if found[0] == _NONE:
            return None
        if not translation.starts and not translation.ends:
            return found  # type: ignore[no-any-return]
        return _clipped(found, translation)

    def searcher(self, subject: Subject) -> Search:
        """Return a function that searches a text from a byte on; without a match the first span is negative."""
        if not self.translation.starts and not self.translation.ends:
            return partial(self._regexp.Match, _UNANCHORED, subject.data)
        return lambda position, _: self.search(subject, position) or [_NONE]

    def matches_more(self, subject: Subject, position: int) -> bool:
        """Return whether a match at a position can be longer than an empty one."""
        if self.translation.starts or self.translation.ends:
            return False
        if self._longest is None:
            self._longest = _compiled(self._pattern, longest=True)
        found = self._longest.Match(_ANCHORED, subject.data, position, len(subject.data))
        return bool(found[0] != _NONE and found[0][1] > position)


def _compiled(pattern: str | bytes, *, longest: bool) -> Any:
    options = re2.Options()
    options.longest_match = longest
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES
    if isinstance(pattern, bytes):
        options.encoding = re2.Options.Encoding.LATIN1
    try:
        return re2.compile(pattern, options)._regexp  # noqa: SLF001 - see above
    except re2.error as error:
        reason = error.args[0] if error.args else b""
        said = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        what = f"something that the linear engine refuses ({said[:80]})"
        raise unsupported(what, "write it with less repetition") from None


def _clipped(found: Found, translation: SubsetPattern) -> Found:
    """Remove the characters that were only matched as context from a match."""
    first = max([found[0][0], *(found[mark][1] for mark in translation.starts)])
    last = min([found[0][1], *(found[mark][0] for mark in translation.ends if found[mark] != _NONE)])
    return [(-1, -1) if span == _NONE else (max(span[0], first), min(span[1], last)) for span in found]


class Pattern:
    """A compiled pattern.

    Args:
        pattern: The pattern, as for Python's `re`.
        flags: Flags of `re`.

    Raises:
        re.error: It is not a valid regular expression.
        Refusal: RE2 cannot match it.
    """

    __slots__ = (
        "_programs",
        "_tree",
        "direct",
        "flags",
        "groups",
        "literal",
        "may_be_empty",
        "names",
        "pattern",
        "weight",
    )

    def __init__(self, pattern: str | bytes, flags: int) -> None:
        if (pattern.count("(") if isinstance(pattern, str) else pattern.count(b"(")) > _MAX_BRACKETS:
            raise LimitReached(
                f"a pattern may have at most {_MAX_BRACKETS} groups", hint="use several patterns", limit="pattern"
            )
        self.pattern = pattern
        try:
            self._tree = _parser.parse(pattern, flags)
        except RecursionError:
            raise LimitReached("the pattern is nested too deeply", limit="pattern") from None
        self.flags = self._tree.state.flags
        self.names: dict[str, int] = dict(self._tree.state.groupdict)
        self.groups = self._tree.state.groups - 1
        self._programs: dict[tuple[bool, bool, bool, bool], _Program] = {}
        size = positions(self._tree)
        if size > MAX_POSITIONS:
            raise unsupported("more repetition than the linear engine takes", "write it with less repetition")
        self.weight = 1 + size // _POSITIONS_PER_WEIGHT
        self.may_be_empty: bool = self._tree.getwidth()[0] == 0
        self.literal = self._literal()
        self.direct = directly(self._tree, self.flags, is_bytes=isinstance(pattern, bytes))

    def _literal(self) -> str | bytes:
        """Return the only text that the pattern matches; empty if it matches others."""
        if self.flags & re.IGNORECASE or any(op is not _constants.LITERAL for op, _ in self._tree):
            return self.pattern[:0]
        codes = [code for _, code in self._tree]
        return bytes(codes) if isinstance(self.pattern, bytes) else "".join(map(chr, codes))

    def program(self, subject: Subject, *, whole: bool = False) -> _Program:
        """Return the program that matches a text."""
        key = (subject.wide, subject.data.endswith(b"\n"), whole, not subject.data)
        if key not in self._programs:
            flags = self.flags | (re.ASCII if isinstance(self.pattern, bytes) else 0)
            translation = translate(
                list(self._tree), flags, self.groups, wide=key[0], final_newline=key[1], whole=whole, empty=key[3]
            )
            self._programs[key] = _Program(translation, isinstance(self.pattern, bytes))
        return self._programs[key]

    def __repr__(self) -> str:
        shown = repr(self.pattern)[:200]
        flags = re.RegexFlag(self.flags & ~re.UNICODE)
        return f"re.compile({shown}, {flags!r})" if flags else f"re.compile({shown})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and (self.pattern, self.flags) == (other.pattern, other.flags)

    def __hash__(self) -> int:
        return hash((self.pattern, self.flags))


Pattern.__name__ = Pattern.__qualname__ = "Pattern"


@lru_cache(maxsize=16)
def _pattern_of(pattern: str | bytes, flags: int, _: type) -> Pattern:
    return Pattern(pattern, flags)


class Engine:
    """The functions of `re`, for one session.

    Args:
        meter: Counts the work.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._last: Subject | None = None

    def compile(self, pattern: Any, flags: Any = 0) -> Pattern:
        """Compile a pattern."""
        if pattern.__class__ is Pattern:
            if flags:
                raise ValueError("cannot process flags argument with a compiled pattern")
            return pattern
        if pattern.__class__ not in (str, bytes):
            raise TypeError("first argument must be string or compiled pattern")
        if not isinstance(flags, int):
            raise TypeError(f"flags must be an int, not {flags.__class__.__name__}")
        longest = self._meter.limits.pattern_chars
        if len(pattern) > longest:
            raise LimitReached(
                f"a pattern may have at most {longest:,} characters",
                hint="use several patterns, or allow more with the setting `pattern_chars`",
                limit="pattern",
            )
        if flags & ~int(_ALLOWED):
            raise unsupported("this flag", "use IGNORECASE, MULTILINE, DOTALL, VERBOSE or ASCII")
        self._meter.spend(1 + len(pattern) // 50)
        return _pattern_of(pattern, int(flags), pattern.__class__)

    def _subject(self, pattern: Pattern, text: Any) -> Subject:
        if text.__class__ is LongText:
            raise needs_whole("re", text)
        if text.__class__ not in (str, bytes):
            raise TypeError(f"expected string or bytes-like object, got '{text.__class__.__name__}'")
        if text.__class__ is not pattern.pattern.__class__:
            kinds = ("bytes", "string") if text.__class__ is str else ("string", "bytes")
            raise TypeError(f"cannot use a {kinds[0]} pattern on a {kinds[1]}-like object")
        self._meter.spend(1 + len(text) * pattern.weight // TEXT_PER_STEP)
        if self._last is not None and self._last.text is text:
            return self._last
        if len(text) < _KEPT_CHARS:
            return Subject(text)
        self._meter.take(len(text) * (1 if text.isascii() else 3))
        self._last = Subject(text)
        return self._last

    def _whole(self, pattern: Pattern, text: Any, pos: Any, endpos: Any) -> tuple[Subject, int]:
        """Return the text to search, and the byte position to start from."""
        if endpos is not None:
            text = text[: max(0, _index(endpos))]
        subject = self._subject(pattern, text)
        if pos is None:
            return subject, 0
        place = min(max(0, _index(pos)), len(subject.text))
        return subject, subject.byte(place)

    def _match(self, pattern: Pattern, subject: Subject, found: Found | None) -> Match | None:
        if found is None:
            return None
        self._meter.take(_MATCH_BYTES)
        if pattern.groups or subject.wide or len(found) > 1:
            groups = self._groups(pattern, subject, found)
            edges = sorted({edge for span in groups for edge in span if edge >= 0})
            places = {-1: -1, **{edge: subject.char(edge) for edge in edges}}
            found = [(places[first], places[last]) for first, last in groups]
        return Match(subject.text, found, pattern.names)

    def _groups(self, pattern: Pattern, subject: Subject, found: Found) -> Found:
        if pattern.groups + 1 == len(found):
            return found
        numbers = pattern.program(subject).translation.groups
        return [found[0], *(found[number] for number in numbers[1:])]

    # ---- functions of the module and methods of a pattern -----------------------------------------------------

    def search(self, pattern: Any, string: Any, flags: Any = 0, pos: Any = None, endpos: Any = None) -> Match | None:
        """Return the first match."""
        compiled = self.compile(pattern, flags)
        subject, start = self._whole(compiled, string, pos, endpos)
        return self._match(compiled, subject, compiled.program(subject).search(subject, start))

    def match(self, pattern: Any, string: Any, flags: Any = 0, pos: Any = None, endpos: Any = None) -> Match | None:
        """Return the match at the start."""
        compiled = self.compile(pattern, flags)
        subject, start = self._whole(compiled, string, pos, endpos)
        return self._match(compiled, subject, compiled.program(subject).search(subject, start, anchored=True))

    def fullmatch(self, pattern: Any, string: Any, flags: Any = 0, pos: Any = None, endpos: Any = None) -> Match | None:
        """Return the match of the whole text."""
        compiled = self.compile(pattern, flags)
        subject, start = self._whole(compiled, string, pos, endpos)
        program = compiled.program(subject, whole=True)
        found = program.search(subject, start, anchored=True)
        if found is not None and len(found) != compiled.groups + 1:
            found = [found[0], *(found[number] for number in program.translation.groups[1:])]
        return self._match(compiled, subject, found)

    def _all(self, pattern: Pattern, subject: Subject, position: int = 0) -> Iterator[Found]:
        """Iterate over matches as `re` does: an empty one may follow a non-empty one, but not at the same position."""
        program, end = pattern.program(subject), len(subject.data)
        meter, search = self._meter, program.searcher(subject)
        while position <= end:
            found = search(position, end)
            first, last = found[0]
            if first < 0:
                return
            meter.steps = steps = meter.steps + 1
            if steps > meter.stop_at:
                meter.overdrawn()
            yield found
            position = last
            if first == last:
                if program.matches_more(subject, position):
                    raise unsupported("a part that may match nothing where it could match something", _EMPTY_HINT)
                position = subject.after(position)

    def finditer(self, pattern: Any, string: Any, flags: Any = 0, pos: Any = None, endpos: Any = None) -> Iterator[Any]:
        """Iterate over the matches."""
        compiled = self.compile(pattern, flags)
        subject, start = self._whole(compiled, string, pos, endpos)
        return (self._match(compiled, subject, found) for found in self._all(compiled, subject, start))

    def findall(self, pattern: Any, string: Any, flags: Any = 0, pos: Any = None, endpos: Any = None) -> list[Any]:
        """Return the matching texts, or their groups."""
        compiled = self.compile(pattern, flags)
        subject, start = self._whole(compiled, string, pos, endpos)
        if compiled.literal and not start:
            return literals(subject.text, compiled.literal, self._meter)
        chosen = compiled.program(subject).translation.groups[1:] or (0,)
        if compiled.may_be_empty:
            return self._find_empty_too(compiled, subject, start, chosen)
        found: list[Any] = []
        self._meter.held.append(found)
        if compiled.direct is not None:
            for batch in DirectMatches(compiled.direct, subject.text, self._meter).batches(subject.char(start)):
                found.extend(batch)
        else:
            source: Any = subject.data if subject.wide else subject.text
            several = len(chosen) > 1
            matches = NonEmptyMatches(compiled.program(subject).searcher(subject), source, chosen, self._meter)
            for batch in matches.batches(start):
                texts = decoded(batch, several=several) if subject.wide else batch
                found.extend(map(tuple, texts) if several else texts)
        self._meter.held.pop()
        return found

    def _find_empty_too(self, pattern: Pattern, subject: Subject, start: int, chosen: tuple[int, ...]) -> list[Any]:
        found: list[Any] = []
        self._meter.held.append(found)
        empty = subject.text[:0]
        size = 0
        for spans in self._all(pattern, subject, start):
            size += 72 * len(chosen) + sum(last - first for first, last in map(spans.__getitem__, chosen))
            if not len(found) % _TAKEN_TOGETHER or size > _TAKEN_BYTES:
                self._meter.take(size)
                size = 0
            parts = [empty if spans[each] == _NONE else subject.part(spans[each]) for each in chosen]
            found.append(parts[0] if len(chosen) == 1 else tuple(parts))
        self._meter.take(size)
        self._meter.held.pop()
        return found

    def split(self, pattern: Any, string: Any, maxsplit: Any = 0, flags: Any = 0) -> list[Any]:
        """Return the parts between the matches."""
        compiled = self.compile(pattern, flags)
        subject = self._subject(compiled, string)
        numbers = compiled.program(subject).translation.groups[1:]
        found: list[Any] = []
        self._meter.held.append(found)
        at, most = 0, _index(maxsplit)
        if most >= 0:
            for number, spans in enumerate(self._all(compiled, subject), 1):
                self._meter.take(72 * (1 + len(numbers)) + spans[0][1] - at)
                found.append(subject.part((at, spans[0][0])))
                found.extend(None if spans[each] == _NONE else subject.part(spans[each]) for each in numbers)
                at = spans[0][1]
                if number == most:
                    break
        self._meter.take(len(subject.data) - at)
        found.append(subject.part((at, len(subject.data))))
        self._meter.held.pop()
        return found

    def sub(self, pattern: Any, repl: Any, string: Any, count: Any = 0, flags: Any = 0) -> Any:
        """Return the text with its matches replaced by a string, or by the result of a function."""
        compiled = self.compile(pattern, flags)
        subject = self._subject(compiled, string)
        most = _index(count)
        constant = self._constant(compiled, repl)
        if most < 0:
            return string
        if constant is not None and compiled.literal:
            return self._replace(string, compiled.literal, constant, most)
        fill = (lambda _: constant) if constant is not None else self._filler(compiled, subject, repl)
        parts: list[Any] = []
        self._meter.held.append(parts)
        at, size = 0, 0
        empty = string[:0]
        for number, spans in enumerate(self._all(compiled, subject), 1):
            filled = fill(spans)
            if filled.__class__ is not empty.__class__:
                raise TypeError(f"sequence item {len(parts)}: expected str instance, {filled.__class__.__name__} found")
            size += spans[0][0] - at + len(filled)
            self._meter.check_room(size)
            self._meter.take(spans[0][0] - at + (150 if filled is repl else 150 + len(filled)))
            parts += (subject.part((at, spans[0][0])), filled)
            at = spans[0][1]
            if number == most:
                break
        if not parts:
            self._meter.held.pop()
            return string
        parts.append(subject.part((at, len(subject.data))))
        self._meter.make_text(size + len(parts[-1]), subject.wide or any(not part.isascii() for part in parts))
        self._meter.held.pop()
        return empty.join(parts)

    def _replace(self, text: Any, literal: Any, repl: Any, most: int) -> Any:
        """Return a text with the occurrences of a literal replaced."""
        count = text.count(literal)
        if most:
            count = min(count, most)
        if not count:
            return text
        self._meter.spend(count)
        wide = not (text.isascii() and repl.isascii())
        self._meter.make_text(len(text) + count * (len(repl) - len(literal)), wide)
        return text.replace(literal, repl, count)

    def _constant(self, pattern: Pattern, repl: Any) -> Any:
        """Return the replacement of all matches; None if it depends on the match."""
        if repl.__class__ not in (str, bytes):
            if not callable(repl):
                raise TypeError(f"decoding to str: need a bytes-like object, {repl.__class__.__name__} found")
            return None
        if repl.__class__ is not pattern.pattern.__class__:
            raise TypeError(f"sequence item 0: expected a text like the pattern, {repl.__class__.__name__} found")
        backslash: Any = b"\\" if isinstance(repl, bytes) else "\\"
        if backslash not in repl:
            return repl
        self._meter.spend(len(repl) // 10)
        template = _template(pattern, repl)
        return None if len(template) != 1 or isinstance(template[0], int) else template[0]

    def _filler(self, pattern: Pattern, subject: Subject, repl: Any) -> Callable[[Found], Any]:
        if repl.__class__ not in (str, bytes):
            return lambda spans: repl(self._match(pattern, subject, spans))
        template = _template(pattern, repl)
        numbers = pattern.program(subject).translation.groups
        empty: Any = repl[:0]

        def fill(spans: Found) -> Any:
            found = [spans[numbers[part]] if isinstance(part, int) else part for part in template]
            self._meter.make_text(sum(part[1] - part[0] if isinstance(part, tuple) else len(part) for part in found))
            return empty.join(
                part if not isinstance(part, tuple) else empty if part == _NONE else subject.part(part)
                for part in found
            )

        return fill

    def escape(self, pattern: Any) -> Any:
        """Escape the special characters of a pattern."""
        if pattern.__class__ not in (str, bytes):
            raise TypeError(f"expected str or bytes, got {pattern.__class__.__name__}")
        self._meter.make_text(2 * len(pattern), not pattern.isascii())
        given: Any = pattern
        return re.escape(given)


class _ForTemplate:
    """The attributes of a pattern that Python's parser of replacement templates reads."""

    def __init__(self, pattern: Pattern) -> None:
        self.groups, self.groupindex, self.pattern = pattern.groups, pattern.names, pattern.pattern


def _template(pattern: Pattern, repl: Any) -> list[Any]:
    """Parse a replacement into texts and group numbers, in order."""
    parsed = _parser.parse_template(repl, _ForTemplate(pattern))
    if isinstance(parsed, list):  # since Python 3.12
        return [part for part in parsed if isinstance(part, int) or part] or [repl[:0]]
    groups, literals = parsed
    found = list(literals)
    for place, number in groups:
        found[place] = number
    return [part for part in found if part is not None and (isinstance(part, int) or part)] or [repl[:0]]


def _index(value: Any) -> int:
    if value.__class__ not in (int, bool):
        raise TypeError(f"'{value.__class__.__name__}' object cannot be interpreted as an integer")
    return int(value)
