"""The text that a spreadsheet program displays for a cell: its value in the cell's number format."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache

_SECTION = re.compile(r'((?:"[^"]*"|\\.|\[[^\]]*\]|[^;"\\\[])*)(?:;|$)')
_TOKEN = re.compile(r'"([^"]*)"|\\(.)|\[\$([^\]-]*)[^\]]*\]|\[[^\]]*\]|_.|\*.|([0#?](?:[0#?,.]|E[+-])*)|(.)', re.DOTALL)
_PLAIN = ("", "General", "GENERAL", "@")
_MAX_FORMAT_CHARS = 255
_PLACEHOLDERS = re.compile(r"[0#?]")


def shown(value: object, number_format: str = "General") -> str:
    """Return the text of a cell.

    Dates and times are in ISO format, which is unambiguous in every country; durations are in hours, minutes and
    seconds; an unknown format leaves the number unchanged.

    Args:
        value: The value: None, `bool`, a number, a text, a date, time or duration.
        number_format: The cell's format, such as `0.0%`.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return _number(value, number_format[:_MAX_FORMAT_CHARS])
    if isinstance(value, datetime):
        midnight = (value.hour, value.minute, value.second) == (0, 0, 0)
        if midnight and not re.search(r"[hHsS]", re.sub(r'"[^"]*"|\[\$[^\]]*\]', "", number_format)):
            return value.date().isoformat()
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date | time):
        return value.isoformat()
    return _duration(value) if isinstance(value, timedelta) else str(value)


def _duration(value: timedelta) -> str:
    seconds = round(value.total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _number(value: float, number_format: str) -> str:
    if number_format in _PLAIN:
        return _general(value)
    sections = _sections(number_format)
    section, negative = sections[0], value < 0
    if negative and len(sections) > 1:
        section, negative = sections[1], False  # the section has its own sign
    elif value == 0 and len(sections) > 2:
        section = sections[2]
    if section.strip() in _PLAIN[1:]:
        return _general(value)
    text = _in_section(abs(value), section)
    if text is None:
        return _general(value)
    return f"-{text}" if negative and re.search(r"[1-9]", text) else text


@lru_cache(maxsize=1_000)
def _sections(number_format: str) -> tuple[str, ...]:
    found = [match[1] for match in _SECTION.finditer(number_format)]
    return tuple(found[:-1] if len(found) > 1 and not found[-1] else found) or ("",)


def _general(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    mantissa, exponent, power = f"{value:.15g}".partition("e")
    return f"{mantissa}E{power}" if exponent else mantissa


def _in_section(value: float, section: str) -> str | None:
    """Format a number by one section of a format; None if the format is unknown."""
    parts: list[tuple[str, bool]] = []
    percents = 0
    for token in _TOKEN.finditer(section):
        quoted, escaped, currency, digits, other = token.groups()
        if digits:
            parts.append((digits, True))
            continue
        literal = quoted or escaped or currency or other or ""
        if other == "%":
            percents += 1
        elif other and other.isalpha() and other not in "xX":
            return None  # a date format on a value that the library did not take for a date
        elif other == "/" and parts:
            return None
        parts.append((literal, False))
    codes = [text for text, is_digits in parts if is_digits]
    if not codes:
        return "".join(text for text, _ in parts).strip() or None
    try:
        scaled = Decimal(repr(value)) * 100**percents
    except InvalidOperation:
        return None
    filled = _filled(scaled, codes)
    if filled is None:
        return None
    texts = iter(filled)
    return "".join(next(texts) if is_digits else text for text, is_digits in parts).strip()


def _filled(value: Decimal, codes: list[str]) -> list[str] | None:
    """Return the digits for each group of placeholders."""
    if len(codes) == 1:
        text = _exponential(value, codes[0]) if "E" in codes[0] else _fixed(value, codes[0])
        return [text]
    if any("." in code or "," in code or "E" in code for code in codes):
        return None
    # Digits with separators, as in telephone numbers: filled from the right.
    digits = str(int(value.quantize(Decimal(1), ROUND_HALF_UP)))
    filled: list[str] = []
    for code in reversed(codes[1:]):
        filled.append(digits[-len(code) :].rjust(len(code), "0" if "0" in code else " ").strip())
        digits = digits[: -len(code)]
    return [digits.rjust(codes[0].count("0"), "0"), *reversed(filled)]


def _fixed(value: Decimal, code: str) -> str:
    whole, _, fraction = code.rstrip(",").partition(".")
    value /= 1000 ** (len(code) - len(code.rstrip(",")))
    places, least = len(_PLACEHOLDERS.findall(fraction)), len(fraction.rstrip("#?").replace(",", ""))
    rounded = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    integer, _, decimals = f"{rounded:f}".partition(".")
    decimals = decimals[:least] + decimals[least:].rstrip("0")
    integer = integer.lstrip("0").rjust(whole.count("0"), "0")
    if "," in whole:
        integer = re.sub(r"(?<=\d)(?=(?:\d{3})+$)", ",", integer)
    return f"{integer}.{decimals}" if decimals else integer


def _exponential(value: Decimal, code: str) -> str:
    mantissa, _, power = code.partition("E")
    places = len(_PLACEHOLDERS.findall(mantissa.partition(".")[2]))
    text, _, exponent = f"{value:.{places}E}".partition("E")
    sign = "-" if exponent.startswith("-") else "+" if power.startswith("+") else ""
    return f"{text}E{sign}{exponent.lstrip('+-0').rjust(max(1, power.count('0')), '0')}"
