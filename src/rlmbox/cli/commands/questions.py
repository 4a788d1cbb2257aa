"""Commands that ask questions of a text."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from rlmbox.cli.grouping import CommandOverText
from rlmbox.cli.options import (
    BaseUrlOption,
    CostLimitOption,
    DebugOption,
    JsonOption,
    ModelOption,
    OptionalContextOption,
    OtelOption,
    QuietOption,
    RetrieverOption,
    RunOptions,
    SchemaOption,
    SubModelOption,
    TraceOption,
    with_options,
)

questions = typer.Typer(rich_markup_mode=None)

_DEMO_QUESTION = "Which module defines class OrderedDict?"


@questions.command(cls=CommandOverText)
@with_options
def ask(
    question: Annotated[str, typer.Argument(help="The question.")],
    context: OptionalContextOption = None,
    retriever: RetrieverOption = None,
    *,
    run: RunOptions,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
    trace: TraceOption = None,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Ask a question about a text.

    Exit codes: 0 answered, 2 wrong input, 3 the model's provider failed, 4 the sandbox failed, 5 a limit was reached
    (partial results are printed), 130 interrupted.
    """
    from rlmbox.cli.asking import ask_and_print

    settings = replace(run.settings(), retriever=retriever, schema=schema)
    raise typer.Exit(
        ask_and_print(question, context or [], settings, as_json=as_json, trace=trace, quiet=quiet, debug=debug)
    )


@questions.command(cls=CommandOverText)
@with_options
def chat(
    context: OptionalContextOption = None,
    retriever: RetrieverOption = None,
    *,
    run: RunOptions,
    debug: DebugOption = False,
) -> None:
    """Ask several questions about a text in one session; the model's variables persist between questions.

    /vars shows the variables, /cost the cost so far, /save FILE saves the conversation. Ctrl-C cancels the question and
    keeps the session; Ctrl-D ends the session. --max-turns applies to each question, the other limits to the session.
    """
    from rlmbox.cli.chatting import chat as run_chat

    raise typer.Exit(run_chat(context or [], replace(run.settings(), retriever=retriever), debug=debug))


@questions.command()
def demo(
    question: Annotated[str, typer.Argument(help="The question about Python's standard library.")] = _DEMO_QUESTION,
    model: ModelOption = None,
    sub_model: SubModelOption = None,
    base_url: BaseUrlOption = None,
    cost_limit: CostLimitOption = None,
    trace: TraceOption = None,
    otel: OtelOption = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Ask a question about the source of Python's standard library, several megabytes that every machine has."""
    from rlmbox.cli.asking import Settings, demo_and_print

    settings = Settings(model=model, sub_model=sub_model, base_url=base_url, cost_limit_usd=cost_limit, otel=otel)
    raise typer.Exit(demo_and_print(question, settings, as_json=as_json, trace=trace, debug=debug))
