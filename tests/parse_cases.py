"""Tables of replies, as the tests of `parse` write them."""

from typing import Any

import pytest

from rlmbox.reply.parse import Final

Q = '"""'


def text(words: str, value: object = None) -> Final:
    return Final("text", words if value is None else value, words)


def variable(name: str) -> Final:
    return Final("variable", name=name)


def code(source: str) -> Final:
    return Final("expression", text=source)


def cases(table: dict[str, tuple[Any, ...]]) -> list[Any]:
    return [pytest.param(*row, id=name.replace(" ", "_")) for name, row in table.items()]
