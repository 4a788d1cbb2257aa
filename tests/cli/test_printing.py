"""What is printed for programs, seen at a terminal."""

import json
import sys

import pytest

from rlmbox.cli.printing import print_json

HOSTILE = {"\x9b31m": "\x1b]0;a\x07 \u202eabc\u202c \u2028 \x85 \U000e0041 \r", "plain": "Grüße, 日本 🧪\tand\nmore"}


@pytest.mark.parametrize("indent", [2, None])
def test_an_object_at_a_terminal_is_the_same_object_and_has_no_effect(
    indent: int | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_json(HOSTILE, indent=indent)
    shown = capsys.readouterr().out
    assert json.loads(shown) == HOSTILE
    assert "Grüße, 日本 🧪" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)


def test_an_object_in_a_pipe_is_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(HOSTILE)
    assert "\u202eabc" in capsys.readouterr().out
