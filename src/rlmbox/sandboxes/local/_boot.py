"""The first program of a local worker: `_boot.py WORKER MODULES WIRE_FD LIFELINE_FD`.

The worker and its language side are sent over the wire first, compiled, because compiling them takes as long as the
rest of the start. An interpreter with another bytecode format than the host's compiles the sources. Standard library
only, and little of it.
"""

from __future__ import annotations

import marshal
import os
import sys
from importlib.util import MAGIC_NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType


def main() -> None:
    """Create the modules, and become the worker."""
    worker, modules, wire, lifeline = sys.argv[1:]
    is_ours = _taken(int(wire), len(MAGIC_NUMBER)) == MAGIC_NUMBER
    for path in (worker, *modules.split(os.pathsep)):
        code = _taken(int(wire), int.from_bytes(_taken(int(wire), 4), "big"))
        file = os.path.basename(path)  # noqa: PTH119 - pathlib costs 5 ms
        name = "_worker" if path == worker else f"_rlm{file.removesuffix('.py')}"
        module = sys.modules[name] = type(sys)(name)
        made = marshal.loads(code) if is_ours else _compiled(path, worker if path == worker else file)  # noqa: S302
        exec(made, vars(module))  # noqa: S102 - the host's own code
    sys.argv[1:] = [wire, wire, lifeline]
    sys.modules.pop("_worker").main()


def _taken(wire: int, size: int) -> bytes:
    """Read `size` bytes from the wire."""
    data = b""
    while len(data) < size:
        part = os.read(wire, size - len(data))
        if not part:
            os._exit(0)  # the host is gone
        data += part
    return data


def _compiled(path: str, name: str) -> CodeType:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        code: CodeType = compile(file.read(), name, "exec")
    return code


if __name__ == "__main__":
    main()
