"""One JSON value out of what a model wrote when it was asked for JSON.

Models put words before and after it, fence it, think before it, leave a comma too many or write it as Python. All of
that is read, as long as there is only one value that can be meant.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from rlmbox.reply.code import repaired
from rlmbox.reply.thoughts import split_thought

_SHOWN_CHARS = 80
_MAX_PYTHON_CHARS = 200_000

_OPENING = re.compile(r"[{\[]")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]{0,20})[ \t]*\Z")
_ASIDE = re.compile(r"\[[^\[\]{}\"\n]{0,60}\]|\{\}")
_BEGINNING = re.compile(
    r"\{\s*(?:[\"'}“]|\\\"|//|/\*|[A-Za-z_$][\w$]{0,100}\s*:\s*(?:[\"'\[{\d-]|true\b|false\b|null\b))|\[\s*[\"'\[{\]“tfnTFN\d-]"
)
_WRAPPED = re.compile(r"\s*<(?P<name>json|answer|output|result|response)>(?P<body>.*)</(?P=name)>\s*\Z", re.DOTALL)
_CDATA = re.compile(r"<!\[CDATA\[(.*)\]\]>\Z", re.DOTALL)
_STRING_OR_BRACKET = re.compile(r"\"(?:[^\"\\]|\\.)*+\"?|[{}\[\]]|'(?:[^'\\\n]|\\.){0,500}+'", re.DOTALL)
_ESCAPED = re.compile(r"[{\[]\s*(?:[{\[]\s*)*\\\"")
_STRING_OR_COMMENT = re.compile(r"\"(?:[^\"\\]|\\.)*+\"?|//[^\n]*|/\*(?:[^*]|\*(?!/))*+(?:\*/)?", re.DOTALL)
_STRING_OR_KEY = re.compile(r"\"(?:[^\"\\]|\\.)*+\"?|(?<![\w.$-])(?P<key>[A-Za-z_$][\w$]{0,100})(?=\s*:)", re.DOTALL)
_STRING_OR_COMMA = re.compile(r"\"(?:[^\"\\]|\\.)*+\"?|,(?=\s*[}\]])", re.DOTALL)


def read_json(text: str) -> Any:
    """Return the one JSON value that a reply holds.

    Args:
        text: The reply, with or without reasoning, words around the value, or a fence.

    Raises:
        ValueError: The reply holds no JSON value, one that is cut off or wrong, or more than one that may be meant.
            The message is one line, fit for a model.
    """
    try:
        return _once_more(_DECODER.decode(text.strip()))  # whole JSON may speak of any token in its strings
    except _WrongNumberError as error:
        raise ValueError(str(error)) from None
    except (ValueError, RecursionError):
        pass
    _, rest = split_thought(text)
    rest = rest.strip().removeprefix("\ufeff")
    if not rest:
        raise ValueError(
            "the reply is empty; it should be one JSON value" + (", not only reasoning" * bool(text.strip()))
        )
    try:
        return _loads(rest)
    except _WrongNumberError as error:
        raise ValueError(str(error)) from None
    except ValueError:
        pass
    wrapped = _WRAPPED.match(rest)
    rest = wrapped["body"].strip() if wrapped else rest
    rest = cdata[1] if (cdata := _CDATA.match(rest)) else rest
    fenced = _values_in_fences(rest)
    if len(fenced) == 1:
        return fenced[0]
    if len(fenced) > 1:
        _refuse_many(len(fenced))
    return _value_within_words(rest)


def _once_more(value: Any) -> Any:
    """Return a value that a model wrote as JSON within a string of JSON; any other as it is."""
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        try:
            return _DECODER.decode(value.strip())
        except (ValueError, RecursionError):
            pass
    return value


class _WrongNumberError(ValueError):
    """A number that JSON does not have."""


def _refuse_number(name: str) -> NoReturn:
    raise _WrongNumberError(f"{name} is not JSON; write null, or a string")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise _WrongNumberError(f"{digits[:40]} is too large for a JSON number")
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse_number, parse_float=_finite, strict=False)


def _loads(text: str) -> Any:
    """Parse a text that is one value: JSON, JSON with a comma too many, or a Python literal of JSON's types."""
    try:
        return _DECODER.decode(text)
    except _WrongNumberError:
        raise
    except RecursionError:
        raise ValueError("the JSON value is nested too deeply") from None
    except ValueError as error:
        for read in (_without_commas, _python, _respelled, _unescaped, _javascript):
            try:
                return read(text)
            except _WrongNumberError:
                raise
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                continue
        raise ValueError(str(error)) from None


def _without_commas(text: str) -> Any:
    return _DECODER.decode(_STRING_OR_COMMA.sub(lambda match: "" if match.group() == "," else match.group(), text))


def _respelled(text: str) -> Any:
    return _DECODER.decode(repaired(text))


def _unescaped(text: str) -> Any:
    """Read JSON as it stands in a string, without the quotes around that."""
    if not _ESCAPED.match(text):
        raise ValueError("not escaped")
    return _DECODER.decode(_DECODER.decode(f'"{text}"'))


def _javascript(text: str) -> Any:
    """Read JSON with comments, and with keys that are not quoted."""
    plain = _STRING_OR_COMMENT.sub(lambda match: match.group() if match.group().startswith('"') else " ", text)
    return _without_commas(
        _STRING_OR_KEY.sub(lambda match: f'"{match["key"]}"' if match["key"] else match.group(), plain)
    )


def _python(text: str) -> Any:
    if len(text) > _MAX_PYTHON_CHARS or text[:1] not in ("{", "[", "'", '"', "T", "F", "N"):
        raise ValueError("not a literal")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = ast.literal_eval(text)
    _check_types(value)
    return value


def _check_types(value: Any) -> None:
    """Refuse what Python has and JSON has not: sets, tuples, bytes, complex numbers, keys that are not text."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("a key is not text")
        for item in value.values():
            _check_types(item)
    elif isinstance(value, list):
        for item in value:
            _check_types(item)
    elif isinstance(value, float):
        _finite(repr(value))
    elif value is not None and not isinstance(value, bool | int | str):
        raise ValueError(f"a {type(value).__name__} is not JSON")


def _values_in_fences(text: str) -> list[Any]:
    values: list[Any] = []
    for body in _bodies(text) if "```" in text or "~~~" in text else ():
        try:
            value = _loads(body.strip())
        except _WrongNumberError as error:
            raise ValueError(str(error)) from None
        except ValueError:
            continue
        values.append(value)
    return _distinct(values)


def _distinct(values: list[Any]) -> list[Any]:
    """Return the values without repetitions; 1 and true are two."""
    return list({json.dumps(value): value for value in values}.values())


def _bodies(text: str) -> Iterator[str]:
    """Yield what the closed fences of JSON, or of nothing named, hold."""
    marks, begin, position = "", 0, 0
    for line in text.split("\n"):
        match = _FENCE.match(line)
        if match and not marks:
            marks, begin = match[1], position + len(line) + 1
            is_json = match[2].lower() in ("", "json", "json5", "jsonc", "python", "text")
        elif match and match[1].startswith(marks) and not match[2]:
            if is_json:
                yield text[begin:position]
            marks = ""
        position += len(line) + 1


@dataclass(frozen=True, slots=True)
class _Found:
    """A value within words.

    Attributes:
        value: The value.
        is_aside: Whether it is only a part of a sentence, as a citation such as [1] is.
    """

    value: Any
    is_aside: bool


def _value_within_words(text: str) -> Any:
    found = list(_find_values(text))
    meant = [item.value for item in found if not item.is_aside] or [item.value for item in found]
    distinct = _distinct(meant)
    if len(distinct) > 1:
        _refuse_many(len(meant))
    if distinct:
        return distinct[0]
    shown = text[:_SHOWN_CHARS] + ("..." if len(text) > _SHOWN_CHARS else "")
    raise ValueError(f"the reply is not JSON and holds none: {shown!r}")


def _refuse_many(count: int) -> NoReturn:
    raise ValueError(f"the reply holds {count} JSON values; it should be one, such as a list of them")


def _find_values(text: str) -> Iterator[_Found]:
    """Yield the values in a text; raise at the first that is broken."""
    position = 0
    while match := _OPENING.search(text, position):
        start = match.start()
        if aside := _ASIDE.match(text, start):
            position = aside.end()
            before = text[max(0, start - 100) : start].rpartition("\n")[2]
            try:
                yield _Found(_loads(aside.group()), bool(before.strip()))
            except _WrongNumberError:
                raise
            except ValueError:
                continue  # words
        elif _BEGINNING.match(text, start):
            value, position = _value_at(text, start)
            yield _Found(value, False)
        else:
            position = start + 1  # a bracket among words


def _value_at(text: str, start: int) -> tuple[Any, int]:
    """Read the value that begins with a bracket, and the position after it."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except _WrongNumberError:
        raise
    except RecursionError:
        raise ValueError("the JSON value in the reply is nested too deeply") from None
    except json.JSONDecodeError as error:
        problem = f"{error.msg} at character {error.pos}"
    else:
        return value, end
    end = _end_of_brackets(text, start)
    if end < 0:
        raise ValueError(f"the JSON value in the reply is cut off or not closed: {problem}")
    try:
        return _loads(text[start:end]), end
    except _WrongNumberError:
        raise
    except ValueError:
        raise ValueError(f"the JSON value in the reply is not valid: {problem}") from None


def _end_of_brackets(text: str, start: int) -> int:
    """Return the position after the bracket that closes the one at `start`; -1 where none does."""
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text, start):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(match.group(), 0)
        if depth == 0:
            return match.end()
    return -1
