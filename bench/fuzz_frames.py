"""A fuzzer for what the host reads from a worker: frames of many kinds, cut, joined and changed, by a fixed seed.

    python bench/fuzz_frames.py --small 300000 --large 2000

Every frame has to end as a message or as a `Violation`, within 5 ms of processor time for each MiB and 20 ms besides;
one that does not is read three times more, and the least counts, since what else runs on the machine takes its caches.
Prints how many did not, the slowest, and how long `json.loads` takes for plain text on this machine now.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter

from rlmbox.sandboxes.worker._frames import FrameLimits, Violation, read_message
from rlmbox.sandboxes.worker._worker import FRAME_BYTES

MIB = 1 << 20
MS_PER_MIB, MS_BESIDE = 5.0, 20.0
LIMITS = FrameLimits()
UNITS = [
    *(b'"', b"\\", b",", b":", b"[", b"]", b"{", b"}", b"a", b" ", b"\n", b"\0", b"\xff", b"0", b"9", b"e", b"-", b"."),
    *(b'\\"', b"\\\\", b"\\n", b"\\u00e9", b"\\ud83d\\ude00", b"\\ud800", b"\\udc00", b"\\x", b"\\u12"),
    *("é".encode(), "漢".encode(), "🎉".encode(), b"\xed\xa0\x80", b"\xc3", b"\xef\xbb\xbf"),
    *(b'"",', b'"a",', b'","', b'":"', b'"a":1,', b"[],", b"{},", b"[[", b"]]", b'{"a":', b"null,", b"true,", b"1,"),
    *(
        b"1e999,",
        b"1e5,",
        b"-0.0,",
        b"9" * 300,
        b"9" * 5_000 + b",",
        b"1" * 250 + b",",
        b"NaN",
        b"Infinity",
        b"1.5e-300,",
    ),
    *(b'\\\\"', b'\\\\\\"', b'",\\"', b'"\\\\",', b'\\",', b"[{,:", b"e000", b'"' + b"x" * 20 + b'",'),
]
HEAD = b'{"type":"done","id":1,"outcome":"ok","stdout":"%b","dropped":%b,"error":null,"value_repr":null,"value":'
PLAIN = b'{"type":"call","id":%b,"name":"llm_query","args":[%b],"kwargs":{}}'


def body(dice: random.Random, size: int) -> bytes:
    """Returns the body of a frame of about so many bytes."""
    kind = dice.random()
    filling = _filling(dice, size)
    if kind < 0.15:
        return filling
    if kind < 0.45:
        left, right = dice.choice([(b'"', b'"}'), (b"[", b"1]}"), (b'["', b'"]}'), (b'{"a":', b"1}}"), (b"", b"}")])
        printed, dropped = dice.choice([(b"", b"0"), (filling[:99], b"0"), (b"", b"9" * dice.choice([3, 4_301]))])
        return HEAD % (printed, dropped) + left + filling + right
    if kind < 0.6:
        return PLAIN % (dice.choice([b"1", b"-1", b"1e3", b"9" * 30, b"true"]), filling)
    if kind < 0.65:
        return _beside(dice, filling)
    value = [filling.decode("utf-8", "replace")] if kind < 0.8 else _valid(dice, size)
    text = json.dumps({"type": "done", "id": 1, "outcome": "ok", "value": value}, ensure_ascii=kind < 0.7).encode()
    return _changed(dice, text) if dice.random() < 0.5 else text


def _beside(dice: random.Random, texts: bytes) -> bytes:
    """Returns a frame with texts, or what are none, beside its JSON."""
    count = dice.choice([1, 2, 50, max(len(texts) // 1_024, 1)])
    size = len(texts) // count if dice.random() < 0.9 else len(texts)
    ways = [["value", number, "k", size] for number in range(count)]
    value = [{"k": ""}] * count
    return (
        json.dumps({**json.loads(HEAD % (b"", b"0") + b"0}"), "value": value, "aside": ways}).encode() + b"\0" + texts
    )


def _filling(dice: random.Random, size: int) -> bytes:
    parts = [dice.choice(UNITS) for _ in range(dice.choice([1, 1, 2, 3, 8]))]
    unit = b"".join(parts)
    if dice.random() < 0.3:
        unit += b'"' * dice.randint(0, 1) + dice.choice(UNITS) * dice.randint(1, 60)
    if dice.random() < 0.5 or size < 64:
        return (unit * (size // len(unit) + 1))[:size]
    pieces, left = [], size
    while left > 0:  # several kinds after one another
        unit = dice.choice(UNITS)
        run = (unit * min(left // 2 + 1, left // len(unit) + 1))[: max(left // dice.randint(1, 4), 1)]
        pieces.append(run)
        left -= len(run)
    return b"".join(pieces)


def _valid(dice: random.Random, size: int) -> object:
    values: list[object] = [
        None,
        True,
        0,
        -1,
        2**53,
        10**40,
        1.5,
        1e300,
        "",
        "a",
        'q"\\,:[{',
        "é🎉",
        [],
        {},
        [[]],
        {"k": [1]},
    ]
    few = [dice.choice(values) for _ in range(dice.randint(1, 6))]
    if dice.random() < 0.2:
        deep: object = 1
        for _ in range(dice.choice([10, 150, 195, 205, 300])):
            deep = [deep] if dice.random() < 0.5 else {"d": deep}
        few.append(deep)
    times = min(max(size // (len(json.dumps(few)) + 2), 1), 300_000)
    return few * times


def _changed(dice: random.Random, text: bytes) -> bytes:
    at = dice.randrange(len(text) + 1)
    kind = dice.randrange(4)
    if kind == 0:
        return text[:at]
    if kind == 1:
        return text[:at] + dice.choice(UNITS) + text[at:]
    if kind == 2:
        return text[:at] + text[at + dice.randint(1, 9) :]
    return text[at:] + text[:at]


def measure(count: int, sizes: tuple[int, int], seed: int) -> list[str]:
    """Reads so many frames; returns the figures."""
    dice = random.Random(seed)
    outcomes: Counter[str] = Counter()
    slowest: list[tuple[float, float, int]] = []
    over = spent_s = total_bytes = 1e-9
    for number in range(count):
        frame = body(dice, int(sizes[0] * (sizes[1] / sizes[0]) ** dice.random()))[:FRAME_BYTES]
        bound_ms = MS_BESIDE + MS_PER_MIB * len(frame) / MIB
        outcome, took_ms = _read(frame)
        for _ in range(3):
            if took_ms > bound_ms:
                took_ms = min(took_ms, _read(frame)[1])
        outcomes["a message" if outcome in ("Done", "CallFrame", "Ready") else "a violation"] += 1
        share = took_ms / bound_ms
        over += share > 1
        spent_s, total_bytes = spent_s + took_ms / 1e3, total_bytes + len(frame)
        slowest = sorted([*slowest, (share, took_ms, number)], reverse=True)[:3]
    worst = ", ".join(f"{share:.2f} of the bound ({ms:.1f} ms, number {at})" for share, ms, at in slowest)
    return [
        f"{count:,} frames of {sizes[0]:,} to {sizes[1]:,} bytes, {total_bytes / MIB:,.0f} MiB: {dict(outcomes)}",
        f"over the bound: {over:.0f}; on average {spent_s * 1e3 / (total_bytes / MIB):.2f} ms a MiB; slowest {worst}",
    ]


def _read(frame: bytes) -> tuple[str, float]:
    """Returns what came of a frame, and the milliseconds that it took."""
    began = time.thread_time()
    try:
        outcome = type(read_message(frame, LIMITS)).__name__
    except Violation as violation:
        outcome = str(violation).partition(":")[0][:40]
    return outcome, (time.thread_time() - began) * 1e3


def yardstick() -> str:
    """Returns how long reading plain text takes now: other users of the machine make all figures larger."""
    text = b'"' + b"a" * (32 * MIB) + b'"'
    times = []
    for _ in range(3):
        began = time.thread_time()
        json.loads(text)
        times.append((time.thread_time() - began) * 1e3 / 32)
    return f"json.loads of plain text: {min(times):.2f} ms a MiB"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=300_000)
    parser.add_argument("--large", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=10)
    given = parser.parse_args()
    print(yardstick(), flush=True)
    for count, sizes in ((given.small, (16, 1 << 16)), (given.large, (1 << 16, FRAME_BYTES))):
        print(*measure(count, sizes, given.seed), sep="\n", flush=True)
    print(yardstick())
    return 0


if __name__ == "__main__":
    sys.exit(main())
