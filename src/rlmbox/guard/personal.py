"""Detection of personal data: e-mail addresses, telephone numbers, and numbers with a checksum."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from rlmbox.guard.findings import Finding
from rlmbox.guard.matching import Encoded, compiled

_EMAIL = r"[0-9A-Za-z.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?\.)+[A-Za-z]{2,24}"
_CPF = r"\b[0-9]{3}\.?[0-9]{3}\.?[0-9]{3}[-./]?[0-9]{2}\b"
_CNPJ = r"\b[0-9A-Z]{2}\.?[0-9A-Z]{3}\.?[0-9A-Z]{3}/?[0-9A-Z]{4}-?[0-9]{2}\b"
_IBAN = r"\b[A-Z]{2}[0-9]{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,4})?\b"
_CARD = r"\b[2-6][0-9]{3}(?:[ -]?[0-9]{4}){2}(?:[ -]?[0-9]{1,7})?\b|\b3[0-9]{3}[ -]?[0-9]{6}[ -]?[0-9]{4,5}\b"
_PHONE = (
    r"(?:\+|\b00)[1-9][0-9]{0,2}[ .-]?(?:\(0?[0-9]{1,4}\)[ .-]?)?[0-9]{1,5}(?:[ .-]?[0-9]{2,5}){1,4}\b"
    r"|\([0-9]{2,5}\) ?9?[0-9]{3,5}[ .-][0-9]{3,5}\b"
    r"|\b[2-9][0-9]{2}[-.][2-9][0-9]{2}[-.][0-9]{4}\b"
    r"|\b0[0-9]{1,4}[-/ ][0-9]{2,4}[- ][0-9]{3,4}\b"
    r"|\b1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}\b"
)
_NAMED_PHONE = (
    r"(?i:phones?|tel|telephone|telefone|tel[ée]fono|telefon|fone|celular|m[óo]vil|mobile|mobil"
    r"|handy|whatsapp|fax|cell|電話|电话|手机|携帯)"
    r"""(?i:\s?(?:number|nr|no|n[úu]mero|番号|号码))?\.?["']?\s{0,3}[:=]?\s{0,3}["']?"""
    r"(\+?[0-9(][0-9 ()./-]{6,20}[0-9])"
)
_NOT_DOMAINS = frozenset(
    [
        "png",
        "jpg",
        "jpeg",
        "gif",
        "svg",
        "webp",
        "js",
        "ts",
        "css",
        "py",
        "so",
        "dll",
        "exe",
        "zip",
        "gz",
        "json",
        "md",
        "html",
        "txt",
        "local",
    ]
)
_GIT_USERS = frozenset({"git", "hg", "svn"})

# Ranges of the first digits of card issuers (ISO/IEC 7812), with lengths.
_ISSUERS: tuple[tuple[int, int, frozenset[int]], ...] = (
    (4, 4, frozenset({13, 16, 19})),
    (51, 55, frozenset({16})),
    (2221, 2720, frozenset({16})),
    (34, 34, frozenset({15})),
    (37, 37, frozenset({15})),
    (36, 36, frozenset({14, 16})),
    (300, 305, frozenset({14, 16})),
    (38, 39, frozenset({14, 16})),
    (3528, 3589, frozenset({16, 17, 18, 19})),
    (6011, 6011, frozenset({16, 19})),
    (644, 649, frozenset({16, 19})),
    (65, 65, frozenset({16, 19})),
    (62, 62, frozenset({16, 17, 18, 19})),
    (60, 60, frozenset({16})),
    (50, 50, frozenset({16})),
    (56, 58, frozenset({16, 18, 19})),
    (63, 63, frozenset({16})),
    (67, 67, frozenset({16, 18, 19})),
    (2200, 2204, frozenset({16, 17, 18, 19})),
)


def personal_data(text: str) -> Iterator[Finding]:
    """Yield e-mail addresses, telephone numbers, CPF, CNPJ, IBAN and card numbers."""
    encoded = Encoded(text)
    if "@" in text:
        yield from _found(encoded, "email", _EMAIL, _is_email, "has the form of an e-mail address")
    if not compiled("[0-9]{3}").search(encoded.data):
        return
    # An underscore next to a number is emphasis or a separator, but would be part of a word to the patterns.
    apart = encoded.data.replace(b"_", b" ")
    for kind, pattern, check in _CHECKED:
        yield from _found(encoded, kind, pattern, check, "its check digits are right", apart)
    yield from _found(encoded, "phone", _PHONE, _is_phone, "has the form of a telephone number")
    yield from _found(encoded, "phone", _NAMED_PHONE, _is_named_phone, "is called a telephone number")


def _found(
    encoded: Encoded, kind: str, pattern: str, check: Callable[[str, str], bool], why: str, data: bytes | None = None
) -> Iterator[Finding]:
    for found in compiled(pattern).finditer(encoded.data if data is None else data):
        start, end = found.span(1) if found.re.groups else found.span()
        before = encoded.data[max(0, start - 1) : start].decode(errors="replace") or " "
        after = encoded.data[end : end + 3].decode("ascii", "replace")
        if (after[:1] in {".", ",", "-"} and not after[1:2].isdigit()) or (
            after[:2] == ".0" and not after[2:].isdigit()
        ):
            after = " "  # the end of a sentence, or of an integer that a table shows as 52998224725.0
        if check(encoded.data[start:end].decode(errors="replace"), before + after[:1]):
            yield Finding(kind, encoded.char(start), encoded.char(end), why=why)


def _is_email(value: str, around: str) -> bool:
    name, _, domain = value.rpartition("@")
    if around.endswith(":") and name in _GIT_USERS:
        return False
    return domain.rpartition(".")[2].lower() not in _NOT_DOMAINS and name not in _GIT_USERS and "//" not in name


def _digits(value: str) -> str:
    return "".join(filter(str.isdigit, value))


def _stands_alone(around: str) -> bool:
    """Return whether a number is not part of a longer one, a decimal or a word."""
    return around[:1] not in {".", "+"} and not any(map(str.isalnum, around)) and (around == "__" or "_" not in around)


def _is_cpf(value: str, around: str) -> bool:
    from stdnum.br import cpf

    digits = _digits(value)
    is_written = value.count(".") == 2 and ("-" in value or "/" in value)
    return (
        _stands_alone(around)
        and (is_written or value.isdigit())
        and len(set(digits)) > 1
        and bool(cpf.is_valid(digits))
    )


def _is_cnpj(value: str, around: str) -> bool:
    from stdnum.br import cnpj

    is_written = "/" in value or "-" in value
    if not _stands_alone(around) or not (is_written or value.isdigit()):
        return False
    return len(set(_digits(value))) > 1 and bool(cnpj.is_valid(value))


def _is_iban(value: str, around: str) -> bool:
    from stdnum import iban

    return _stands_alone(around) and bool(iban.is_valid(value))


def _is_card(value: str, around: str) -> bool:
    from stdnum import luhn

    digits = _digits(value)
    if not _stands_alone(around) or "." in around or around[:1] == "-" or len(set(digits)) < 2:
        return False
    return _has_issuer(digits) and bool(luhn.is_valid(digits))


def _has_issuer(digits: str) -> bool:
    return any(
        low <= int(digits[: len(str(low))]) <= high and len(digits) in lengths for low, high, lengths in _ISSUERS
    )


def _is_phone(value: str, around: str) -> bool:
    digits = _digits(value)
    if around[:1] and around[0] in "./-_+*" and not value.startswith("+"):
        return False
    if len(set(digits)) < 4:
        return False
    return _stands_alone(around) and "-" not in around and 8 <= len(digits) <= 15 and not _is_date(value)


def _is_named_phone(value: str, around: str) -> bool:
    return not around[-1:].isalnum() and 7 <= len(_digits(value)) <= 15 and not _is_date(value)


def _is_date(value: str) -> bool:
    return re.fullmatch(r"(?:19|20)\d\d[-/. ]\d\d?[-/. ]\d\d?.*|\d\d?[-/.]\d\d?[-/.](?:19|20)\d\d.*", value) is not None


_CHECKED: tuple[tuple[str, str, Callable[[str, str], bool]], ...] = (
    ("cpf", _CPF, _is_cpf),
    ("cnpj", _CNPJ, _is_cnpj),
    ("iban", _IBAN, _is_iban),
    ("card", _CARD, _is_card),
)
