"""No bytes are believed that a worker sends."""

import gc
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from rlmbox.sandboxes.worker._frames import Done, FrameLimits, Inbox, Reply, Violation, encode, read_message
from rlmbox.sandboxes.worker._values import LARGE_CHARS, Writer, to_json
from rlmbox.sandboxes.worker._worker import FRAME_BYTES, framed
from sandboxes.wire import DONE, ECHO, Attacker, call, frame, lost, meet, raw

NINES = b"9" * 4300 + b"}"


def beside(way: bytes, texts: bytes) -> bytes:
    """Return a frame with texts beside its JSON."""
    return raw(
        b'{"type": "done", "id": 1, "outcome": "ok", "value": ["", 1, {"k": ""}], "aside": [' + way + b"]}\0" + texts
    )


HOSTILE = {
    **{
        f"a text for the place {way.decode()}": (beside(way, b"abc"), reason)
        for way, reason in {
            b"3": "of the wrong size",
            b"[]": "of the wrong size",
            b'["value", 0]': "that is taken",
            b'["value", 0, 4]': "of the wrong size",
            b'["value", 0, -1]': "of the wrong size",
            b'["value", 0, true]': "of the wrong size",
            b'["value", -1, 3]': "that does not exist",
            b'["value", 3, 3]': "that does not exist",
            b'["value", false, 3]': "that does not exist",
            b'["value", 2, "x", 3]': "that does not exist",
            b'["value", 2, 0, 3]': "that does not exist",
            b'["value", 0, 0, 3]': "that does not exist",
            b'["value", [0], 3]': "that does not exist",
            b'["value", 1, 3]': "that is taken",
            b'["value", 3], ["value", 3]': "that is taken",
            b'["value", 0, 2], ["value", 2, "k", 2]': "of the wrong size",
            b'["value", 0, 1], ["value", 0, 1]': "that is taken",
            b'["aside", 0, 3]': "that is taken",
        }.items()
    },
    "a text that is not UTF-8": (beside(b'["value", 0, 2]', b"\xff\xfe"), "not UTF-8"),
    "a length of four gigabytes": (b"\xff\xff\xff\xff", "announced a frame of 4,294,967,295 bytes"),
    "a length just over the cap": ((FRAME_BYTES + 1).to_bytes(4, "big"), "announced a frame"),
    "an empty frame": (raw(b""), "not JSON"),
    "bytes that are not UTF-8": (raw(b'{"type": "\xff\xfe"}'), "not JSON"),
    "text that is not JSON": (raw(b"import os"), "not JSON"),
    "a pickle": (raw(b"\x80\x04\x95\x1a\x00\x00\x00"), "not JSON"),
    "half an object": (raw(b'{"type": "done"'), "not JSON"),
    "NaN": (raw(b'{"type": "done", "value": NaN}'), "not JSON"),
    "Infinity": (raw(b'{"type": "done", "value": -Infinity}'), "not JSON"),
    "a number that overflows": (raw(b'{"type": "done", "value": 1e999999}'), "not JSON"),
    "an integer of a million digits": (raw(b'{"id": ' + b"9" * 1_000_000 + b"}"), "not JSON"),
    "ten thousand open brackets": (raw(b"[" * 10_000), "nested deeper"),
    "a hundred thousand open brackets": (raw(b"[" * 100_000), "values"),
    "twenty thousand empty lists": (raw(b"[" + b"[]," * 20_000 + b"[]]"), "lists and objects"),
    "a million escapes": (raw(b'["' + b"\\n" * 1_000_000 + b'"]'), "too many escapes"),
    "deep objects": (raw(b'{"a":' * 1000 + b"1" + b"}" * 1000), "nested deeper"),
    "a million empty lists": (raw(b"[" + b"[]," * 1_000_000 + b"[]]"), "values"),
    "a million texts": (raw(b"[" + b'"",' * 1_000_000 + b'""]'), "values"),
    "texts without commas between": (raw(b'"[,"' * 1_000_000), "not JSON"),
    "closed brackets": (raw(b"[]" * 250 + b"]" * 1_000_000), "not JSON"),
    "brackets in turn": (raw(b"[" * 211 + b"]" * 211 + b"[" * 230 + b"]" * 230), "nested deeper"),
    "an integer too long for a float": (raw(b'{"value": ' + b"9" * 400 + b'.0, "type": "done"}'), "not JSON"),
    "a count of 4,300 digits": (raw(b'{"type": "done", "id": 1, "outcome": "ok", "dropped": ' + NINES), "out of range"),
    "a count below zero": (frame({**DONE, "dropped": -1}), "'dropped' is out of range"),
    "a request of 4,300 digits": (raw(b'{"type": "done", "outcome": "ok", "id": ' + NINES), "out of range"),
    "a call of 4,300 digits": (
        raw(b'{"type": "call", "name": "echo", "args": [], "kwargs": {}, "id": ' + NINES),
        "out of range",
    ),
    "a line of 4,300 digits": (
        raw(
            b'{"type": "done", "id": 1, "outcome": "error", "error": {"type": "E", "message": "", "line": '
            + NINES
            + b"}"
        ),
        "out of range",
    ),
    "a long mantissa with a short exponent": (raw(b'{"value": ' + b"9" * 308 + b'e5, "type": "done"}'), "not JSON"),
    "a long frame of infinite numbers": (raw(b'{"value": [' + b"1.5," * 40_000 + b"1e999]}"), "not JSON"),
    "a long frame of infinite numbers after what is none in a text": (
        raw(b'{"value": ["\\"1e999"' + b",1e308" * 30_000 + b",2e308]}"),
        "not finite",
    ),
    "a long frame with a long mantissa": (
        raw(b'{"value": [' + b"1.5," * 30_000 + b"9" * 310 + b".0]}"),
        "not finite",
    ),
    "megabytes of long numbers among texts of digits": (
        raw(b"[" + (b'"' + b"9" * 40 + b'\\"",' + b"9" * 40 + b",") * 60_000 + b"1]"),
        "digits in long numbers",
    ),
    "megabytes of long numbers": (raw(b"[" + (b"9" * 40 + b",") * 60_000 + b"1]"), "digits in long numbers"),
    "megabytes of digits": (raw(b"[" + (b"9" * 4000 + b",") * 80 + b"1]"), "not an object"),
    "a million lone surrogates": (raw(b'["' + b"\\ud800" * 1_000_000 + b'"]'), "surrogate"),
    "restored names that are numbers": (frame({**DONE, "restored": [1]}), "invalid names"),
    "forty thousand restored names": (frame({**DONE, "restored": ["x"] * 40_000}), "invalid names"),
    "a clock that is a number": (frame({**DONE, "reads_clock": 1}), "'reads_clock' is a int"),
    "an unknown type": (frame({"type": "exec", "code": "1"}), "unknown type 'exec'"),
    "a type that is a list": (frame({"type": ["done"]}), "unknown type"),
    "no type": (frame({}), "unknown type"),
    "a list": (frame([1]), "not an object"),
    "null": (frame(None), "not an object"),
    "a reply without a number": (frame({"type": "done", "outcome": "ok"}), "'id' is a NoneType"),
    "a reply numbered true": (frame({**DONE, "id": True}), "'id' is a bool"),
    "a reply to another request": (frame({**DONE, "id": 2}), "another request"),
    "an outcome only the host can give": (frame({**DONE, "outcome": "crashed", "error": {}}), "unknown outcome"),
    "an outcome that is a dictionary": (frame({**DONE, "outcome": {}}), "'outcome' is a dict"),
    "success with an error": (frame({**DONE, "error": {"type": "E", "message": ""}}), "with an error"),
    "failure without an error": (frame({**DONE, "outcome": "error"}), "without an error"),
    "an error without a type": (frame({**DONE, "outcome": "error", "error": {"message": ""}}), "'type' is a NoneType"),
    "output that is a number": (frame({**DONE, "stdout": 5}), "'stdout' is a int"),
    "a count that is a text": (frame({**DONE, "dropped": "5"}), "'dropped' is a str"),
    "readiness in the middle": (frame({"type": "ready"}), "reply to something else"),
    "more after the end": (frame(DONE) + b"\x00", "more after the end of a cell"),
    "two replies": (frame(DONE) * 2, "more after the end of a cell"),
    "an unknown function": (call(1, "os.system", "id"), "unknown function 'os.system'"),
    "a function with a strange name": (call(1, "__class__"), "unknown function"),
    "a call without arguments": (frame({"type": "call", "id": 1, "name": "echo"}), "'args' is a NoneType"),
    "arguments that are a text": (
        frame({"type": "call", "id": 1, "name": "echo", "args": "x", "kwargs": {}}),
        "'args'",
    ),
}


@pytest.mark.parametrize(("data", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_bytes_end_the_worker_and_nothing_else(data: bytes, reason: str) -> None:
    def script(worker: Attacker) -> None:
        worker.send(data)
        worker.stay()

    reply = await lost(script, ECHO)
    assert reply.outcome == "crashed"
    assert reply.message.startswith("the worker broke the protocol: it ")
    assert reason in reply.message
    assert len(reply.message) < 500


async def test_lone_surrogates_are_replaced() -> None:
    def script(worker: Attacker) -> None:
        worker.send(frame({**DONE, "stdout": "\ud800 😀", "value": {"\udfff": ["\udc00"]}}))
        worker.stay()

    reply, _ = await meet(script)
    assert isinstance(reply, Done)
    assert reply.stdout == "\ufffd 😀"
    assert reply.value == {"\ufffd": ["\ufffd"]}


async def test_long_texts_of_an_error_are_cut() -> None:
    error = {"type": "E" * 10_000, "message": "m" * 1_000_000, "traceback": "t" * 1_000_000, "line": 3}

    def script(worker: Attacker) -> None:
        worker.send(frame({**DONE, "outcome": "error", "error": error}))
        worker.stay()

    reply, _ = await meet(script)
    assert isinstance(reply, Done)
    assert reply.error is not None
    assert len(reply.error.type) + len(reply.error.message) + len(reply.error.traceback) < 150_000


def taken(inbox: Inbox) -> Reply | None:
    body = inbox.take()
    return None if body is None else read_message(body, inbox.limits)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)


texts = st.sampled_from(["", "é", "\ud83d", '"\\', "x" * (LARGE_CHARS - 1), "x" * LARGE_CHARS, '\\"é\0🎉' * 900])


@given(
    st.recursive(
        texts | st.integers(-(2**70), 2**70) | st.just(10**200),
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5) | st.tuples(inner, inner),
        max_leaves=30,
    ),
    st.integers(0, 3),
)
@settings(max_examples=examples(100), deadline=None)
def test_texts_that_are_sent_beside_the_json_come_back_to_their_places(value: Any, levels: int) -> None:
    for level in range(levels):
        value = [[value] * 40, "y"] if level % 2 else {"d": value}
    writer = Writer(puts_aside=True)
    size, parts = framed({**DONE, "value": writer.write(value)}, writer)
    body = b"".join(parts)
    assert len(body) == size
    message = read_message(body, FrameLimits())
    assert isinstance(message, Done)
    assert message.value == json.loads(json.dumps(to_json(value)).replace('\\ud83d"', '\\ufffd"'))


def _depth(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


@given(json_values, st.sampled_from([0, 150, 190, 192, 194, 202, 203, 210, 250]))
@settings(max_examples=examples(200), deadline=None)
def test_every_json_value_arrives_unless_it_is_too_deep(value: Any, levels: int) -> None:
    for level in range(levels):
        value = [value] if level % 3 else {"d": value}
    inbox = Inbox(FrameLimits())
    inbox.feed(encode({**DONE, "value": value}))
    if 1 + _depth(value) > 201:
        with pytest.raises(Violation, match="nested deeper"):
            taken(inbox)
    else:
        message = taken(inbox)
        assert isinstance(message, Done)
        assert message.value == value
        assert inbox.is_empty


@given(st.text(alphabet='[]{}",:\\\n é', max_size=200))
@settings(max_examples=examples(200), deadline=None)
def test_brackets_and_commas_in_texts_do_not_count(text: str) -> None:
    inbox = Inbox(FrameLimits(free_bytes=2_000))
    inbox.feed(encode({**DONE, "value": [text]}))
    message = taken(inbox)
    assert isinstance(message, Done)
    assert message.value == [text]


@given(st.binary(max_size=300))
@settings(max_examples=examples(300), deadline=None)
def test_any_bytes_are_a_message_or_a_violation(data: bytes) -> None:
    inbox = Inbox(FrameLimits(frame_bytes=250))
    inbox.feed(raw(data))
    with pytest.raises(Violation):
        taken(inbox)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20))
@settings(max_examples=examples(50), deadline=None)
def test_messages_do_not_depend_on_how_the_bytes_are_cut(cuts: list[int]) -> None:
    inbox = Inbox(FrameLimits())
    data = b"".join(encode({**DONE, "id": number, "value": "é" * number}) for number in range(5))
    found: list[Any] = []
    while data:
        size = cuts[len(found) % len(cuts)]
        inbox.feed(data[:size])
        data = data[size:]
        while (message := taken(inbox)) is not None:
            found.append(message)
    assert [(message.id, message.value) for message in found] == [(n, "é" * n) for n in range(5)]


@given(
    st.lists(st.sampled_from(["\\", '"', "x", ",", "é", "[" * 7, "\\" * 9]), min_size=1, max_size=12), st.integers(0, 1)
)
@settings(max_examples=examples(60), deadline=None)
def test_a_text_longer_than_a_piece_does_not_count_however_it_is_cut(parts: list[str], shift: int) -> None:
    inbox = Inbox(FrameLimits(free_bytes=1_000))
    unit = "".join(parts)
    unit += "y" * 17 * len(unit)  # so many escapes may be in a frame
    text = "a" * shift + unit * (2_400_000 // len(unit))
    inbox.feed(encode({**DONE, "value": [text]}))
    message = taken(inbox)
    assert isinstance(message, Done)
    assert message.value == [text]


def test_a_large_frame_of_brackets_in_text_is_checked_in_pieces() -> None:
    inbox = Inbox(FrameLimits())
    text = '[[[{"\\,,,:::xxxxxxxxxxxx' * 300_000
    inbox.feed(encode({**DONE, "value": [text]}))
    message = taken(inbox)
    assert isinstance(message, Done)
    assert message.value == [text]


def test_what_looks_like_an_infinite_or_a_long_number_is_neither_in_a_text_nor_as_a_large_float() -> None:
    inbox = Inbox(FrameLimits())
    texts = ['"1e999', "9" * 400 + ".0", "1" * 1_000 + '\\"', "e999\\"] * 20_000
    value = [*texts[:60_000], 1.7976931348623157e308, 1e308, 10**250, -1.5e300]
    inbox.feed(encode({**DONE, "value": value}))
    message = taken(inbox)
    assert isinstance(message, Done)
    assert message.value == value


def test_reading_large_frames_in_threads_leaves_the_garbage_collector_as_it_was() -> None:
    body = b'{"type": "call", "id": 1, "name": "f", "kwargs": {}, "args": [' + b"1," * 30_000 + b"1]}"
    broken = body[:-1]
    for was_on in (True, False):
        (gc.enable if was_on else gc.disable)()
        try:
            with ThreadPoolExecutor(4) as threads:
                read = [threads.submit(read_message, one, FrameLimits()) for one in (body, broken) * 4]
            assert [one.exception() is None for one in read] == [True, False] * 4
            assert gc.isenabled() is was_on
        finally:
            gc.enable()
