"""Detection of secrets that the host has, whole or in pieces, plain or encoded.

Encodings are reversal, hexadecimal, base64 at its three alignments, and percent-encoding. For a secret that looks
random every piece of fifteen characters is found, because each contains one of the indexed windows of eight. A short or
ordinary one (`hunter2`) is only found whole, because its pieces would be ordinary words.
"""

from __future__ import annotations

import base64
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from rlmbox.guard.findings import Finding
from rlmbox.guard.matching import Encoded, common_prefix
from rlmbox.guard.rarity import bits_per_pair

_MIN_CHARS = 6
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)"
    r"(?:_(?:[0-9]{1,3}|PROD|PRODUCTION|LIVE|STAGING|DEV|TEST))?$",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(r"[~.]?/.*|[a-z]+|[A-Z]+|[A-Z]?[a-z]+(?:[ _-][a-z]+)*|[0-9]{1,8}")  # paths, settings, words
_WINDOW_CHARS = 8
_MIN_PIECES_CHARS = 16
_MIN_PIECES_BITS = 5.5


class KnownSecrets:
    """Finds known secrets.

    They stay in the memory of the process that has them anyway; nothing printed, pickled or reported contains them.

    Args:
        values: The secrets; those under six characters are ignored, as they would match everywhere.
    """

    def __init__(self, values: Iterable[str]) -> None:
        self._values = tuple(dict.fromkeys(value for value in values if len(value) >= _MIN_CHARS))

    def __repr__(self) -> str:
        return f"<KnownSecrets: {len(self._values)}>"

    def __reduce__(self) -> tuple[type[KnownSecrets], tuple[tuple[str, ...]]]:
        return KnownSecrets, ((),)

    def __len__(self) -> int:
        return len(self._values)

    def __call__(self, text: str) -> Iterator[Finding]:
        """Yield the places of known secrets, or of pieces of one."""
        if not self._values:
            return
        encoded = Encoded(text)
        at = 0
        for found in self._pattern.finditer(encoded.data):
            if found.start() < at:
                continue
            start, end = self._extended(encoded.data, *found.span())
            at = end
            yield Finding("known-secret", encoded.char(start), encoded.char(end), why="is a secret of this host")

    @cached_property
    def _windows(self) -> dict[bytes, list[tuple[bytes, int]]]:
        """The windows to search for: each with the encoded secrets that contain it, and the position there."""
        windows: dict[bytes, list[tuple[bytes, int]]] = {}
        for value in self._values:
            in_pieces = len(value) >= _MIN_PIECES_CHARS and bits_per_pair(value.replace(" ", "")) >= _MIN_PIECES_BITS
            for form in _forms(value):
                if not in_pieces or len(form) < 2 * _WINDOW_CHARS:
                    windows.setdefault(form, []).append((form, 0))
                    continue
                for begin in range(0, len(form) - _WINDOW_CHARS + 1, _WINDOW_CHARS):
                    windows.setdefault(form[begin : begin + _WINDOW_CHARS], []).append((form, begin))
        return windows

    @cached_property
    def _pattern(self) -> Any:
        # Not through `compiled`, whose process-wide cache would retain the secrets.
        import re2

        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        return re2.compile(
            b"|".join(re2.escape(window) for window in sorted(self._windows, key=len, reverse=True)), options=options
        )

    def _extended(self, data: bytes, start: int, end: int) -> tuple[int, int]:
        """Return the longest match around a window that is part of the secret."""
        longest = start, end
        for form, begin in self._windows.get(data[start:end], ()):
            before = _common_suffix(data[max(0, start - begin) : start], form[:begin])
            after = common_prefix(data[end : end + len(form)], form[begin + end - start :])
            longest = max(longest, (start - before, end + after), key=lambda span: span[1] - span[0])
        return longest


def _forms(value: str) -> set[bytes]:
    data = value.encode()
    forms = {data, value[::-1].encode(), data.hex().encode(), data.hex().upper().encode()}
    forms |= {urllib.parse.quote(value, safe="").encode(), urllib.parse.quote_plus(value).encode()}
    for variant in (data, data[::-1]):
        for lead in range(3):
            # Characters that depend on the surrounding text are excluded.
            whole = base64.b64encode(b"\0" * lead + variant)
            inner = whole[(0, 2, 3)[lead] : len(whole) - (0, 3, 2)[(lead + len(variant)) % 3]]
            forms |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return {form for form in forms if len(form) >= _MIN_CHARS}


def _common_suffix(first: bytes, second: bytes) -> int:
    return common_prefix(first[::-1], second[::-1])


def secrets_of_environment(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of variables whose names suggest keys, tokens, secrets or passwords.

    Values that are paths or plain words are excluded: hiding every `default` would spoil a text.

    Args:
        environ: The variables, such as `os.environ`.
    """
    return tuple(
        value
        for name, value in environ.items()
        if _SECRET_NAME.search(name) and len(value) >= _MIN_CHARS and not _NO_SECRET.fullmatch(value)
    )
