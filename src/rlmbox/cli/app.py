"""The commands and their options. Everything heavy is imported when a command runs, so that `--help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="rlmbox",
    help="Ask questions of text far larger than a model's window. "
    "The text stays here; the model works on it with code, in a sandbox.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_DEMO_QUESTION = "Which module defines class OrderedDict?"


def _option(text: str, variable: str | None = None, *names: str, least: float | None = None) -> Any:
    """Declares an option that the environment can also set."""
    return typer.Option(*names, envvar=variable, min=least, help=text)


Model = Annotated[
    str | None, _option("The root model. Default: offline:extractive, which only quotes.", "RLM_MODEL", "--model", "-m")
]
SubModel = Annotated[str | None, _option("The model of sub-calls. Default: the root model.", "RLM_SUB_MODEL")]
BaseUrl = Annotated[str | None, _option("A server that speaks the provider's protocol.", "RLM_BASE_URL")]
Prices = Annotated[Path | None, _option("File of prices (TOML or JSON), before the catalogue's.", "RLM_PRICES")]
CostLimit = Annotated[
    str | None, _option("US dollars that the run may cost. Default: 5.00 where prices are known.", "RLM_COST_LIMIT_USD")
]
MaxTurns = Annotated[int, _option("Turns of each session.", "RLM_MAX_TURNS", least=1)]
MaxDepth = Annotated[int, _option("Nesting of sessions.", "RLM_MAX_DEPTH", least=0)]
MaxSubcalls = Annotated[int, _option("Calls to other models.", "RLM_MAX_SUBCALLS", least=0)]
MaxTokens = Annotated[int | None, _option("Tokens sent and received. Default: no limit.", "RLM_MAX_TOKENS", least=1)]
MaxSeconds = Annotated[float | None, _option("Wall time. Default: no limit.", "RLM_MAX_SECONDS")]
SandboxName = Annotated[str, _option("Where the model's code runs.", "RLM_SANDBOX", "--sandbox")]
AsJson = Annotated[bool, _option("Print one JSON object.", None, "--json")]
Trace = Annotated[Path | None, _option("Write every event to this file, one JSON object a line.")]
Debug = Annotated[bool, _option("Show the traceback of an error.", None, "--debug")]
Quiet = Annotated[bool, _option("Print the answer only.", None, "--quiet", "-q")]
Contexts = Annotated[
    list[str], _option("A file or folder; several times for several; - is standard input.", None, "--context", "-c")
]


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"rlmbox {version_of('rlmbox')}")
        raise typer.Exit


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    context: Contexts,
    model: Model = None,
    sub_model: SubModel = None,
    base_url: BaseUrl = None,
    prices: Prices = None,
    cost_limit: CostLimit = None,
    max_turns: MaxTurns = 30,
    max_depth: MaxDepth = 3,
    max_subcalls: MaxSubcalls = 200,
    max_tokens: MaxTokens = None,
    max_seconds: MaxSeconds = None,
    sandbox: SandboxName = "monty",
    as_json: AsJson = False,
    trace: Trace = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Ask a question of a text.

    Exit codes: 0 answered, 2 wrong input, 3 the model's provider failed, 4 the sandbox failed, 5 a limit was reached
    (what there was until then is printed), 130 interrupted.
    """
    from rlmbox.cli.asking import Settings, ask_and_print

    settings = Settings(
        model=model,
        sub_model=sub_model,
        base_url=base_url,
        prices=prices,
        cost_limit_usd=cost_limit,
        max_turns=max_turns,
        max_depth=max_depth,
        max_subcalls=max_subcalls,
        max_tokens=max_tokens,
        max_seconds=max_seconds,
        sandbox=sandbox,
    )
    raise typer.Exit(ask_and_print(question, context, settings, as_json=as_json, trace=trace, quiet=quiet, debug=debug))


@app.command()
def demo(
    question: Annotated[str, typer.Argument(help="What to ask of Python's own standard library.")] = _DEMO_QUESTION,
    model: Model = None,
    sub_model: SubModel = None,
    base_url: BaseUrl = None,
    cost_limit: CostLimit = None,
    trace: Trace = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Ask a question of the source of Python's own standard library, several megabytes that every machine has."""
    from rlmbox.cli.asking import Settings, demo_and_print

    settings = Settings(model=model, sub_model=sub_model, base_url=base_url, cost_limit_usd=cost_limit)
    raise typer.Exit(demo_and_print(question, settings, as_json=as_json, trace=trace, debug=debug))


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="Show one model, such as openai:gpt-5.")] = None,
    prices: Prices = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show which providers can be reached from here, and what a model costs."""
    from rlmbox.cli.listing import print_models

    raise typer.Exit(print_models(name, prices, as_json=as_json, debug=debug))
