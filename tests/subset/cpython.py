"""What CPython makes of a cell, to compare with."""

import ast
import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlmbox.sandboxes.subset.evaluate import StepLimits, SubsetSession

CONTEXT = """Contract between Alpha Ltd and Beta Inc.

Section 1. The price of the goods is $1,200.50 and the invoice is due in 30 days.
Section 2. A penalty of 5 % applies to late delivery. Invoice numbers begin with INV-2024.
Section 3. Contact: sales@alpha.example.org or +1 555 0100.

| item | qty | price |
|------|-----|-------|
| bolt | 100 | 0.25  |
| nut  | 250 | 0.10  |
| gear | 3   | 12.50 |

Signed by the parties on 12 March 2024. Die Vertragsstrafe beträgt fünf Prozent — naïve café, 日本語.
"""
QUERY = "What is the penalty for Late delivery?"
ROOMY = StepLimits(steps=5_000_000, memory_bytes=64 * 2**20, code_chars=100_000, pattern_chars=10_000)


@dataclass(frozen=True)
class Outcome:
    """What a cell printed, its last expression, and the name of the exception that ended it."""

    output: str
    value: str | None
    error: str | None
    line: int | None = None


def cells() -> dict[str, str]:
    """Return the hand-written cells by name."""
    text = Path(__file__).with_name("cells.txt").read_text("utf-8")
    blocks = (block.split("\n", 1) for block in text.removeprefix("### ").split("\n### "))
    return {name: code.strip("\n") for name, code in blocks}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def in_cpython(code: str, context: str = CONTEXT) -> Outcome:
    """Run a cell in this interpreter."""
    import base64
    import binascii
    import json
    import math
    import re
    import string
    import zlib

    names = {"context": context, "query": QUERY, "re": re, "json": json, "math": math, "base64": base64}
    names |= {"binascii": binascii, "zlib": zlib, "string": string, "__name__": "cell"}
    output = io.StringIO()
    value: str | None = None
    with quiet(), contextlib.redirect_stdout(output):
        try:
            tree = ast.parse(code)
            last: Any = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, "<cell>", "exec"), names)
            if last is not None:
                found = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
                value = None if found is None else repr(found)
        except SyntaxError as error:
            return Outcome(output.getvalue(), None, type(error).__name__, error.lineno)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
            traceback, line = error.__traceback__, None
            while traceback is not None:
                if traceback.tb_frame.f_code.co_filename == "<cell>" and line is None:
                    line = traceback.tb_lineno
                traceback = traceback.tb_next
            return Outcome(output.getvalue(), None, type(error).__name__, line)
    return Outcome(output.getvalue(), value, None)


def in_subset(code: str, context: str = CONTEXT, limits: StepLimits = ROOMY) -> Outcome:
    """Run a cell in the interpreter."""
    outcome, _ = run(code, context, limits)
    return outcome


def run(code: str, context: str = CONTEXT, limits: StepLimits = ROOMY) -> tuple[Outcome, int]:
    """Run a cell in the interpreter, and return its steps too."""
    written: list[str] = []
    session = SubsetSession("wide", limits, written.append, {"context": context, "query": QUERY})
    result = session.run(session.prepare(code))
    if result.error is not None:
        return Outcome("".join(written), None, result.error.code, result.error.line), result.steps
    value = None if result.value is None else session.shown(result.value)
    return Outcome("".join(written), value, None), result.steps
