"""The suites: each generates a text with a question whose right answer is known by construction.

A suite returns the question, the right answer, the grader and the facts it was generated from. The public benchmark
that each imitates is named in `rlmbox.evaluation.suites`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from rlmbox.evaluation.suites.texts import digits, distinct, prose_pool, write_text

_CITIES = tuple(
    """
    Lisbon Tallinn Quito Nairobi Hanoi Bergen Cusco Riga Accra Leeds Osaka Porto Turin Malmo Lagos Perth Sucre Basel
    Cairo Delhi Ghent Izmir Kyoto Lyon Minsk Natal Oslo Pisa Rabat Seoul Tunis Varna
    """.split()  # noqa: SIM905 - a list of words is easier to read this way
)
_SCRIPTS = {
    "Greek": ("\u039f κωδικός του ταμείου της Αθήνας είναι {value}.", "Athens"),
    "Cyrillic": ("Код сейфа в Софии: {value}.", "Sofia"),
    "Chinese": ("北京金库的密码是{value}。", "Beijing"),
    "Arabic": ("رمز خزنة القاهرة هو {value}.", "Cairo"),
    "Devanagari": ("दिल्ली की तिजोरी का कोड {value} है।", "Delhi"),
    "Thai": ("รหัสตู้นิรภัยกรุงเทพคือ {value}", "Bangkok"),
    "Korean": ("서울 금고의 암호는 {value}입니다.", "Seoul"),
}
_LABELS = ("praise", "complaint", "request", "report", "thanks")
_USERS = tuple(f"u{number:02d}" for number in range(24))
_VOCABULARY = tuple(
    f"{first}{second}"
    for first in ("ba", "ke", "li", "mo", "su", "ta")
    for second in ("dor", "fin", "gal", "nex", "pum", "rit")
)
_FILE_CHARS = 400_000


@dataclass(frozen=True, slots=True)
class Made:
    """A question that a suite generated.

    Attributes:
        question: The question.
        expected: The right answer.
        grader: The grader; empty to choose it by the answer.
        facts: What a policy needs to know that a reader would take from the question.
    """

    question: str
    expected: Any
    grader: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def _code(city: str, value: str) -> str:
    return f"The locker number of {city} is {value}."


def single(path: Path, size_chars: int, rng: Random) -> Made:
    """Generate a single needle in prose."""
    city, value = rng.choice(_CITIES), digits(rng)
    write_text(path, size_chars, rng, prose_pool(rng, size_chars), [_code(city, value)])
    return Made(f"What is the locker number of {city}?", int(value), facts={"city": city})


def multi(path: Path, size_chars: int, rng: Random) -> Made:
    """Generate many needles, and ask for one of them."""
    cities = rng.sample(_CITIES, 16)
    values = distinct(rng, digits, len(cities))
    needles = [_code(city, value) for city, value in zip(cities, values, strict=True)]
    asked = rng.randrange(len(cities))
    write_text(path, size_chars, rng, prose_pool(rng, size_chars), needles)
    return Made(f"What is the locker number of {cities[asked]}?", int(values[asked]), facts={"city": cities[asked]})


def multi_value(path: Path, size_chars: int, rng: Random) -> Made:
    """Generate several values for one key, and ask for all of them."""
    city, *others = rng.sample(_CITIES, 6)
    values = distinct(rng, digits, rng.randint(3, 8))
    rest = distinct(rng, digits, len(others), values)
    needles = [*(_code(city, value) for value in values), *map(_code, others, rest)]
    rng.shuffle(needles)
    write_text(path, size_chars, rng, prose_pool(rng, size_chars), needles)
    return Made(f"What are all the locker numbers of {city}?", sorted(values), "set", {"city": city})


def variables(path: Path, size_chars: int, rng: Random) -> Made:
    """Generate chains of assignments, and ask for all variables with a given value."""
    value, *wrong = distinct(rng, digits, 3)
    names = distinct(rng, lambda each: "V" + "".join(each.choices("ABCDEFGHJKLMNPQRSTUVWXYZ", k=4)), 15)
    lines, chains = [], [names[0:5], names[5:10], names[10:15]]
    for chain, figure in zip(chains, (value, *wrong), strict=True):
        lines.append([f"VAR {chain[0]} = {figure}"] + [f"VAR {b} = VAR {a}" for a, b in pairwise(chain)])
    mixed = []
    while any(lines):
        mixed.append(rng.choice([each for each in lines if each]).pop(0))
    write_text(path, size_chars, rng, prose_pool(rng, size_chars), mixed)
    asked = f"Which variables are assigned the value {value}, directly or through other variables?"
    return Made(asked, sorted(chains[0]), "set", {"value": value})


def common_words(path: Path, size_chars: int, rng: Random) -> Made:
    """Generate lists of words, some of which are much more frequent, and ask for those."""
    common = rng.sample(_VOCABULARY, 5)
    rare = [word for word in _VOCABULARY if word not in common]

    def line(each: Random) -> str:
        return " ".join([*each.choices(common, k=6), *each.choices(rare, k=10)])

    pool = prose_pool(rng, size_chars, line)
    used = write_text(path, size_chars, rng, pool)
    counts = {
        word: sum(n * f" {b} ".replace("\n", " ").count(f" {word} ") for n, b in zip(used, pool, strict=True))
        for word in _VOCABULARY
    }
    top = sorted(counts, key=lambda word: (-counts[word], word))[:5]
    return Made("Which five words are the most common ones?", sorted(top), "set")


def _records(path: Path, size_chars: int, rng: Random) -> tuple[dict[str, int], dict[str, set[str]]]:
    """Write records; return the number of records and the set of users by label."""
    allowed = {user: rng.sample(_LABELS, rng.randint(1, 3)) for user in _USERS}

    def line(each: Random) -> str:
        user = each.choice(_USERS)
        words = " ".join(each.choices(_VOCABULARY, k=4))
        return f"user={user} | label={each.choice(allowed[user])} | {words}"

    pool = prose_pool(rng, size_chars, line)
    used = write_text(path, size_chars, rng, pool)
    counts = {label: sum(n * b.count(f"label={label} ") for n, b in zip(used, pool, strict=True)) for label in _LABELS}
    users = {
        label: {
            u for u in _USERS if any(n and f"user={u} | label={label} " in b for n, b in zip(used, pool, strict=True))
        }
        for label in _LABELS
    }
    return counts, users


def count_class(path: Path, size_chars: int, rng: Random) -> Made:
    """Generate records, and ask how many have a label."""
    counts, _ = _records(path, size_chars, rng)
    label = rng.choice(_LABELS)
    return Made(f"How many records have the label {label}?", counts[label], facts={"label": label})


def count_pairs(path: Path, size_chars: int, rng: Random) -> Made:
    """Generate records, and ask how many pairs of users share a label, which grows with the square of their number."""
    _, users = _records(path, size_chars, rng)
    label = rng.choice(_LABELS)
    many = len(users[label])
    asked = f"How many unordered pairs of two different users are there in which both have a record labelled {label}?"
    return Made(asked, many * (many - 1) // 2, facts={"label": label})


def two_documents(path: Path, size_chars: int, rng: Random) -> Made:
    """Generate two documents, and ask for what has to be looked up in one by what is found in the other."""
    numbers = distinct(rng, digits, 8)
    clients = distinct(rng, lambda each: f"C{each.randint(1000, 9999)}", 8)
    cities = rng.sample(_CITIES, 8)
    orders = [f"Order {number} was placed by client {client}." for number, client in zip(numbers, clients, strict=True)]
    places = [f"Client {client} lives in {city}." for client, city in zip(clients, cities, strict=True)]
    half = size_chars // 2
    write_text(path / "orders.txt", half, rng, prose_pool(rng, half), orders)
    write_text(path / "clients.txt", half, rng, prose_pool(rng, half), places)
    asked = rng.randrange(8)
    return Made(
        f"In which city does the client of order {numbers[asked]} live?", cities[asked], facts={"order": numbers[asked]}
    )


def callers(path: Path, size_chars: int, rng: Random) -> Made:
    """Generate a repository of Python files, and ask for the functions that call a given one."""
    target = f"settle_{rng.choice(_VOCABULARY)}"
    names = distinct(
        rng, lambda each: f"{each.choice(_VOCABULARY)}_{each.choice(_VOCABULARY)}_{each.randint(10, 99)}", 6
    )
    near = [f"def near_{at}(x):\n    return {target}{suffix}(x)\n" for at, suffix in enumerate(("_all", "s", "_once"))]
    calling = [f"def {name}(x):\n    y = x + 1\n    return {target}(y)\n" for name in names]
    comment = f"def asked_about(x):\n    # {target} is not called here\n    return x\n"
    numbers = iter(range(10**9))

    def function(each: Random) -> str:
        return f"def f_{next(numbers)}_{each.choice(_VOCABULARY)}(x):\n    return x * {each.randint(2, 99)}\n"

    pieces = [*near, *calling, comment, f"def {target}(x):\n    return x\n"]
    rng.shuffle(pieces)
    pool = prose_pool(rng, min(size_chars, _FILE_CHARS), function)
    files = max(2, -(-size_chars // _FILE_CHARS))
    for number in range(files):
        write_text(path / f"module_{number:05d}.py", size_chars // files, rng, pool, pieces[number::files])
    return Made(f"Which functions call the function {target}?", sorted(names), "set", {"target": target})


def scripts(path: Path, size_chars: int, rng: Random) -> Made:
    """Generate needles in other scripts than the text's."""
    values = distinct(rng, digits, len(_SCRIPTS))
    needles = [line.format(value=value) for (line, _), value in zip(_SCRIPTS.values(), values, strict=True)]
    asked = rng.randrange(len(_SCRIPTS))
    line, city = list(_SCRIPTS.values())[asked]
    write_text(path, size_chars, rng, prose_pool(rng, size_chars), needles)
    return Made(
        f"What is the code of the safe in {city}?", int(values[asked]), facts={"before": line.partition("{value}")[0]}
    )


def near_misses(path: Path, size_chars: int, rng: Random) -> Made:
    """Generate a needle among others that differ from it in a word, a digit or a negation."""
    city, other = rng.sample(_CITIES, 2)
    value, *wrong = distinct(rng, digits, 7)
    needles = [
        f"The locker number of New {city} is {wrong[0]}.",
        f"The locker number of {city} was once {wrong[1]}.",
        f"The locker number of {city} is not {wrong[2]}.",
        f"The ladder number of {city} is {wrong[3]}.",
        f"The locker number of {other} is {wrong[4]}.",
        f"The locker numbers of {city}s are {wrong[5]}.",
        _code(city, value),
    ]
    rng.shuffle(needles)
    write_text(path, size_chars, rng, prose_pool(rng, size_chars), needles)
    return Made(f"What is the locker number of {city} today?", int(value), facts={"city": city})


def silent(path: Path, size_chars: int, rng: Random) -> Made:
    """Generate needles none of which answers the question."""
    city, *others = rng.sample(_CITIES, 9)
    values = distinct(rng, digits, len(others) + 1)
    needles = [*map(_code, others, values), f"The locker number of New {city} is {values[-1]}."]
    write_text(path, size_chars, rng, prose_pool(rng, size_chars), needles)
    return Made(f"What is the locker number of {city}?", None, "silent", {"city": city})
