"""What `re` finds, to compare with."""

import re


def spans_by_re(pattern: str, text: str) -> list[tuple[int, int]]:
    """Matches of `re`, going on at the next character after an empty one."""
    compiled, found, position = re.compile(pattern), [], 0
    while position <= len(text) and (match := compiled.search(text, position)):
        found.append(match.span())
        position = match.end() if match.end() > match.start() else match.end() + 1
    return found
