"""Channels of the harmony format (gpt-oss), whole or with its special tokens taken out by a server.

Only `final` is for the reader; `analysis` is a thought; `commentary` is a call of a tool, or words before one.
"""

from __future__ import annotations

import re

from rlmbox.reply.tool_calls import call_element

_CHANNEL = re.compile(r"(?<![\"'`\\])<\|channel\|>[ \t]*(?:analysis|commentary|final)\b")
_PART = re.compile(
    r"(?P<head>(?:<\|start\|>[^<>\n]{0,80})?<\|channel\|>[^<>\n]{0,200}(?:<\|constrain\|>[^<>\n]{0,40})?)(?:<\|message\|>|\n)?"
    r"|(?P<end><\|(?:end|return|call)\|>)|(?P<start><\|start\|>[^<>\n]{0,80})(?:<\|message\|>)?"
)
_KIND = re.compile(r"<\|channel\|>[ \t]*(\w+)")
_RECIPIENT = re.compile(r"\bto=([\w.]{1,100})")
_BARE = re.compile(r"\s*(?P<role>assistant)?analysis(?=[A-Z\"'(\d]|\s*\n)")
_BARE_FINAL = "assistantfinal"
_LONE_FINAL = re.compile(r"(?<!\w)assistantfinal(?=[^\s\"'`\\)]|\n)")


def split_channels(text: str) -> tuple[str, str] | None:
    """Split a reply in the harmony format into its thought and the rest; None where it is not in that format."""
    first = _CHANNEL.search(text) if "<|channel|>" in text else None
    if first is None:
        return _without_tokens(text)
    parts = _parts(text)
    is_final = any(kind == "final" for kind, _, _ in parts)
    thought: list[str] = []
    rest: list[str] = []
    for kind, recipient, body in parts:
        if recipient and recipient not in ("user", "assistant", "all"):
            rest.append(call_element(recipient, body))
        elif kind == "final" or (kind == "commentary" and not is_final) or (not kind and not thought):
            rest.append(body)
        else:
            thought.append(body)
    return _joined(thought), _joined(rest)


def _parts(text: str) -> list[tuple[str, str, str]]:
    """List the messages: channel, recipient and body of each; text before the first header has no channel."""
    parts: list[tuple[str, str, str]] = []
    kind, recipient, body_start = "", "", 0
    is_open = True
    for match in _PART.finditer(text):
        if is_open:
            parts.append((kind, recipient, text[body_start : match.start()]))
        # What stands before the first header and is ended there is a thought that the prompt had opened.
        if match["end"] and len(parts) == 1 and not kind:
            parts[0] = ("analysis", "", parts[0][2])
        head = match["head"]
        is_open, body_start = head is not None, match.end()
        if head is not None:
            named, to = _KIND.search(head), _RECIPIENT.search(head)
            kind, recipient = named[1] if named else "final", to[1] if to else ""
    if is_open:
        parts.append((kind, recipient, text[body_start:]))
    return [part for part in parts if part[2].strip()]


def _without_tokens(text: str) -> tuple[str, str] | None:
    if _BARE_FINAL not in text and "analysis" not in text[:100]:
        return None
    opening = _BARE.match(text)
    if opening is None:  # it was in the prompt
        lone = _LONE_FINAL.search(text)
        return (text[: lone.start()].strip(), text[lone.end() :].lstrip("\n")) if lone else None
    final = text.rfind(_BARE_FINAL)
    if final >= 0:
        return text[opening.end() : final].strip(), text[final + len(_BARE_FINAL) :].lstrip()
    # "analysis" on a line of its own may also be a heading of an ordinary reply.
    is_heading = opening["role"] is None and text.startswith("\n", opening.end())
    return None if is_heading else (text[opening.end() :].strip(), "")


def _joined(parts: list[str]) -> str:
    return "\n\n".join(part.strip() for part in parts)
