"""Detection of cells that read a clock or the system's randomness, from their source.

Both are real in every backend that has them, so a cell that reads one may behave differently when it is run again. A
cell is marked by the names that it uses: `time.time()`, `datetime.now()`, `perf_counter`, `uuid4`. A function that uses
one marks the cells that use the function. What a library reads internally (`logging`) or a cell hides
(`getattr(time, "ti" + "me")`) is not detected, and a method of the same name is a false positive: the mark is a hint
for replay, not a security boundary.
"""

from __future__ import annotations

import ast
import re

CLOCKS = frozenset(
    "perf_counter perf_counter_ns monotonic monotonic_ns time_ns process_time process_time_ns thread_time "  # noqa: SIM905
    "thread_time_ns clock_gettime clock_gettime_ns utcnow localtime gmtime ctime asctime getrusage "
    "default_timer "
    "urandom getrandom uuid1 uuid4 SystemRandom token_bytes token_hex token_urlsafe".split()  # no seed reaches these
)
METHODS = frozenset(("now", "today"))
OF_TIME = frozenset(("time", "strftime"))  # which other objects have, too
HOMES = frozenset(("time", "timeit", "os", "uuid", "secrets", "random"))
_WORDS = re.compile(rf"\b(?:{'|'.join(sorted(CLOCKS | METHODS | OF_TIME))})\b")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class ClockReaders:
    """The names in a session through which a clock is read.

    Attributes:
        seen: Whether the cell examined last reads a clock.
    """

    def __init__(self) -> None:
        self.seen = False
        self._names: set[str] = set()

    def look(self, code: str, tree: ast.Module | None = None) -> None:
        """Examine a cell that is valid Python, and remember its functions that read a clock."""
        if not _WORDS.search(code) and not any(name in code for name in self._names):
            return
        for statement in (tree or ast.parse(code)).body:
            if not self._reads(statement):
                continue
            self.seen = True
            if isinstance(statement, _DEFINITIONS):
                self._names.add(statement.name)
            elif isinstance(statement, ast.ImportFrom):
                self._names |= {alias.asname or alias.name for alias in statement.names if self._is_clock(alias)}
            elif isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Lambda):
                self._names |= {target.id for target in statement.targets if isinstance(target, ast.Name)}

    @staticmethod
    def _is_clock(alias: ast.alias) -> bool:
        return alias.name in CLOCKS or alias.name in OF_TIME

    def _reads(self, statement: ast.stmt) -> bool:
        if isinstance(statement, ast.ImportFrom):
            return statement.module in HOMES and any(map(self._is_clock, statement.names))
        return any(map(self._names_clock, ast.walk(statement)))

    def _names_clock(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Name):
            return node.id in CLOCKS or node.id in self._names
        if not isinstance(node, ast.Attribute):
            return False
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        return node.attr in CLOCKS or node.attr in METHODS or (node.attr in OF_TIME and owner in ("time", "_time"))
