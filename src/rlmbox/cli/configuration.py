"""The settings of the command: every key, its type, its meaning and the names that the environment has for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from rlmbox.errors import ConfigError

OPTIONS: Mapping[str, str] = {
    "cost_limit_usd": "cost_limit",
    "cell_timeout_s": "cell_timeout",
    "memory_mb": "memory",
    "packages": "package",
    "windows": "window",
    "request_timeout_s": "request_timeout",
}
"""Options of the command whose parameter has another name than the key."""

GUARDS = ("off", "redact", "strict")
"""Policies of the guard, from the loosest to the strictest."""

NARROWED = frozenset(
    {
        "cost_limit_usd",
        "max_turns",
        "max_depth",
        "max_subcalls",
        "max_tokens",
        "max_seconds",
        "cell_timeout_s",
        "memory_mb",
    }
)
"""Keys of which a project's file can only lower the value."""

FILE_ENDINGS = (".toml", ".yaml", ".yml")
"""Endings of files whose keys are written as the fields are named; elsewhere they are variables."""

TRUSTED = frozenset(
    {"api_key", "base_url", "guard_model", "instructions", "otel", "prices", "prompts", "retriever", "store"}
)
"""Keys that a project's file may only have where its user said so: they say where a key, a text or money goes."""


def _named(*variables: str) -> AliasChoices:
    return AliasChoices(*variables)


class Configuration(BaseSettings):
    """Values of one place or of all; what was not set is not in `model_fields_set`."""

    model_config = SettingsConfigDict(env_prefix="RLM_", extra="forbid", populate_by_name=True, frozen=True)
    command_only: ClassVar[frozenset[str]] = frozenset({"api_provider", "api_key"})
    """Keys that are no option of any command."""

    model: str | None = Field(
        None,
        description="The root model, such as openai:gpt-5. Without one, offline:extractive only quotes.",
        validation_alias=_named("RLM_MODEL", "RLM_MODEL_ROOT"),
    )
    sub_model: str | None = Field(
        None,
        description="The model for sub-calls. Default: the root model.",
        validation_alias=_named("RLM_SUB_MODEL", "RLM_MODEL_RECURSIVE"),
    )
    fallback_model: str | None = Field(None, description="The model to use when another one is unavailable.")
    api_provider: str | None = Field(None, description="The provider of models that are named without one.")
    api_key: SecretStr | None = Field(
        None, description="The provider's key, used if the provider's own variable is not set."
    )
    base_url: str | None = Field(None, description="Address of a server that speaks the provider's protocol.")
    prices: Path | None = Field(None, description="File of prices (TOML or JSON) that override the catalogue.")
    windows: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Context windows in tokens, or NAME=TOKENS for one model; in the environment, with commas.",
        validation_alias=_named("RLM_WINDOW"),
    )
    request_timeout_s: float | None = Field(
        None,
        gt=0,
        description="Seconds without data after which a request is retried. Default: 120, then adaptive.",
        validation_alias=_named("RLM_REQUEST_TIMEOUT"),
    )
    cost_limit_usd: Decimal | None = Field(
        None, gt=0, description="Maximum cost of a run in US dollars. Default: 5.00 if prices are known."
    )
    max_turns: int = Field(30, ge=1, description="Maximum turns of each session.")
    max_depth: int = Field(3, ge=0, description="Maximum nesting depth of sessions.")
    max_subcalls: int = Field(200, ge=0, description="Maximum calls to other models.")
    max_tokens: int | None = Field(None, ge=1, description="Maximum tokens sent and received. Default: no limit.")
    max_seconds: float | None = Field(
        None, gt=0, description="Maximum wall time of a question in seconds. Default: no limit."
    )
    last_answer: bool = Field(True, description="At a limit, ask the model for its best answer so far.")
    profile: str | None = Field(
        None, description="A strategy (rlmbox profiles lists them), or a TOML file; options override it."
    )
    direct_below_chars: int | None = Field(
        None, ge=0, description="Send texts shorter than this, in characters, with the question. Default: 8000."
    )
    max_history_tokens: int | None = Field(
        None,
        gt=0,
        description="Tokens of a conversation above which its middle is summarised.",
    )
    cache: bool = Field(False, description="Cache the replies to sub-calls for later runs.")
    sandbox: str = Field(
        "auto",
        description="Where the model's code runs: auto, jail, wasm, monty, subset or docker.",
        validation_alias=_named("RLM_SANDBOX", "RLM_EXECUTION_MODE"),
    )
    sandbox_image: str | None = Field(None, description="Docker image for the docker sandbox.")
    packages: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Installed packages that cells may import; in the environment, with commas."
    )
    type_check: bool = Field(False, description="Check the names and arguments of a cell before it runs, in monty.")
    cell_timeout_s: float | None = Field(
        None,
        gt=0,
        description="Timeout of a cell in seconds. Default: 5.",
        validation_alias=_named("RLM_CELL_TIMEOUT", "RLM_EXECUTION_TIMEOUT"),
    )
    memory_mb: float | None = Field(
        None, gt=0, description="Memory limit of a cell in MiB. Default: 128.", validation_alias=_named("RLM_MEMORY")
    )
    approve: Literal["never", "always", "first", "on_subcalls"] | None = Field(
        None, description="When to ask before code runs."
    )
    guard: Literal["off", "redact", "strict"] = Field(
        "redact", description="What models may see: off, redact or strict."
    )
    guard_model: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Different policies for some models, such as ollama:*=off; in the environment, with commas."
    )
    retriever: str | None = Field(None, description="An index to search, such as index:./corpus.idx.")
    instructions: Path | None = Field(None, description="Instructions: a text file, or TOML with root and children.")
    prompts: Path | None = Field(None, description="TOML file with replacements for parts of the prompt.")
    otel: bool = Field(False, description="Send OpenTelemetry spans and metrics as the OTEL_* variables say.")
    store: Path | None = Field(None, description="File where runs are recorded.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing but what is given: `layers` reads each place by itself, to know what came from where."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @field_validator("packages", "windows", "guard_model", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("sandbox")
    @classmethod
    def _isolated(cls, value: str) -> str:
        if value == "local":
            raise ValueError(
                "local isolates nothing, and no setting chooses it; use auto, or run cells of your own with: "
                "rlmbox exec --sandbox local --unsafe-no-isolation"
            )
        return value

    def named_model(self, name: str | None) -> str | None:
        """Return the name of a model with its provider.

        Args:
            name: The name, which may have none where `api_provider` is set.
        """
        return f"{self.api_provider}:{name}" if name and self.api_provider and ":" not in name else name


def variables(key: str) -> tuple[str, ...]:
    """Return the names that the environment has for a key, the usual one first.

    Args:
        key: The name of a field of `Configuration`.
    """
    alias = Configuration.model_fields[key].validation_alias
    names = alias.choices if isinstance(alias, AliasChoices) else []
    return tuple(str(name) for name in names) or (f"RLM_{key.upper()}",)


def validated(values: Mapping[str, Any], place: str) -> Configuration:
    """Return the configuration of one place.

    Args:
        values: Values by key, or by the name of a variable.
        place: The file, or what else has them, for errors.

    Raises:
        ConfigError: A key is not known, or its value is not valid.
    """
    try:
        return Configuration.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        field = next((name for name in Configuration.model_fields if key in (name, *variables(name))), None)
        if field and not place.endswith(FILE_ENDINGS):
            key = next((name for name in variables(field) if name in os.environ), variables(field)[0])
        if first["type"] == "extra_forbidden":
            near = get_close_matches(key, [*Configuration.model_fields], 1)
            known = f"did you mean {near[0]}?" if near else "rlmbox config init lists the keys there are"
            raise ConfigError(f"{place}: there is no setting {key!r}; {known}") from None
        own = first.get("ctx", {}).get("error")
        message = str(own or first["msg"])
        shown = "" if own or field == "api_key" else f", not {first['input']!r}"
        raise ConfigError(f"{place}: {key}: {message[:1].lower()}{message[1:]}{shown}") from None
