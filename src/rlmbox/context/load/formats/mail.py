"""Conversion of mails and mailboxes to text: the visible headers, the body, and the attachments."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Callable, Iterator
from email.message import EmailMessage, MIMEPart
from typing import IO

from rlmbox.context.load.formats.events import Begin, Events, Omitted, Piece
from rlmbox.context.load.formats.markup import markdown

_HEADERS = ("From", "To", "Cc", "Bcc", "Date", "Subject")
_BETWEEN = re.compile(rb"^From .*\d{4}\r?\n", re.MULTILINE)
_MAX_MAILS = 20_000
_SUBJECT_CHARS = 80

Attached = Callable[[str, bytes], Events]
"""Read a file that is attached, of this name."""


def read_mail(file: IO[bytes], attached: Attached) -> Events:
    """Read one mail; attachments follow as separate documents."""
    yield from _mail(file.read(), "", attached)


def read_mailbox(file: IO[bytes], attached: Attached) -> Events:
    """Read a mailbox, each mail as a separate document."""
    data = file.read()
    starts = [found.end() for found in _BETWEEN.finditer(data)]
    ends = [*[found.start() for found in _BETWEEN.finditer(data)][1:], len(data)]
    for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1):
        if number > _MAX_MAILS:
            yield Omitted("more than are read", f"mail {number} and later")
            return
        mail = re.sub(rb"^>(>*From )", rb"\1", data[start:end], flags=re.MULTILINE)
        subject = " ".join(str(_parsed(mail).get("Subject", "")).split())[:_SUBJECT_CHARS].replace("/", "_")
        name = f"{number:04d} {subject}".strip()
        yield Begin(name)
        yield from _mail(mail, f"{name}/", attached)


def _parsed(data: bytes) -> EmailMessage:
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)  # noqa: S101 - by its policy
    return message


def _mail(data: bytes, prefix: str, attached: Attached) -> Events:
    message = _parsed(data)
    heads = [f"{name}: {value}" for name in _HEADERS if (value := _header(message, name))]
    yield Piece("\n".join(heads) + "\n\n" + _words(message).strip() + "\n")
    for number, (name, part) in enumerate(_attachments(message), 1):
        own = (name or f"attachment {number}").replace("/", "_")
        content = _content(part)
        if content is None:
            yield Omitted("unreadable", prefix + own)
        else:
            yield from attached(prefix + own, content)


def _header(message: EmailMessage, name: str) -> str:
    try:
        return " ".join(str(message.get(name, "")).split())
    except (ValueError, IndexError, AttributeError, LookupError):  # headers that the library cannot parse
        return " ".join(str(message.as_string().partition(f"\n{name}:")[2].partition("\n")[0]).split())


def _words(message: EmailMessage) -> str:
    """Return a mail's body: its plain text if it has one, otherwise its HTML as Markdown."""
    body = message.get_body(preferencelist=("plain", "html"))
    if body is None:
        return ""
    try:
        text = body.get_content()
    except (LookupError, ValueError):
        text = _payload(body)
    if not isinstance(text, str):
        return ""
    plain = markdown(text) if body.get_content_type() == "text/html" else text
    if plain.strip() or body.get_content_type() == "text/html":
        return plain
    page = message.get_body(preferencelist=("html",))
    return markdown(_payload(page)) if page is not None else plain


def _payload(part: MIMEPart) -> str:
    from rlmbox.context.load.encodings import decoded

    payload = part.get_payload(decode=True)
    return decoded(payload).content.data.decode() if isinstance(payload, bytes) else str(payload or "")


def _attachments(message: EmailMessage) -> Iterator[tuple[str, EmailMessage]]:
    try:
        parts = list(message.iter_attachments())
    except (AttributeError, KeyError):  # a single-part mail that is not text
        parts = [message] if message.get_content_maintype() not in ("text", "multipart") else []
    for part in parts:
        if part.get_content_maintype() != "multipart":
            yield part.get_filename() or _named(part), part


def _named(part: EmailMessage) -> str:
    if part.get_content_type() == "message/rfc822":
        return "forwarded.eml"
    return {"text/plain": "attached.txt", "text/html": "attached.html"}.get(part.get_content_type(), "")


def _content(part: EmailMessage) -> bytes | None:
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload(0)
        return inner.as_bytes() if hasattr(inner, "as_bytes") else None
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else None
