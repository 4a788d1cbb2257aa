# ruff: noqa: E501 - a template is one line, as the cell is
"""Cells made from templates: each is a behaviour of its own, of a method, a format or a pattern with some argument."""

from itertools import product

TEXTS = (
    "''",
    "'abc'",
    "'  Hello World  '",
    "'a,b,,c'",
    "'über Straße ÉCOLE'",
    "'line1\\nline2\\r\\nline3\\n'",
    "'x' * 3 + '12'",
)
STR_CALLS = (
    "upper()",
    "lower()",
    "title()",
    "capitalize()",
    "swapcase()",
    "casefold()",
    "strip()",
    "lstrip()",
    "rstrip()",
    "strip('aAx ')",
    "split()",
    "split(',')",
    "split(',', 1)",
    "rsplit(',', 1)",
    "rsplit(None, 1)",
    "splitlines()",
    "splitlines(True)",
    "partition(',')",
    "rpartition('l')",
    "replace('l', 'L')",
    "replace('', '-')",
    "replace('l', '', 1)",
    "find('l')",
    "rfind('l')",
    "count('l')",
    "count('')",
    "startswith('a')",
    "endswith(('c', '2'))",
    "isalpha()",
    "isdigit()",
    "isalnum()",
    "isspace()",
    "isupper()",
    "islower()",
    "istitle()",
    "zfill(8)",
    "center(15, '*')",
    "ljust(14, '.') + '|'",
    "rjust(14)",
    "encode()",
    "encode('utf-8')[:5]",
    "isascii()",
    "isidentifier()",
    "removeprefix('a')",
    "removesuffix('2')",
    "expandtabs()",
    "isprintable()",
)
SLICES = (
    "[1]",
    "[-1]",
    "[:3]",
    "[-3:]",
    "[::2]",
    "[::-1]",
    "[1:-1]",
    "[5:2]",
    "[2:100]",
    "[-100:2]",
    "[7:1:-2]",
    "[100:]",
    "[::-3]",
    "[-2::-1]",
)
SEQUENCES = ("'abcdefgh'", "[1, 2, 3, 4, 5, 6, 7, 8]", "tuple('abcdefgh')", "b'abcdefgh'", "range(8)")

NUMBERS = ("0", "7", "-42", "1234567", "3.14159", "-0.5", "1e10", "2.5", "1e-7", "float('inf')", "10**20")
SPECS = (
    "",
    "d",
    "5",
    "<8",
    ">8",
    "^9",
    "+",
    "08",
    ",",
    "_",
    ".2f",
    "10.3f",
    "e",
    ".3e",
    "g",
    ".3g",
    "%",
    ".1%",
    "x",
    "b",
    "o",
    "#x",
    "+.1f",
    "*>10",
    ",.2f",
    "c",
)
TEXT_SPECS = ("", "5", ">5", "<5", "^5", ".2", "*^7", "s", "-<6", "=5", "d")
PERCENTS = (
    "%d",
    "%5d",
    "%-5d|",
    "%05d",
    "%.2f",
    "%8.3f",
    "%e",
    "%g",
    "%x",
    "%X",
    "%o",
    "%s",
    "%r",
    "%+d",
    "%c",
    "%i",
    "%5s",
    "%-6s|",
    "%%%d",
)

PATTERNS = (
    r"\d+", r"[a-z]+", r"\w+", r"\s+", r"(\w+)=(\d+)", r"^\w+", r"\w+$", r"a*", r"(?i)ABC", r"\bfoo\b", r"x|foo", r"[^a-z]+",
    r"(?P<key>\w)=(?P<n>\d)", r".", r".+", r"(a)|(b)", r"o{2}", r"\.", r"$", r"^", r"\Z", r"(?=o)", r"o(?!o)", r"(?<=f)o",
    r"[\d.]+", r"[A-Z]\w*", r"\S+", r"\D+", r"\W", r"(o)\1", r"fo+?", r"(?:fo)+", r"[]x]", r"[[]", r"[a\-z]", r"[&&]+", r"[\w']+",
    r"é", r"[à-ÿ]", r"(?s).+", r"(?m)^\w", r"(?m)\d$", r"\bé", r"\B.", r"[\s,]+", r"(\d)(\d)?", r"x?", r",\s*", r"(?x) f o  # c", r"a{,2}",
)  # fmt: skip
SUBJECTS = ("'foo abc=12 X.9'", "'ABC abc\\nline 7\\n'", "'été à Ünïcode ² ½'", "''", "'aab,a  ,b.foo'")
REGEX_CALLS = (
    "re.findall({p}, {s})",
    "[m.span() for m in re.finditer({p}, {s})]",
    "re.split({p}, {s})",
    "re.sub({p}, '<\\\\g<0>>', {s})",
    "m = re.search({p}, {s})\n(m.group(), m.start(), m.end(), m.groups()) if m else None",
)

ITEMS = (
    "[3, 1, 2]",
    "['b', 'A', 'c']",
    "[(2, 'x'), (1, 'y'), (2, 'a')]",
    "'hello'",
    "{'k': 2, 'a': 1}",
    "(0, None, '', 5)",
    "range(5)",
    "[]",
    "[True, 2, 0.5]",
)
BUILTIN_CALLS = (
    "list({x})", "tuple({x})", "len({x})", "sorted({x}, key=str)", "sorted({x}, key=str, reverse=True)", "list(enumerate({x}))",
    "list(enumerate({x}, 1))", "list(zip({x}, 'xyz'))", "list(map(str, {x}))", "list(filter(None, {x}))", "any({x})", "all({x})",
    "list(reversed(list({x})))", "max({x}, key=str, default=None)", "min({x}, key=str, default=None)", "list(iter({x}))[:2]",
    "next(iter({x}), 'none')", "[*{x}]", "dict(enumerate({x}))", "str(list({x}))", "repr(tuple({x}))", "bool({x})",
    "next((x for x in {x} if x), 'none')", "any(x == 2 for x in {x})", "all(x for x in {x})", "z = zip({x}, {x})\n[list(z), list(z)]",
    "m = map(repr, {x})\n[next(m, None), list(m), list(m)]", "g = (repr(x) for x in {x})\n[next(g, None), list(g), list(g)]",
    "e = enumerate({x})\n[next(e, None), len(list(e)), list(e)]", "first, *rest = [*{x}, 'end']\n[first, rest]", "list({x})[-1:]",
    "sum(1 for _ in {x})", "', '.join(str(x) for x in {x})", "{{str(k): 1 for k in {x}}}", "list(map(lambda a, b: (a, b), {x}, {x}))",
    "f = filter(lambda x: x, {x})\n[list(f), list(f)]", "isinstance({x}, (list, tuple)), type({x}).__name__", "hash(()) == hash(())  or {x}",
)  # fmt: skip

DATES = (
    "date(2024, 2, 29)",
    "date(1999, 12, 31)",
    "datetime(2021, 3, 4, 5, 6, 7)",
    "datetime(2020, 1, 1, 23, 59, 59, 123456)",
)
DATE_CALLS = (
    "isoformat()", "strftime('%Y-%m-%d')", "strftime('%d/%m/%y')", "strftime('%A %B %d')", "strftime('%a %b %j %U')", "weekday()",
    "isoweekday()", "year", "month", "day", "replace(year=2001, day=1)", "toordinal()", "isocalendar()[1]", "timetuple()[:3]", "ctime()",
    "strftime('%H:%M')", "strftime('%I %p')",
)  # fmt: skip
DATE_SUMS = (
    "{d} + timedelta(days=30)",
    "{d} - timedelta(weeks=1, hours=5)",
    "({d} - {d}).days",
    "{d} < {d} + timedelta(1)",
    "str({d})",
    "repr({d})",
    "f'{{{d}:%Y/%m}}'",
    "sorted([{d}, {d} - timedelta(1)])[0].day",
    "{{{d}: 1}}[{d}]",
    "str({d} - ({d} - timedelta(days=1, seconds=61)))",
)

ROUNDED = (
    "2.5",
    "3.5",
    "-2.5",
    "2.675",
    "53.825",
    "1.005",
    "0.125",
    "1234.5678",
    "-1.25",
    "1e16",
    "5e-5",
    "0.1 + 0.2",
    "99.995",
    "1.45",
    "7",
    "123456",
    "0.5",
    "1/3",
)
DIGITS = ("", ", 0", ", 1", ", 2", ", 3", ", -1", ", -2", ", None")


def all_families() -> dict[str, list[str]]:
    """The cells by group."""
    made = {
        "str methods": [f"{text}.{call}" for text, call in product(TEXTS, STR_CALLS)],
        "slices": [f"{sequence}{part}" for sequence, part in product(SEQUENCES, SLICES)],
        "format numbers": [f"f'{{{number}:{spec}}}'" for number, spec in product(NUMBERS, SPECS) if "'" not in number],
        "format texts": [f"'{{:{spec}}}'.format({text})" for text, spec in product(TEXTS[1:4], TEXT_SPECS)],
        "percent": [f"{form!r} % {number}" for form, number in product(PERCENTS, ("5", "-3.75", "65", "10**12"))],
        "round": [f"round({number}{digits})" for number, digits in product(ROUNDED, DIGITS)],
        "builtins": [call.format(x=item) for call, item in product(BUILTIN_CALLS, ITEMS)],
        "dates": [f"from datetime import date, datetime\n{day}.{call}" for day, call in product(DATES, DATE_CALLS)],
        "date sums": [
            f"from datetime import date, datetime, timedelta\n{call.format(d=day)}"
            for day, call in product(DATES, DATE_SUMS)
        ],
    }
    made["regex"] = [
        call.format(p=f"r'''{pattern}'''", s=subject)
        for pattern, call, subject in product(PATTERNS, REGEX_CALLS, SUBJECTS)
    ]
    return made
