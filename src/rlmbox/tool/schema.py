"""The tool definition in the format of each provider, and validation of the arguments that a model sends."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from rlmbox.errors import ConfigError

NAME = "python"
"""The tool's name."""

DESCRIPTION = (
    "Execute Python code in a persistent interpreter. Variables, imports, and function definitions persist across "
    "calls. Use for calculations, data processing, and scripting tasks."
)
"""The description for the model."""

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "code": {
            "type": "string",
            "description": "Python code to execute. Can be multiple lines. Variables persist between calls.",
        },
        "timeout": {"type": "number", "description": "Maximum execution time in seconds. Default: 30"},
    },
    "required": ["code"],
}
"""The JSON Schema of the tool's arguments."""

MAX_CODE_BYTES = 1024 * 1024
MAX_OUTPUT_BYTES = 512 * 1024
DEFAULT_TIMEOUT_S = 30.0
MAX_TIMEOUT_S = 600.0
"""The longest timeout that a call may specify, by default."""

SchemaProvider = Literal["openai", "anthropic", "google", "mcp"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A valid call.

    Attributes:
        code: The code to run.
        timeout_s: Timeout in seconds.
    """

    code: str
    timeout_s: float


class BadCall(Exception):
    """An invalid call; the message is meant for the caller."""


def schema(provider: SchemaProvider | None = None) -> dict[str, Any]:
    """Return the tool definition in the format of a provider.

    Args:
        provider: `openai` for chat completions and compatible servers, `anthropic`, `google` for a function
            declaration, `mcp`; None for only `name`, `description` and `parameters`.

    Raises:
        ConfigError: There is no such provider.
    """
    parameters = copy.deepcopy(PARAMETERS)
    plain = {"name": NAME, "description": DESCRIPTION}
    if provider is None or provider == "google":
        return {**plain, "parameters": parameters}
    if provider == "openai":
        return {"type": "function", "function": {**plain, "parameters": parameters}}
    if provider == "anthropic":
        return {**plain, "input_schema": parameters}
    if provider == "mcp":
        return {**plain, "inputSchema": parameters}
    raise ConfigError(f"there is no schema for {provider!r}; there are {', '.join(get_args(SchemaProvider))}")


def read_call(
    arguments: object, *, default_timeout_s: float = DEFAULT_TIMEOUT_S, max_timeout_s: float = MAX_TIMEOUT_S
) -> ToolCall:
    """Validate the arguments that a model sends.

    Args:
        arguments: A mapping with `code` and optionally `timeout`, or the same as JSON text.
        default_timeout_s: Timeout of a call that specifies none, in seconds.
        max_timeout_s: Longest timeout that a call may specify.

    Raises:
        BadCall: They are invalid; the message says what is wrong and how to fix it.
    """
    if isinstance(arguments, str | bytes | bytearray):
        arguments = read_json(arguments)
    if not isinstance(arguments, Mapping):
        raise BadCall('the arguments are a JSON object such as {"code": "print(1)"}, not ' + _kind(arguments))
    unknown = sorted(str(name) for name in arguments if name not in ("code", "timeout"))
    if unknown:
        raise BadCall(f"there is no argument {shortened(unknown[0])!r}; there are code and timeout")
    return ToolCall(
        _code(arguments.get("code", _ABSENT)), _timeout_s(arguments.get("timeout"), default_timeout_s, max_timeout_s)
    )


def read_json(text: str | bytes | bytearray) -> Any:
    """Parse JSON strictly: UTF-8, no NaN, no number outside the range of a float.

    Raises:
        BadCall: It is not valid JSON.
    """
    try:
        if not isinstance(text, str):
            text = bytes(text).decode("utf-8-sig")
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise BadCall("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise BadCall(f"it is not JSON: byte {error.start:,} is not UTF-8") from None
    except ValueError as error:
        raise BadCall(f"it is not JSON: {error}") from None


_ABSENT = object()


def _code(code: object) -> str:
    if code is _ABSENT:
        raise BadCall("code is missing: the Python code to execute, a string")
    if not isinstance(code, str):
        raise BadCall(f"code is a string with Python code, not {_kind(code)}")
    size_bytes = len(code.encode("utf-8", "surrogatepass"))
    if size_bytes > MAX_CODE_BYTES:
        raise BadCall(f"code has {size_bytes:,} bytes; it may have at most {MAX_CODE_BYTES:,}: run it in parts")
    return code


def _timeout_s(timeout: object, default_s: float, max_s: float) -> float:
    if timeout is None:
        return min(default_s, max_s)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise BadCall(f"timeout is a number of seconds, not {_kind(timeout)}")
    try:
        timeout_s = float(timeout)
    except OverflowError:
        timeout_s = math.inf
    if math.isnan(timeout_s) or timeout_s <= 0:
        raise BadCall("timeout is a number of seconds above 0")
    if timeout_s > max_s:
        raise BadCall(f"timeout may be at most {max_s:g} seconds here")
    return timeout_s


def shortened(text: str) -> str:
    """Shorten a text that is quoted in a message."""
    return text if len(text) <= 80 else text[:80] + "…"


def _kind(value: object) -> str:
    """Return the JSON name of a value's type."""
    if value is None:
        return "null"
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "a boolean"),
        ((int, float), "a number"),
        (str, "a string"),
        (Mapping, "an object"),
        ((list, tuple), "an array"),
    )
    return next((words for kind, words in kinds if isinstance(value, kind)), type(value).__name__)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number
