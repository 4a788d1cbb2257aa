"""The schema of a text, as tests ask for it."""

from collections.abc import Mapping
from typing import Any

from rlmbox.context import Context


def schema(text: str, name: str = "context") -> Mapping[str, Any]:
    return Context.from_text(text, name=name).get_schema()
