"""Interpretation of the refusals of providers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from rlmbox.models import wordings
from rlmbox.models.error_bodies import DETAIL_CHARS, codes_of, fields_of, layers_of, shown, words_of
from rlmbox.models.waits import header_objects, reset_in_headers_s, wait_in_fields_s, wait_in_headers_s, wait_in_words_s

_LONG_WAIT_S = 300.0  # a part of the daily quota that is restored sooner is waited for
_NARROWEST_TOKENS = 500  # a smaller window is a misreading
_DELAY = re.compile(r"(\d{1,6}(?:\.\d{1,9})?)s")


class Complaint:
    """The body of a refusal.

    Args:
        body: The body as received.

    Attributes:
        message: The provider's message; the body itself if it contains none.
        has_words: Whether there is a message.
        codes: The machine-readable codes.
        param: The parameter that is named, or an empty text.
        details: Google's details.
    """

    def __init__(self, body: bytes) -> None:
        layers = layers_of(body)
        error = layers[-1]
        words = words_of(layers)
        self.has_words = bool(words.strip())
        self.message = (words if self.has_words else shown(layers))[:DETAIL_CHARS]
        self.codes = codes_of(layers)
        self.param = str(error.get("param") or "")
        self._fields = fields_of(layers)
        self._window_field = error.get("n_ctx")
        details = error.get("details")
        self.details = [part for part in details if isinstance(part, dict)] if isinstance(details, list) else []

    @property
    def status(self) -> int | None:
        """The HTTP status in the body, as some servers put it into a reply with status 200; None if there is none."""
        found = [int(code) for code in self.codes if code.isdecimal() and len(code) == 3]
        return next((status for status in found if 400 <= status <= 599), None)

    @property
    def names_length(self) -> bool:
        """True if a code says that the request is too long, whatever the status."""
        return bool(self.codes & wordings.TOO_LONG_CODES)

    @property
    def too_long(self) -> bool:
        """True if the request exceeds the window."""
        return (
            self.names_length
            or (wordings.TOO_LONG.search(self.message) is not None and wordings.WAIT.search(self.message) is None)
            or (self.window_tokens is not None and self.output_cap_tokens is None)
        )

    @property
    def window_tokens(self) -> int | None:
        """Return the size of the window in tokens, if the provider's message states it."""
        if isinstance(self._window_field, int) and self._window_field >= _NARROWEST_TOKENS:
            return self._window_field
        named = named_window_tokens(self.message)
        if named is None and self.names_length and "string_above_max_length" not in self.codes:
            named = _tokens(wordings.WINDOW_WITH_CODE, self.message)
        return named

    @property
    def rate_tokens(self) -> int | None:
        """The account's limit of tokens per minute, if this request alone exceeds it."""
        found = wordings.RATE.search(self.message)
        if found is None:
            return None
        limit, asked = _int(found["tokens"]), _int(found["asked"])
        return limit if asked > limit >= _NARROWEST_TOKENS else None

    @property
    def exceeds_rate(self) -> bool:
        """True if this request alone exceeds the account's limit of tokens per minute."""
        return self.rate_tokens is not None or wordings.RATE_TOO_SMALL.search(self.message) is not None

    @property
    def is_throttled(self) -> bool:
        """True if a code says that the account exceeds its rate, whatever the status."""
        return any(wordings.THROTTLED.search(code) for code in self.codes)

    @property
    def speaks_of_rate(self) -> bool:
        """True if a code or the message says that the account exceeds its rate."""
        return self.is_throttled or wordings.THROTTLED.search(self.message) is not None

    @property
    def may_pass(self) -> bool:
        """True if a code or the message says that the problem may be temporary."""
        return any(wordings.PASSING.search(words.replace("_", " ")) for words in (self.message, *self.codes))

    @property
    def output_cap_tokens(self) -> int | None:
        """Highest output limit that the provider accepts, if it refuses a higher one and states that."""
        exclusive = _tokens(wordings.OUTPUT_CAP_EXCLUSIVE, self.message, least=1)
        if exclusive is not None:
            return exclusive - 1
        if "maximum context length" in self.message:
            return None
        return _tokens(wordings.OUTPUT_CAP, self.message, least=1)

    @property
    def wants_no_system(self) -> bool:
        """True if the model accepts no system message."""
        return wordings.NO_SYSTEM.search(self.message) is not None

    @property
    def wants_no_stream(self) -> bool:
        """True if the model, or the account, does not support streams."""
        return wordings.NO_STREAM.search(self.message) is not None

    @property
    def wants_stream(self) -> bool:
        """True if the model replies only as a stream."""
        return wordings.ONLY_STREAM.search(self.message) is not None

    @property
    def wants_alternate_roles(self) -> bool:
        """True if the model requires alternating roles."""
        return wordings.ALTERNATE.search(self.message) is not None

    @property
    def named_parameters(self) -> list[str]:
        """The request parameters that the provider names as unsupported, most likely first."""
        named = [self.param] if self.param else []
        return named + [found["name"] for wording in wordings.NAMED if (found := wording.search(self.message))]

    @property
    def out_of_credit(self) -> bool:
        """True if the account's credit, or its daily quota, is used up."""
        # Google's daily quota is restored at midnight, which is too long to wait.
        daily = "PerDay" in json.dumps(self.details)
        said = wordings.QUOTA.search(self.message) is not None and (self.wait_s is None or self.wait_s > _LONG_WAIT_S)
        return bool(self.codes & wordings.QUOTA_CODES) or daily or said

    @property
    def wait_s(self) -> float | None:
        """Seconds to wait, from the body's fields or the provider's message; None if they contain none."""
        for detail in self.details:
            delay = _DELAY.fullmatch(str(detail.get("retryDelay", "")))
            if delay:
                return float(delay[1])
        in_words = wait_in_words_s(self.message)
        if in_words is not None:
            return in_words
        in_fields = wait_in_fields_s(self._fields)
        if in_fields is not None:
            return in_fields
        behind = header_objects(self._fields)
        in_headers = wait_in_headers_s(behind)
        return in_headers if in_headers is not None else reset_in_headers_s(behind)

    def mentions(self, parameter: str) -> bool:
        """Return True if the provider's message contains the name of a parameter, in any spelling.

        Args:
            parameter: The name, such as `prompt_cache_key`.
        """
        name = r"_?".join(map(re.escape, parameter.split("_")))
        return (
            re.search(
                rf"(?:(?<![\w.-])|(?<=body\.)|(?<=request\.)){name}(?![\w-])", self.message, re.IGNORECASE | re.ASCII
            )
            is not None
        )


def named_window_tokens(message: str) -> int | None:
    """Extract the window size from a provider's refusal.

    Args:
        message: The provider's message.

    Returns:
        The number of tokens, or None if it is not stated.
    """
    return _tokens(wordings.WINDOW, message)


def _tokens(patterns: Iterable[re.Pattern[str]], message: str, *, least: int = _NARROWEST_TOKENS) -> int | None:
    """Return the number found by the first pattern with a plausible result."""
    for pattern in patterns:
        found = pattern.search(message)
        if found is not None and _int(found["tokens"]) >= least:
            return _int(found["tokens"])
    return None


def _int(digits: str) -> int:
    return int(re.sub(r"\D", "", digits))
