"""JSON in parts is the JSON that an encoder writes at once, and no part takes long to write."""

import json
from collections.abc import Callable

import pytest

from rlmbox.context.json_parts import LONG, is_long, json_parts

ENCODERS = [
    json.JSONEncoder(),
    json.JSONEncoder(ensure_ascii=False, allow_nan=False),
    json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=repr),
    json.JSONEncoder(separators=(",", ":")),
]
VALUES: list[object] = ["", "\ud800\u2028\x00\\", 10**30, {"ß": [None, 1.5, -0.0, True], "": [], "a": {"b": ()}}]
LONG_VALUES: list[Callable[[object], object]] = [
    lambda value: [value] * 30_000,
    lambda value: {f"k{number}": value for number in range(30_000)},
    lambda value: {"few": value, "rows": [[value, "x" * 300] for _ in range(2_000)], "last": value},
    lambda value: [value, 'a"b\\\n\ud83d😀' * LONG, value, {"text": ("é" * LONG, [value] * 20_000)}],
    lambda value: [["x" * 90_000, value] for _ in range(40)],
]


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("around", LONG_VALUES)
@pytest.mark.parametrize("value", VALUES)
def test_the_parts_are_what_an_encoder_writes_at_once(
    encoder: json.JSONEncoder, around: Callable[[object], object], value: object
) -> None:
    long = around(value)

    assert "".join(json_parts(long, encoder)) == encoder.encode(long)


@pytest.mark.parametrize("around", LONG_VALUES)
def test_no_part_of_what_is_long_is_long_itself(around: Callable[[object], object]) -> None:
    long = around("seven")

    parts = list(json_parts(long, ENCODERS[1]))

    assert is_long(long)
    assert max(map(len, parts)) < 2 << 20
    assert len(parts) > 3


def test_what_contains_itself_is_refused_as_by_the_encoder() -> None:
    knot: list[object] = []
    knot.append(knot)

    with pytest.raises(ValueError, match="Circular"):
        list(json_parts(knot, ENCODERS[0]))


@pytest.mark.parametrize("value", ["x", [1] * 1_000, {"a": ["b"] * 1_000}, None, 7])
def test_what_is_short_is_one_part(value: object) -> None:
    assert not is_long(value)
    assert len(list(json_parts(value, ENCODERS[0]))) == 1
