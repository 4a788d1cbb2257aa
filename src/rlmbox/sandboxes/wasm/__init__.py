"""`wasm`: cells run in CPython compiled to WebAssembly, without access to the host."""

from rlmbox.sandboxes.wasm._cache import why_not_ready, why_not_with
from rlmbox.sandboxes.wasm._sandbox import WasmSandbox, prepare

__all__ = ["WasmSandbox", "prepare", "why_not_ready", "why_not_with"]
