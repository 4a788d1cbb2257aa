"""What a function of the host says of itself."""

from __future__ import annotations

import pytest

from rlmbox.types import HostFunction


class Shelf:
    def take(self, number: int, *, gently: bool = True) -> str:
        return f"{number} {gently}"


def test_a_method_keeps_its_own_name_in_the_repl_whatever_another_session_calls_it() -> None:
    first, second = HostFunction("take", Shelf().take, ""), HostFunction("shelf.take", Shelf().take, "")
    assert first.signature == "take(number: int, *, gently: bool = True) -> str"
    assert second.signature == "shelf.take(number: int, *, gently: bool = True) -> str"
    assert first.parameters == second.parameters == ("number",)


def test_a_method_and_the_function_behind_it_differ_by_the_object() -> None:
    assert HostFunction("take", Shelf().take, "").parameters == ("number",)
    assert HostFunction("take", Shelf.take, "").parameters == ("self", "number")


def test_what_is_written_in_c_and_does_not_say_raises() -> None:
    with pytest.raises(ValueError, match="signature"):
        _ = HostFunction("most", max, "").signature
