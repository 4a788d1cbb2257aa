"""The keys of providers that the command keeps: in the system's keyring, else in files for their owner alone."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rlmbox.cli.layers import resolve, user_folder
from rlmbox.errors import ConfigError
from rlmbox.models.keys import KeySource
from rlmbox.models.target import provider_named, provider_names

_SERVICE = "rlmbox"
_LONGEST_KEY_BYTES = 16_384
_REMEDY = "store one with: rlmbox keys set {provider}"


class KeyPlace(Protocol):
    """A place that keeps keys.

    Attributes:
        name: What it is, in words.
    """

    name: str

    def get(self, provider: str) -> str | None:
        """Return a provider's key, or None where there is none."""

    def set(self, provider: str, key: str) -> None:
        """Keep a provider's key, in place of one that is there."""

    def remove(self, provider: str) -> bool:
        """Forget a provider's key; False where there was none."""


class SystemKeyring:
    """The system's keyring.

    Args:
        backend: What `keyring.get_keyring()` returned.
    """

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.name = f"the system's keyring ({getattr(backend, 'name', type(backend).__name__)})"

    def get(self, provider: str) -> str | None:
        """Return a provider's key, or None where there is none."""
        with self._explained("read"):
            found: str | None = self._backend.get_password(_SERVICE, provider)
        return found

    def set(self, provider: str, key: str) -> None:
        """Keep a provider's key, in place of one that is there."""
        with self._explained("written to"):
            self._backend.set_password(_SERVICE, provider, key)

    def remove(self, provider: str) -> bool:
        """Forget a provider's key; False where there was none."""
        if self.get(provider) is None:
            return False
        with self._explained("written to"):
            self._backend.delete_password(_SERVICE, provider)
        return True

    @contextmanager
    def _explained(self, done: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - backends are other people's, and raise what their system does
            said = " ".join(str(error).split()) or type(error).__name__
            raise ConfigError(f"{self.name} cannot be {done}: {said}; unlock it, or set the variable") from None


class KeyFiles:
    """A folder with one file for each provider; nobody but its owner can look into it.

    Args:
        folder: The folder; it is made when the first key is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = f"{folder}, which only you can read"

    def get(self, provider: str) -> str | None:
        """Return a provider's key, or None where there is none."""
        path = self._folder / provider
        try:
            if not self._is_there():
                return None
            # A link, or a file that others can write, may hold what somebody else has put there.
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        except FileNotFoundError:
            return None
        except OSError as error:
            why = "it is a link; remove it" if path.is_symlink() else error.strerror
            raise ConfigError(f"{path} cannot be read: {why}") from None
        with os.fdopen(descriptor, "rb") as file:
            _check_private(path, os.fstat(file.fileno()), stat.S_ISREG)
            data = file.read(_LONGEST_KEY_BYTES)
        return data.decode("ascii", "replace").strip() or None

    def set(self, provider: str, key: str) -> None:
        """Keep a provider's key, in place of one that is there."""
        path = self._folder / provider
        try:
            self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._is_there():
                self._folder.mkdir(mode=0o700)
            if path.is_symlink():
                raise ConfigError(f"{path} cannot be written: it is a link; remove it")
            new = self._folder / f".{provider}.{os.getpid()}.new"
            new.unlink(missing_ok=True)
            try:
                descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w", encoding="ascii") as file:
                    file.write(key + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                new.replace(path)
            finally:
                new.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}") from None

    def remove(self, provider: str) -> bool:
        """Forget a provider's key; False where there was none."""
        path = self._folder / provider
        try:
            if not self._is_there():
                return False
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ConfigError(f"{path} cannot be removed: {error.strerror}") from None
        return True

    def _is_there(self) -> bool:
        try:
            found = self._folder.lstat()
        except FileNotFoundError:
            return False
        _check_private(self._folder, found, stat.S_ISDIR)
        return True


def _check_private(path: Path, found: os.stat_result, is_kind: Any) -> None:
    """Check that a file or folder is what it should be, and its owner's alone.

    Raises:
        ConfigError: It is a link or of another kind, or somebody else owns it or can look into it.
    """
    if not is_kind(found.st_mode):
        raise ConfigError(f"{path} is not used: it is a link or not of the expected type; remove it")
    if not hasattr(os, "getuid"):  # Windows, where a person's folder is theirs alone
        return
    if found.st_uid != os.getuid():
        raise ConfigError(f"{path} is not used: it belongs to another user; remove it")
    if found.st_mode & 0o077:
        mode = "700" if stat.S_ISDIR(found.st_mode) else "600"
        raise ConfigError(f"{path} is not used: other users can read it; run: chmod {mode} {path}")


def system_keyring() -> SystemKeyring | None:
    """Return the system's keyring, or None where the extra is not installed or there is no keyring."""
    try:
        import keyring
    except ImportError:
        return None
    # A plug-in of the keyring that cannot be loaded is logged with its traceback, and another is taken.
    logging.getLogger("keyring").addHandler(logging.NullHandler())
    try:
        backend = keyring.get_keyring()
        is_usable = backend.priority > 0
    except Exception as error:  # noqa: BLE001 - what PYTHON_KEYRING_BACKEND names may not be there
        said = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"the system's keyring cannot be opened: {said}") from None
    return SystemKeyring(backend) if is_usable else None


def places() -> tuple[KeyPlace, ...]:
    """Return where keys are looked for, in order; the first is where new ones are kept."""
    files = KeyFiles(user_folder() / "keys")
    found = system_keyring()
    return (files,) if found is None else (found, files)


def kept_keys() -> dict[str, str]:
    """Return where the key of each provider that has one is kept, by the provider's name.

    Raises:
        ConfigError: A place cannot be read.
    """
    found, looked_in = {}, places()
    for provider in provider_names():
        place = next((place for place in looked_in if place.get(provider) is not None), None)
        if place is not None:
            found[provider] = place.name
    return found


def key_source(model: str | None) -> KeySource:
    """Return where the command finds keys whose provider's own variable is not set: the settings, then the kept ones.

    Args:
        model: The root model, whose provider the key of the settings is for where they name no provider.
    """

    def find(provider: str) -> str | None:
        settings = resolve().configuration
        own = getattr(settings, "api_key", None)
        if own is not None and provider == _provider_of(getattr(settings, "api_provider", None) or model):
            return str(own.get_secret_value())
        return next((key for place in places() if (key := place.get(provider))), None)

    return KeySource(find, origin="the key of your settings or of rlmbox keys", remedy=_REMEDY)


def _provider_of(name: str | None) -> str | None:
    try:
        return provider_named(name) if name else None
    except ConfigError:
        return None
