"""The options that several commands have, and those of a run, which `ask` and `chat` have in common."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from rlmbox.cli.asking import Settings
    from rlmbox.cli.continuing import OwnLimits


def option(text: str, variable: str | None = None, *names: str, least: float | None = None) -> Any:
    """Return the declaration of an option.

    Args:
        text: Its help.
        variable: The variable of the environment that can also set it; None for none.
        names: Its names; by default that of the parameter.
        least: The least number that it takes; None for any.
    """
    return typer.Option(*names, envvar=variable, min=least, help=text)


ModelOption = Annotated[
    str | None,
    option("The root model. Default: offline:extractive, which only quotes the text.", "RLM_MODEL", "--model", "-m"),
]
SubModelOption = Annotated[str | None, option("The model for sub-calls. Default: the root model.", "RLM_SUB_MODEL")]
FallbackModelOption = Annotated[
    str | None, option("The model to use when another one is unavailable. Default: none.", "RLM_FALLBACK_MODEL")
]
BaseUrlOption = Annotated[
    str | None, option("Address of a server that speaks the provider's protocol.", "RLM_BASE_URL")
]
PricesOption = Annotated[
    Path | None, option("File of prices (TOML or JSON) that override the catalogue.", "RLM_PRICES")
]
WindowOption = Annotated[
    list[str] | None,
    option("Context windows in tokens, or NAME=TOKENS for one model; repeatable.", "RLM_WINDOW"),
]
RequestTimeoutOption = Annotated[
    float | None,
    option(
        "Seconds without data after which a request is retried. Default: 120, then adaptive.", "RLM_REQUEST_TIMEOUT"
    ),
]
CostLimitOption = Annotated[
    str | None,
    option("Maximum cost of the run in US dollars. Default: 5.00 if prices are known.", "RLM_COST_LIMIT_USD"),
]
MaxTurnsOption = Annotated[int, option("Maximum turns of each session.", "RLM_MAX_TURNS", least=1)]
MaxDepthOption = Annotated[int, option("Maximum nesting depth of sessions.", "RLM_MAX_DEPTH", least=0)]
MaxSubcallsOption = Annotated[int, option("Maximum calls to other models.", "RLM_MAX_SUBCALLS", least=0)]
MaxTokensOption = Annotated[
    int | None, option("Maximum tokens sent and received. Default: no limit.", "RLM_MAX_TOKENS", least=1)
]
MaxSecondsOption = Annotated[
    float | None, option("Maximum wall time in seconds. Default: no limit.", "RLM_MAX_SECONDS")
]
LastAnswerOption = Annotated[
    bool,
    option(
        "At a limit, ask the model for its best answer so far.", "RLM_LAST_ANSWER", "--last-answer/--no-last-answer"
    ),
]
CacheOption = Annotated[
    bool, option("Cache the replies to sub-calls for later runs.", "RLM_CACHE", "--cache/--no-cache")
]
SandboxOption = Annotated[str, option("Where the model's code runs.", "RLM_SANDBOX", "--sandbox")]
SandboxImageOption = Annotated[str | None, option("Docker image for --sandbox docker.", "RLM_SANDBOX_IMAGE")]
CellTimeoutOption = Annotated[float | None, option("Timeout of a cell in seconds. Default: 5.", "RLM_CELL_TIMEOUT")]
MemoryOption = Annotated[float | None, option("Memory limit of a cell in MiB. Default: 128.", "RLM_MEMORY")]
PackageOption = Annotated[list[str] | None, option("An installed package that cells may import; repeatable.")]
TypeCheckOption = Annotated[
    bool,
    option(
        "Check the names and arguments of a cell before it runs, in monty.",
        "RLM_TYPE_CHECK",
        "--type-check/--no-type-check",
    ),
]
ProfileOption = Annotated[
    str | None,
    option("A strategy (rlmbox profiles lists them), or a TOML file.", "RLM_PROFILE", "--profile"),
]
DirectBelowOption = Annotated[
    int | None,
    option(
        "Send texts shorter than this, in characters, with the question. Default: 8000; 0 for never.",
        "RLM_DIRECT_BELOW_CHARS",
        least=0,
    ),
]
MaxHistoryTokensOption = Annotated[
    int | None,
    option(
        "Tokens of a conversation above which its middle is summarised. Default: 60 % of the model's window.",
        "RLM_MAX_HISTORY_TOKENS",
    ),
]
ApproveOption = Annotated[
    str | None, option("Ask before code runs: always, first (until the first yes), on_subcalls.", "RLM_APPROVE")
]
IncludeOption = Annotated[
    list[str] | None,
    option("Include only matching files; repeatable.", None, "--include"),
]
ExcludeOption = Annotated[
    list[str] | None,
    option("Exclude matching files; repeatable.", None, "--exclude"),
]
EncodingOption = Annotated[str | None, option("Encoding of the files. Default: detected.", None, "--encoding")]
GuardOption = Annotated[
    str,
    option(
        "What models may see: redact hides secrets and personal data; strict hides more; off.", "RLM_GUARD", "--guard"
    ),
]
GuardModelOption = Annotated[
    list[str] | None,
    option("A different policy for some models, such as ollama:*=off; repeatable.", None, "--guard-model"),
]
GuardPathOption = Annotated[
    list[str] | None,
    option("A different policy for a path, such as tool=off; repeatable.", None, "--guard-path"),
]
GuardAllowOption = Annotated[
    list[str] | None,
    option("A value that stays visible, such as info@example.com; repeatable.", None, "--guard-allow"),
]
SchemaOption = Annotated[Path | None, option("File with a JSON Schema that the answer must match.", None, "--schema")]
InstructionsOption = Annotated[
    Path | None, option("Instructions: a text file, or TOML with root and children.", "RLM_INSTRUCTIONS")
]
PromptsOption = Annotated[
    Path | None, option("TOML file with replacements for parts of the prompt.", "RLM_PROMPTS", "--prompts")
]
JsonOption = Annotated[bool, option("Print one JSON object.", None, "--json")]
TraceOption = Annotated[Path | None, option("Write every event to this file, one JSON object per line.")]
OtelOption = Annotated[
    bool, option("Send OpenTelemetry spans and metrics as the OTEL_* variables say.", "RLM_OTEL", "--otel/--no-otel")
]
DebugOption = Annotated[bool, option("Show the traceback of an error.", None, "--debug")]
StoreOption = Annotated[
    Path | None,
    option("File where runs are recorded. Default: runs.db in your data directory.", "RLM_STORE", "--store"),
]
RecordOption = Annotated[
    bool, option("Record the run, so that it can be resumed after a crash.", None, "--record/--no-record")
]
RecordSecretsOption = Annotated[
    bool, option("Keep secrets and personal data in the record and in traces.", None, "--record-secrets")
]
RunIdOption = Annotated[str | None, option("A name for the run. Default: generated.", None, "--run-id")]
RunNameArgument = Annotated[str, typer.Argument(metavar="RUN", help="Name of the run; see rlmbox runs.")]
QuietOption = Annotated[bool, option("Print only the answer.", None, "--quiet", "-q")]
OptionalContextOption = Annotated[
    list[str] | None,
    option("A file or folder; repeatable; - is standard input.", None, "--context", "-c"),
]
MovedContextOption = Annotated[
    list[str] | None,
    option("The new location of a text that was moved; repeatable.", None, "--context", "-c"),
]
# The limits of a run that goes on: what is not given is as it was recorded, and not what is set here.
OwnCostLimitOption = Annotated[str | None, option("Maximum cost of the run in US dollars.", None, "--cost-limit")]
OwnMaxTurnsOption = Annotated[int | None, option("Maximum turns of each session.", None, "--max-turns", least=1)]
OwnMaxDepthOption = Annotated[int | None, option("Maximum nesting depth of sessions.", None, "--max-depth", least=0)]
OwnMaxSubcallsOption = Annotated[int | None, option("Maximum calls to other models.", None, "--max-subcalls", least=0)]
OwnMaxTokensOption = Annotated[int | None, option("Maximum tokens sent and received.", None, "--max-tokens", least=1)]
OwnMaxSecondsOption = Annotated[float | None, option("Maximum wall time in seconds.", None, "--max-seconds")]
OwnLastAnswerOption = Annotated[
    bool | None, option("At a limit, ask the model for its best answer so far.", None, "--last-answer/--no-last-answer")
]
OwnCellTimeoutOption = Annotated[float | None, option("Timeout of a cell in seconds.", None, "--cell-timeout")]
OwnMemoryOption = Annotated[float | None, option("Memory limit of a cell in MiB.", None, "--memory")]
RetrieverOption = Annotated[
    str | None,
    option("An index to search, in place of a context: index:PATH or postgresql://….", "RLM_RETRIEVER"),
]
ProviderArgument = Annotated[str, typer.Argument(metavar="PROVIDER", help="The provider, such as openai or anthropic.")]
RunNamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[RUN]...", help="Names of the runs. Default: all.")
]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of a run, which `ask` and `chat` have in common."""

    model: ModelOption = None
    sub_model: SubModelOption = None
    fallback_model: FallbackModelOption = None
    base_url: BaseUrlOption = None
    prices: PricesOption = None
    window: WindowOption = None
    request_timeout: RequestTimeoutOption = None
    cost_limit: CostLimitOption = None
    max_turns: MaxTurnsOption = 30
    max_depth: MaxDepthOption = 3
    max_subcalls: MaxSubcallsOption = 200
    max_tokens: MaxTokensOption = None
    max_seconds: MaxSecondsOption = None
    last_answer: LastAnswerOption = True
    profile: ProfileOption = None
    direct_below_chars: DirectBelowOption = None
    max_history_tokens: MaxHistoryTokensOption = None
    cache: CacheOption = False
    sandbox: SandboxOption = "auto"
    sandbox_image: SandboxImageOption = None
    package: PackageOption = None
    type_check: TypeCheckOption = False
    cell_timeout: CellTimeoutOption = None
    memory: MemoryOption = None
    approve: ApproveOption = None
    instructions: InstructionsOption = None
    prompts: PromptsOption = None
    guard: GuardOption = "redact"
    guard_model: GuardModelOption = None
    guard_path: GuardPathOption = None
    guard_allow: GuardAllowOption = None
    include: IncludeOption = None
    exclude: ExcludeOption = None
    encoding: EncodingOption = None
    store: StoreOption = None
    record: RecordOption = True
    record_secrets: RecordSecretsOption = False
    run_id: RunIdOption = None
    otel: OtelOption = False

    def settings(self) -> Settings:
        """Return them as settings."""
        from rlmbox.cli.asking import Settings

        given = {each.name: getattr(self, each.name) for each in fields(self)}
        given |= {name: tuple(given[name] or ()) for name in _LISTS}
        return Settings(**{_FIELDS.get(name, name): value for name, value in given.items()})


@dataclass(frozen=True, slots=True)
class OwnLimitOptions:
    """The limits of a run that goes on, which `resume` and `fork` have in common.

    They have other names than those of settings: where nothing is given, what was recorded counts and not what is set.
    """

    own_cost_limit: OwnCostLimitOption = None
    own_max_turns: OwnMaxTurnsOption = None
    own_max_depth: OwnMaxDepthOption = None
    own_max_subcalls: OwnMaxSubcallsOption = None
    own_max_tokens: OwnMaxTokensOption = None
    own_max_seconds: OwnMaxSecondsOption = None
    own_last_answer: OwnLastAnswerOption = None
    own_cell_timeout: OwnCellTimeoutOption = None
    own_memory: OwnMemoryOption = None

    def limits(self) -> OwnLimits:
        """Return them as limits."""
        from rlmbox.cli.continuing import OwnLimits

        given = {each.name.removeprefix("own_"): getattr(self, each.name) for each in fields(self)}
        return OwnLimits(**{_FIELDS.get(name, name): value for name, value in given.items()})


_FIELDS = {
    "cell_timeout": "cell_timeout_s",
    "cost_limit": "cost_limit_usd",
    "memory": "memory_mb",
    "package": "packages",
    "request_timeout": "request_timeout_s",
    "window": "windows",
}
_LISTS = frozenset({"exclude", "guard_allow", "guard_model", "guard_path", "include", "package", "window"})


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Have a command take the options of a group one by one, for its parameter of that type.

    Args:
        command: The command; one of its parameters is of type `RunOptions` or `OwnLimitOptions`.
    """
    parameters: list[inspect.Parameter] = []
    kind = inspect.Parameter.KEYWORD_ONLY
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if parameter.annotation not in (RunOptions, OwnLimitOptions):
            parameters.append(parameter.replace(kind=kind))
            continue
        group, options = parameter.name, parameter.annotation
        hints = get_type_hints(options, include_extras=True)
        parameters += [
            inspect.Parameter(each.name, kind, default=each.default, annotation=hints[each.name])
            for each in fields(options)
        ]

    @functools.wraps(command)
    def taking_each(**given: Any) -> None:
        grouped = options(**{each.name: given.pop(each.name) for each in fields(options)})
        command(**{group: grouped}, **given)

    taking_each.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    taking_each.__annotations__ = {each.name: each.annotation for each in parameters}
    return taking_each
