"""The schema of a text, as tests ask for it."""

from rlmbox.context import Context


def schema(text: str, name: str = "context") -> dict:
    return Context.from_text(text, name=name).get_schema()
