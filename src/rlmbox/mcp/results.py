"""Conversion of a tool result to the JSON value that code gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp_types import CallToolResult

_ERROR_CHARS = 2_000


def value_of(result: CallToolResult, *, is_wrapped: bool) -> Any:
    """Return the value of a result.

    Structured content is the value itself. A single text is a `str`; an image or audio is a dict with `type`,
    `mime_type` and `data` in base64; several parts are a list of these. Structured content together with an image is a
    dict of `structured` and `content`.

    Args:
        result: The result.
        is_wrapped: Whether the value is the only member, `result`, of the structured content.

    Raises:
        RuntimeError: The tool failed; the message is the server's.
    """
    parts = [_part(each) for each in result.content]
    if result.is_error:
        said = "; ".join(part for part in parts if isinstance(part, str)) or "the tool failed and does not say why"
        raise RuntimeError(said[:_ERROR_CHARS])
    structured: Any = result.structured_content
    if structured is not None:
        if is_wrapped and isinstance(structured, dict) and structured.keys() == {"result"}:
            structured = structured["result"]
        beside = [part for part in parts if isinstance(part, dict)]
        return {"structured": structured, "content": beside} if beside else structured
    return parts[0] if len(parts) == 1 else parts or None


def _part(content: Any) -> Any:
    if content.type == "text":
        return content.text
    if content.type in ("image", "audio"):
        return {"type": content.type, "mime_type": content.mime_type, "data": content.data}
    if content.type == "resource":
        resource = content.resource
        text = getattr(resource, "text", None)
        data = {"text": text} if text is not None else {"data": getattr(resource, "blob", "")}
        return {"type": "resource", "uri": str(resource.uri), "mime_type": resource.mime_type, **data}
    return content.model_dump(mode="json", by_alias=False, exclude_none=True)
