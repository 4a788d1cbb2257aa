"""The command `rlmbox`. Everything heavy is imported when a command runs, so that `--help` is quick."""

from __future__ import annotations

from typing import Annotated

import typer

from rlmbox.cli.commands.evaluations import evaluations
from rlmbox.cli.commands.programs import mcp, programs
from rlmbox.cli.commands.questions import questions
from rlmbox.cli.commands.recorded_runs import audit, recorded_runs
from rlmbox.cli.commands.setup import config, index, keys, setup
from rlmbox.cli.grouping import GroupedCommands

app = typer.Typer(
    name="rlmbox",
    cls=GroupedCommands,
    help="Ask questions of text far larger than a model's window. "
    "The text stays here; the model works on it with code, in a sandbox.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)
for part in (questions, evaluations, recorded_runs, programs, setup):
    app.add_typer(part)
app.add_typer(audit, name="audit")
app.add_typer(config, name="config")
app.add_typer(index, name="index")
app.add_typer(keys, name="keys")
app.add_typer(mcp, name="mcp")


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="With --version: also print details for a bug report.")
    ] = False,
) -> None:
    if version:
        from rlmbox.cli.about import print_version

        print_version(verbose=verbose)
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        raise typer.BadParameter("--verbose goes with --version", ctx)
    commands = getattr(ctx.command, "commands", {})
    options = {name: {option.name for option in command.params} for name, command in commands.items()}
    if ctx.invoked_subcommand != "config":
        from rlmbox.cli.configuring import command_defaults

        ctx.default_map = command_defaults(options, ctx.invoked_subcommand)
