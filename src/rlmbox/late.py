"""Names of a package that are imported when they are first used, so that who needs one does not wait for all."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def late_names(package: dict[str, Any], homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package.

    Args:
        package: Its `globals()`.
        homes: The module of each name, by the name.
    """

    def found(name: str) -> Any:
        """Import a name of the package.

        Raises:
            AttributeError: There is no such name.
        """
        if name not in homes:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        value = package[name] = getattr(import_module(homes[name]), name)
        return value

    return found
