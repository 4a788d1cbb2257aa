"""Settings from files, the environment and `.env`, laid one over the other, with where each value came from.

A project's files come with the project, which may be somebody else's. They can lower limits, and they can name a model
or a sandbox; where they say where keys, texts or money go, they count only once their user has said so with
`rlmbox config trust`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlmbox.cli.configuration import GUARDS, NARROWED, OPTIONS, TRUSTED, Configuration, validated
from rlmbox.errors import ConfigError

NAMES = ("rlmbox.toml", "rlmbox.yaml", "rlmbox.yml")
"""Names of a file of settings, the first found counts."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The settings of one place.

    Attributes:
        place: The file, `environment` or `.env`.
        values: The values that were set there, by key.
    """

    place: str
    values: Mapping[str, Any]


@dataclass(slots=True)
class Resolved:
    """All settings, with where each came from.

    Attributes:
        configuration: The values.
        places: Where each value that was set came from, by key.
        notes: What did not count, and why, a line each.
    """

    configuration: Configuration
    places: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def defaults(self) -> dict[str, Any]:
        """Return the values that were set, by the names of the command's parameters."""
        values: dict[str, Any] = {}
        for key in self.places.keys() - Configuration.command_only:
            value = getattr(self.configuration, key)
            if key in ("model", "sub_model", "fallback_model"):
                value = self.configuration.named_model(value)
            elif not isinstance(value, bool | int | float | tuple):
                value = str(value)
            values[OPTIONS.get(key, key)] = list(value) if isinstance(value, tuple) else value
        return values


def user_folder() -> Path:
    """Return the folder of this user's settings: `$XDG_CONFIG_HOME/rlmbox`, or the system's place for it."""
    base = os.environ.get("XDG_CONFIG_HOME", "").strip()
    if not Path(base).is_absolute():
        base = str(Path.home() / ("Library/Application Support" if sys.platform == "darwin" else ".config"))
    return Path(base) / "rlmbox"


def project_file(start: Path) -> Path | None:
    """Return the settings file of the project that a folder is in, or None.

    Args:
        start: The folder; its parents are looked at up to the one that has `.git`, and not above the home directory.
    """
    for folder in (start, *start.parents):
        found = _file_in(folder)
        if found is not None or (folder / ".git").exists() or folder == Path.home():
            return found
    return None


def user_file() -> Path | None:
    """Return the user's settings file, or None where there is none."""
    return _file_in(user_folder())


def _file_in(folder: Path) -> Path | None:
    return next((path for name in NAMES if (path := folder / name).is_file()), None)


def resolve(start: Path | None = None) -> Resolved:
    """Return the settings: the project's file, then the user's, the environment, and `.env`; a later one counts.

    Args:
        start: The folder that the command runs in. Default: the current one.

    Raises:
        ConfigError: A file cannot be read, or has an unknown key or a wrong value.
    """
    start = start or _current_folder()
    notes: list[str] = []
    own = user_file()
    users = read_file(own) if own else None
    layers: list[Layer] = []
    of_project = project_file(start)
    if of_project is not None and of_project != own:
        layers.append(_within(read_file(of_project), of_project, users, notes))
    if users is not None:
        layers.append(users if not layers else _without_wider(users, layers[0]))
    layers.append(_environment())
    dotenv = start / ".env"
    if dotenv.is_file():
        layers.append(_within(_dotenv(dotenv), dotenv, None, notes))
    merged: dict[str, Any] = {}
    places: dict[str, str] = {}
    for layer in layers:
        for key, value in layer.values.items():
            merged[key], places[key] = value, layer.place
    return Resolved(Configuration.model_construct(_fields_set=set(merged), **merged), places, notes)


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise ConfigError("the current folder has been removed; change to another one") from None


def read_file(path: Path) -> Layer:
    """Return the settings of a file.

    Args:
        path: A TOML or YAML file.

    Raises:
        ConfigError: It cannot be read, or has an unknown key or a wrong value.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = tomllib.loads(text) if path.suffix == ".toml" else _yaml(text)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not {path.suffix[1:].upper()}: {' '.join(str(error).split())}") from None
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path}: settings are keys with values; rlmbox config init writes an example")
    return _layer(values, str(path))


def _yaml(text: str) -> object:
    import yaml

    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _layer(values: Mapping[str, Any], place: str) -> Layer:
    valid = validated(values, place)
    return Layer(place, {key: getattr(valid, key) for key in valid.model_fields_set})


def _environment() -> Layer:
    from pydantic_settings import EnvSettingsSource

    return _layer(EnvSettingsSource(Configuration, env_ignore_empty=True)(), "environment")


def _dotenv(path: Path) -> Layer:
    from pydantic_settings import DotEnvSettingsSource

    try:
        found = DotEnvSettingsSource(Configuration, env_file=path)()
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    # Other programs have variables there too; a name of ours that is not known is somebody's typing mistake.
    ours = {
        name.upper() if name.startswith("rlm_") else name: value
        for name, value in found.items()
        if name in Configuration.model_fields or name.upper().startswith("RLM_")
    }
    return _layer(ours, str(path))


def _within(layer: Layer, path: Path, users: Layer | None, notes: list[str]) -> Layer:
    """Return what of a project's file counts."""
    if is_trusted(path):
        return layer
    usual = Configuration.model_fields
    barred = sorted(key for key in layer.values.keys() & TRUSTED if layer.values[key] != usual[key].default)
    if not str(layer.values.get("profile", "")).endswith(".toml"):  # one of those that rlmbox has
        barred = [key for key in barred if key != "profile"]
    if barred:
        raise ConfigError(
            f"{path} sets {', '.join(barred)}, which says where your keys, texts or money go; read it, and allow it "
            f"with: rlmbox config trust {path}"
        )
    kept = dict(layer.values)
    known = {**_defaults(), **(users.values if users else {})}
    for key in kept.keys() & NARROWED:
        if known.get(key) is not None and kept[key] > known[key]:
            notes.append(
                f"{path}: {key} = {kept[key]} is above {known[key]}, which stays; rlmbox config trust allows it"
            )
            kept[key] = known[key]
    looser = known["guard"]
    if "guard" in kept and GUARDS.index(kept["guard"]) < GUARDS.index(looser):
        notes.append(
            f"{path}: guard = {kept['guard']} is looser than {looser}, which stays; rlmbox config trust allows it"
        )
        del kept["guard"]
    return Layer(layer.place, kept)


def _defaults() -> dict[str, Any]:
    from rlmbox.budget.budget import DEFAULT_COST_LIMIT_USD
    from rlmbox.types import CellLimits

    defaults = {key: info.default for key, info in Configuration.model_fields.items()}
    cell = CellLimits()
    return {
        **defaults,
        "cost_limit_usd": DEFAULT_COST_LIMIT_USD,
        "cell_timeout_s": cell.cell_timeout_s,
        "memory_mb": cell.memory_bytes / 2**20,
    }


def _without_wider(users: Layer, project: Layer) -> Layer:
    """Return the user's settings without limits that the project has lowered."""
    kept = dict(users.values)
    for key in kept.keys() & project.values.keys():
        narrower = key in NARROWED and project.values[key] < kept[key]
        stricter = key == "guard" and GUARDS.index(project.values[key]) > GUARDS.index(kept[key])
        if narrower or stricter:
            del kept[key]
    return Layer(users.place, kept)


def is_trusted(path: Path) -> bool:
    """Return whether the user has allowed a project's file, as it is now, to set everything."""
    return _trusted().get(str(path.resolve())) == _digest(path)


def trust(path: Path) -> None:
    """Allow a project's file, as it is now, to set everything.

    Args:
        path: The file.

    Raises:
        ConfigError: It cannot be read, or the user's folder cannot be written to.
    """
    known = {**_trusted(), str(path.resolve()): _digest(path)}
    kept = user_folder() / "trusted.json"
    try:
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = kept.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(known, file, indent=1)
        new.replace(kept)
    except OSError as error:
        raise ConfigError(f"{kept} cannot be written: {error.strerror}") from None


def _trusted() -> dict[str, str]:
    try:
        known = json.loads((user_folder() / "trusted.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
