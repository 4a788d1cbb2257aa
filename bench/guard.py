"""The guard: what it finds, what it finds wrongly, what it takes, and what gets past it.

Samples come from `guard_corpus`; even seeds are for tuning, and what is measured here has odd ones. Ordinary text is
the half of this Python's own files that the table of pairs was not made from, and the manual pages of this machine,
where there are any, in whatever languages it has them.
"""

from __future__ import annotations

import gzip
import math
import re
import resource
import string
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random

from figures import Figure
from guard_corpus import carrying, dumping, making
from guard_corpus.make_pairs import ordinary_files
from rlmbox.context import Context
from rlmbox.guard import Guard
from rlmbox.guard.copy_index import CopyIndex
from rlmbox.guard.rarity import bits_per_pair

SEEDS = (1, 3)
SECRET_KINDS = {"email", "phone", "cpf", "cnpj", "iban", "card", "hex-digest", "encoded-lines"}
TESTS = re.compile(r"/(?:test|tests|testing|idle_test|test_data|data)/|/test_|_test\.|testcases")
MAX_ORDINARY_BYTES = 12_000_000
GIGABYTES = 2


def figures() -> list[Figure]:
    return [*recall(), *false_positives(), *refused(), *costs(), *dumps(), *index_of_gigabytes()]


# ---- what is found --------------------------------------------------------------------------------------------------


def missed(samples: Iterable[carrying.Sample]) -> dict[str, tuple[int, int]]:
    """Returns how many of each kind got through, and how many there were."""
    guard = Guard()
    counts: dict[str, tuple[int, int]] = {}
    for sample in samples:
        shown = guard.for_run().check(sample.text, path="export").text
        value = sample.value.removeprefix("AccountKey=")
        through, all_of = counts.get(sample.kind, (0, 0))
        counts[sample.kind] = through + (value in shown), all_of + 1
    return counts


def share(counts: Iterable[tuple[int, int]]) -> float:
    pairs = list(counts)
    return 100 * sum(through for through, _ in pairs) / sum(number for _, number in pairs)


def recall() -> Iterator[Figure]:
    major = [pair for seed in SEEDS for pair in missed(carrying.samples(making.MAJOR, seed, 60)).values()]
    other = [pair for seed in SEEDS for pair in missed(carrying.samples(making.OTHER, seed, 40)).values()]
    assigned = [pair for seed in SEEDS for pair in missed(carrying.assigned(seed, 30)).values()]
    personal = {
        kind: pair for seed in SEEDS for kind, pair in missed(carrying.samples(making.PERSONAL, seed, 200)).items()
    }
    total = sum(number for _, number in (*major, *other, *assigned))
    yield Figure(f"secrets missed, of {total:,}", share((*major, *other, *assigned)), 3, "%")
    yield Figure("private keys and major providers' keys missed", share(major), 0, "%")
    yield Figure("secrets of other formats, and of none, missed", share(other), None, "%")
    yield Figure("passwords in 23 forms of assignment missed", share(assigned), None, "%")
    checksummed = [pair for kind, pair in personal.items() if kind in making.CHECKSUMMED]
    yield Figure("personal numbers with a checksum missed", share(checksummed), 5, "%")
    for kind in ("email", "phone"):
        yield Figure(f"{kind} missed", share([personal[kind]]), None, "%")


def ordinary() -> dict[str, list[str]]:
    """Returns ordinary texts by sort."""
    texts: dict[str, list[str]] = {"code and its documentation": [], "test data": [], "manual pages": []}
    sizes: Counter[str] = Counter()
    for path in ordinary_files(tuning=False):
        sort = "test data" if TESTS.search(str(path)) else "code and its documentation"
        if sizes[sort] < MAX_ORDINARY_BYTES:
            texts[sort].append(path.read_text("utf-8", "replace"))
            sizes[sort] += len(texts[sort][-1])
    manual = Path("/usr/share/man")
    for name in sorted([*manual.glob("*/man*/*.gz"), *manual.glob("man*/*.gz")])[1::2]:
        if sizes["manual pages"] < 2 * MAX_ORDINARY_BYTES:
            try:
                texts["manual pages"].append(gzip.decompress(name.read_bytes()).decode("utf-8", "replace"))
            except (OSError, EOFError):
                continue
            sizes["manual pages"] += len(texts["manual pages"][-1])
    return texts


def false_positives() -> Iterator[Figure]:
    guard = Guard()
    for sort, texts in ordinary().items():
        if not texts:
            continue
        size = sum(map(len, texts)) / 1e6
        kinds = Counter(found.kind for text in texts for found in guard.findings(text) if found.effect == "hidden")
        secrets = sum(number for kind, number in kinds.items() if kind not in SECRET_KINDS)
        bound = None if sort == "test data" else 1.0
        yield Figure(f"taken for secrets in {sort} ({size:.0f} MB)", secrets / size, bound, "per MB")
        numbers = sum(kinds[kind] for kind in ("cpf", "cnpj", "iban", "card", "phone"))
        yield Figure(f"taken for personal numbers in {sort}", numbers / size, None, "per MB")


# ---- what was refused -----------------------------------------------------------------------------------------------


def entropy(text: str) -> float:
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def at_recall(keys: list[float], tokens: list[float], least: float) -> float:
    """Returns the share of ordinary tokens that score as high as that share of keys."""
    threshold = sorted(keys)[int((1 - least) * len(keys))]
    return 100 * sum(score >= threshold for score in tokens) / len(tokens)


def refused() -> Iterator[Figure]:
    texts = ordinary()["code and its documentation"]
    windows = [text[at : at + 1024] for text in texts for at in range(0, len(text) - 1024, 16_384)]
    flagged = sum(entropy(window) > 4.5 for window in windows)
    yield Figure("refused: windows of 1 KiB over 4.5 bits of entropy", 100 * flagged / len(windows), None, "%")
    hexadecimal = making.some(making.HEX, 64)
    rng = Random(11)
    yield Figure(
        "refused: hex keys over 4.5 bits of entropy",
        100 * sum(entropy(hexadecimal(rng)) > 4.5 for _ in range(500)) / 500,
        None,
        "%",
    )
    alphabets = (making.ALNUM, making.URLSAFE, making.BASE64, making.LOWER, string.ascii_uppercase + string.digits)
    keys = [
        making.some(alphabet, length)(rng)
        for alphabet in alphabets
        for length in (20, 24, 32, 40, 64)
        for _ in range(60)
    ]
    tokens = sorted({token for text in texts for token in re.findall(r"[0-9A-Za-z_+/=-]{20,80}", text)})
    for least in (0.95, 0.99):
        for name, score in (("refused: entropy", entropy), ("rarity of pairs", bits_per_pair)):
            wrong = at_recall([score(key) for key in keys], [score(token) for token in tokens], least)
            yield Figure(f"{name} of a token at {least:.0%} recall, ordinary tokens flagged", wrong, None, "%")
    yield from similarity()


def shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return set(zip(words, words[1:], words[2:], strict=False))


def similarity() -> Iterator[Figure]:
    long = dumping.prose(545_000, 21)
    short = dumping.prose(2_000, 22)
    for name, text, output in (
        ("a dump of 20 KB of 545 KB", long, long[50_000:70_000]),
        ("a look at 400 characters of 2 KB", short, short[:400]),
    ):
        seen, whole = shingles(output), shingles(text)
        yield Figure(f"refused: Jaccard similarity of {name}", 100 * len(seen & whole) / len(seen | whole), None, "%")
        copies = CopyIndex.of(Context.from_text(text)).copies(output)
        yield Figure(f"coverage of {name}", 100 * sum(c.end - c.start for c in copies) / len(output), None, "%")


# ---- what it takes --------------------------------------------------------------------------------------------------


def least_us_per_kb(work: Callable[[str], object], texts: list[str], rounds: int = 7) -> float:
    """Returns the lowest of several rounds, in processor time, since others use the machine."""
    size_kb = sum(map(len, texts)) / 1_000
    times = []
    for _ in range(rounds):
        began = time.process_time()
        for text in texts:
            work(text)
        times.append((time.process_time() - began) * 1e6 / size_kb)
    return min(times)


def outputs(size: int) -> list[str]:
    """Returns outputs of the sorts that cells print, with a secret or an address in every third."""
    rng = Random(13)
    code = next(text for text in ordinary()["code and its documentation"] if len(text) > 4 * size)
    pages = [text for text in ordinary()["manual pages"] if len(text) > size and not text.isascii()][:2]
    table = "".join(f"{n},2026-03-{n % 28 + 1:02},Customer {n % 37},{n * 17 % 9973}.50\n" for n in range(size))
    log = "".join(
        f"2026-03-14T09:{n % 60:02}:00Z INFO worker-{n % 7} job {n} took {n * 31 % 977} ms\n" for n in range(size)
    )
    made = [code[size : 2 * size], table[:size], log[:size], *(page[:size] for page in pages), dumping.prose(size, 31)]
    return [
        f"{text[:-60]} {making.MAJOR['github classic'](rng)}" if n % 3 == 0 else text for n, text in enumerate(made)
    ]


def costs() -> Iterator[Figure]:
    for size, bound in ((2_000, 300.0), (10_000, 100.0), (20_000, 100.0)):
        run = Guard(known_secrets=[making.MAJOR["stripe live"](Random(n)) for n in range(5)]).for_run()
        taken = least_us_per_kb(lambda text, run=run: run.check(text, path="observation"), outputs(size))
        yield Figure(f"redaction of an output of {size / 1000:g} KB", taken, bound, "µs/KB")
    text = dumping.prose(2_000_000, 41)
    large = Context.from_text("".join(text[n * 997 :] + text[: n * 997] for n in range(50)))
    index = CopyIndex.of(large)
    dump = text[35 * 997 :][:20_000]
    for name, output in (("unlike it", outputs(20_000)), ("that are a copy", [dump])):
        yield Figure(f"copies in outputs {name}, context of 100 MB", least_us_per_kb(index.copies, output), 50, "µs/KB")


def index_of_gigabytes() -> Iterator[Figure]:
    text = dumping.prose(4_000_000, 51)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.txt"
        with path.open("w") as file:
            for n in range(GIGABYTES * 250):
                file.write(text[n * 7_919 :] + text[: n * 7_919])
        context = Context.from_path(path)
        context.prepare()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began, worked = time.perf_counter(), time.process_time()
        index = CopyIndex.of(context)
        yield Figure(f"index of {GIGABYTES} GB, processor time", time.process_time() - worked, 10, "s")
        yield Figure(f"index of {GIGABYTES} GB, wall time", time.perf_counter() - began, None, "s")
        yield Figure(f"index of {GIGABYTES} GB, kept", index.size_bytes / 2**20, 64, "MiB")
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        yield Figure(f"index of {GIGABYTES} GB, most that the process grew by", max(0.0, grown), None, "MiB")


# ---- what gets past it ----------------------------------------------------------------------------------------------


def dumps() -> Iterator[Figure]:
    text = dumping.prose(200_000, 61)
    allowance = max(16_000, 0.05 * len(text))
    worst = ("", 0.0)
    for name, way in dumping.DUMPS.items():
        run = Guard().for_run(Context.from_text(text))
        seen = [run.check(out, path="observation", turn=turn).text for turn, out in enumerate(way(text))]
        worst = max(worst, (name, 100 * dumping.got_through(text, seen) / allowance), key=lambda pair: pair[1])
    yield Figure(f"got through of a dump, of the allowance; worst: {worst[0]}", worst[1], 105, "%")
    run = Guard("strict").for_run(Context.from_text(text))
    given = [run.check(part, path="subcall", model="m").text for part in dumping.pieces(text, 4_000)]
    yield Figure(
        "given to sub-calls in strict, of the allowance",
        100 * dumping.got_through(text, given) / (0.25 * len(text)),
        105,
        "%",
    )


if __name__ == "__main__":
    for figure in figures():
        print(figure.row, flush=True)
