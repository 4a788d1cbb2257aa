"""Structure found in lines: Markdown headings, timestamps of logs, definitions of source code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from rlmbox.context.search.search import Deadline, regex_spans
from rlmbox.context.storage.text import TextStore

SAMPLE_CHARS = 64 * 1024
LINE_CHARS = 200

_MAX_FOUND = 200
_MAX_MARKS = 20_000
_MAX_FIELDS = 50
_SAMPLE_LINES = 50
_TIMEOUT_S = 5.0

# Applied to single lines cut to 200 characters, and unable to backtrack far.
_TIMESTAMPS = {
    "ISO 8601": re.compile(r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d"),
    "slashed date": re.compile(r"\[?\d{1,4}/\d{1,2}/\d{1,4}[ T]\d\d:\d\d"),
    "syslog": re.compile(r"(?:<\d{1,3}>)?[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"),
    "access log": re.compile(r"\S{1,60} \S{1,60} \S{1,60} \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d"),
    "epoch seconds": re.compile(r"\[?\d{10}(?:\d{3})?(?:\.\d{1,9})?[\] ]"),
}
_LEVEL = re.compile(r"\b(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)\b")
_FIELD = re.compile(r"(?<![\w.-])([A-Za-z_][\w.-]{0,40})=(?=[^\s=])")
_CODE = re.compile(r"(?:import|from|def|class|function|const|#include|package|use|fn|var|let)\b")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.{0,190})")
# A title underlined by the next line.
_UNDERLINED = re.compile(r"([^\s#>|`~=*+-].{0,199})\n {0,3}(=+|-{2,})[ \t]*\r?\Z")
_HEADING_OR_FENCE = (
    r"(?m)^(?: {0,3}(?:```|~~~)| {0,3}#{1,6}[ \t]+\S[^\n]{0,200}"
    r"|[^\s#>|`~=*+-][^\n]{0,199}\n {0,3}(?:=+|-{2,})[ \t]*\r?$)"
)
_FRONT_MATTER = re.compile(r"---[ \t]*\r?\n.*?\n---[ \t]*\r?(?:\n|\Z)", re.DOTALL)

LANGUAGES = {
    ".c": "C",
    ".cc": "C++",
    ".cpp": "C++",
    ".cs": "C#",
    ".go": "Go",
    ".h": "C",
    ".hpp": "C++",
    ".java": "Java",
    ".js": "JavaScript",
    ".jsx": "JavaScript",
    ".kt": "Kotlin",
    ".php": "PHP",
    ".py": "Python",
    ".pyi": "Python",
    ".rb": "Ruby",
    ".rs": "Rust",
    ".scala": "Scala",
    ".sh": "Shell",
    ".swift": "Swift",
    ".ts": "TypeScript",
    ".tsx": "TypeScript",
}
"""What files of source code are called."""

_DEFINITION = (
    r"(?m)^[ \t]{0,8}(?:(?:export|default|public|private|protected|internal|static|abstract|final|async"
    r"|pub(?:\([a-z]+\))?|unsafe|virtual|override|open|data|sealed|inline|extern|declare)[ \t]+){0,4}"
    r"(?:def|class|function|func|fn|struct|enum|interface|trait|impl|type|module|namespace|union|object|record)"
    r"[ \t]+(?:\([^)\n]{0,80}\)[ \t]*)?[A-Za-z_$][\w$]{0,80}"
)
_DEFINED = re.compile(
    r"\b(def|class|function|func|fn|struct|enum|interface|trait|impl|type|module|namespace|union|object|record)"
    r"[ \t]+(?:\([^)\n]{0,80}\)[ \t]*)?([A-Za-z_$][\w$]{0,80})\Z"
)


def whole_lines(sample: str, complete: bool) -> list[str]:
    """Return the lines of the beginning of a text, without the last one if it may be incomplete."""
    ends_with_cr = "\n" not in sample and sample.count("\r") > 1  # as on old Macintoshes
    lines = sample.split("\r" if ends_with_cr else "\n")
    return [line.removesuffix("\r") for line in (lines if complete or len(lines) == 1 else lines[:-1])]


def sample_lines(store: TextStore) -> list[str]:
    """Return the first lines of a text, up to 64 KiB of characters."""
    sample = store.slice(0, SAMPLE_CHARS)
    return whole_lines(sample, len(sample) == store.length)


def is_markdown(lines: Sequence[str]) -> bool:
    """Return whether lines have several headings, and nothing that looks like a program."""
    headings = sum(1 for line in lines if _HEADING.match(line[:LINE_CHARS]))
    pairs = (f"{line[:LINE_CHARS]}\n{below[:LINE_CHARS]}" for line, below in pairwise(lines) if below[:1] in ("=", "-"))
    headings += sum(1 for pair in pairs if _UNDERLINED.fullmatch(pair))
    return headings > 1 and not any(_CODE.match(line[:LINE_CHARS]) for line in lines)


def markdown_schema(store: TextStore) -> dict[str, object]:
    """Return the headings outside fenced code: level, title and line, from 1."""
    headings: list[dict[str, object]] = []
    more = False
    try:
        for line, text in _headings(store):
            if len(headings) == _MAX_FOUND:
                more = True
                break
            if found := _HEADING.match(text):
                headings.append({"level": len(found[1]), "title": found[2].strip(" #\r"), "line": line})
            elif found := _UNDERLINED.match(text):
                headings.append({"level": 1 if "=" in found[2] else 2, "title": found[1].strip(), "line": line})
    except ValueError:  # time is up: what was found so far is still right
        more = True
    return {"headings": headings, "more_headings": more}


def _headings(store: TextStore) -> Iterator[tuple[int, str]]:
    fence = ""
    front = _FRONT_MATTER.match(store.slice(0, SAMPLE_CHARS))
    behind = store.byte_offset(front.end()) if front else 0
    spans = regex_spans(store, _HEADING_OR_FENCE, deadline=Deadline(_TIMEOUT_S))
    for number, (begin, end) in enumerate(spans):
        if number >= _MAX_MARKS:
            raise ValueError("too many marks")
        if begin < behind:  # front matter
            continue
        text = store.decode(begin, end)
        mark = text.strip()[:3]
        if mark in ("```", "~~~"):
            fence = mark if not fence else "" if fence == mark else fence
        elif not fence:
            yield store.newlines_before(begin) + 1, text


def timestamp(lines: Sequence[str]) -> str | None:
    """Return the name of the timestamp format with which most lines begin, or None."""
    filled = [line[:LINE_CHARS] for line in lines if line.strip()][:_SAMPLE_LINES]
    for name, pattern in _TIMESTAMPS.items():
        if len(filled) > 1 and sum(1 for line in filled if pattern.match(line)) * 2 > len(filled):
            return name
    return None


def log_schema(store: TextStore) -> dict[str, object]:
    """Return the timestamp format, the levels, and the recurring names in `name=value`, in the first lines."""
    lines = [line[:LINE_CHARS] for line in sample_lines(store)]
    levels = {found[0] for line in lines if (found := _LEVEL.search(line))}
    counts: dict[str, int] = {}
    for line in lines:
        for name in _FIELD.findall(line):
            counts[name] = counts.get(name, 0) + 1
    often = sorted((name for name, count in counts.items() if count * 10 >= len(lines)), key=lambda name: -counts[name])
    fields = {"fields": often[:_MAX_FIELDS]} if often else {}
    return {"timestamp": timestamp(lines), "levels": sorted(levels), **fields, "sampled_lines": len(lines)}


def code_schema(store: TextStore) -> dict[str, object]:
    """Return the definitions in source code that are visible in single lines: kind, name and line, from 1."""
    found: list[dict[str, object]] = []
    more = False
    try:
        for begin, end in regex_spans(store, _DEFINITION, deadline=Deadline(_TIMEOUT_S)):
            text = store.decode(begin, end)
            if len(found) == _MAX_FOUND:
                more = True
                break
            if defined := _DEFINED.search(text):
                found.append({"kind": defined[1], "name": defined[2], "line": store.newlines_before(begin) + 1})
    except ValueError:
        more = True
    return {"definitions": found, "more_definitions": more}
