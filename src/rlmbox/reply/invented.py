"""Output that a model made up: after its code it writes what it believes the code prints, and goes on from there."""

from __future__ import annotations

import re

OUTPUT_LANGUAGES = frozenset(
    {"output", "outputs", "stdout", "tool_output", "tool_outputs", "tool_result", "observation"}
)
"""First words of a fence's info string that make the block the output of code."""

_LEAD = r"[ \t]*(?:[#>*_`-]+[ \t]*)*"
_TITLE = re.compile(
    _LEAD + r"(?:"
    r"(?:repl|cell|code|execution|console|program|script|tool|sandbox|python|command)"
    r"[ \t_-]*(?:outputs?|results?|logs?|response)"
    r"|outputs?|observations?|stdout|last output from code snippet"
    r")(?:[ \t]+of[ \t]+cell[ \t]+\d+(?:[ \t]+of[ \t]+\d+)?)?[ \t*_`]*:",
    re.IGNORECASE,
)
_MARK = re.compile(
    r"[ \t]*(?:\[SYSTEM EXECUTION ERROR\]|Out\[\d+\]:|Traceback \(most recent call last\):"
    r"|</?(?:tool_response|tool_result|tool_output|function_results?|function_response|observation|output|stdout"
    r"|repl_output|execution_results?|execution_output|execute_result|code_output|result)(?: [0-9a-z]{4,32})?>)"
)
_MAX_LINE_CHARS = 200


def begins_invented_output(line: str) -> bool:
    """Return whether a line of prose after code gives itself out as the beginning of that code's output."""
    line = line[:_MAX_LINE_CHARS]
    return _TITLE.match(line) is not None or _MARK.match(line) is not None
