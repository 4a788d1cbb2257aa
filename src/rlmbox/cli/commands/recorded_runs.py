"""Commands on recorded runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rlmbox.cli.options import (
    ApproveOption,
    DebugOption,
    JsonOption,
    MovedContextOption,
    OtelOption,
    OwnLimitOptions,
    PricesOption,
    QuietOption,
    RetrieverOption,
    RunIdOption,
    RunNameArgument,
    RunNamesArgument,
    StoreOption,
    option,
    with_options,
)

recorded_runs = typer.Typer(rich_markup_mode=None)
audit = typer.Typer(
    help="Show what ran and what was refused, and verify the record.", no_args_is_help=True, rich_markup_mode=None
)


@recorded_runs.command()
def runs(
    store: StoreOption = None,
    status: Annotated[
        str | None, option("Only runs with this status: answered, failed or stopped.", None, "--status")
    ] = None,
    question: Annotated[str | None, option("Only runs whose question contains this text.", None, "--question")] = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List recorded runs, newest first."""
    from rlmbox.cli.recording import runs_and_print

    raise typer.Exit(runs_and_print(store, status=status, text=question, as_json=as_json, debug=debug))


@recorded_runs.command()
def show(
    run: RunNameArgument,
    store: StoreOption = None,
    turn: Annotated[int | None, option("Show this turn in full.", None, "--turn", least=1)] = None,
    evidence: Annotated[bool, option("Write diagnostics of a run that failed.", None, "--evidence")] = False,
    folder: Annotated[
        Path | None, option("Folder for --evidence. Default: rlm_traces/RUN.", None, "--evidence-dir")
    ] = None,
    freeze: Annotated[bool, typer.Option("--freeze", hidden=True)] = False,  # says what there is instead
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show a recorded run as a tree, with costs and times."""
    from rlmbox.cli.recording import show_and_print

    code = show_and_print(
        run, store, turn=turn, evidence=evidence, folder=folder, freeze=freeze, as_json=as_json, debug=debug
    )
    raise typer.Exit(code)


@recorded_runs.command()
@with_options
def resume(
    run: RunNameArgument,
    *,
    limits: OwnLimitOptions,
    moved_context: MovedContextOption = None,
    store: StoreOption = None,
    retriever: RetrieverOption = None,
    prices: PricesOption = None,
    approve: ApproveOption = None,
    otel: OtelOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Resume a recorded run after a crash, a kill, a power cut or Ctrl-C, without paying for anything twice.

    A run that ended at a limit continues if that limit is raised. Options that are not given keep their recorded
    values. Exit codes as for ask.
    """
    from rlmbox.cli.continuing import resume_and_print

    code = resume_and_print(
        run,
        store,
        limits=limits.limits(),
        moved=moved_context or (),
        retriever=retriever,
        prices=prices,
        approve=approve,
        otel=otel,
        as_json=as_json,
        quiet=quiet,
        debug=debug,
    )
    raise typer.Exit(code)


@recorded_runs.command()
def replay(
    run: RunNameArgument,
    moved_context: MovedContextOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Replay a run from its record: no model is asked, no key is needed, and it costs nothing."""
    from rlmbox.cli.continuing import replay_and_print

    raise typer.Exit(replay_and_print(run, store, moved=moved_context or (), as_json=as_json, quiet=quiet, debug=debug))


@recorded_runs.command()
@with_options
def fork(
    run: RunNameArgument,
    at: Annotated[int, option("The turn at which the new run departs from the recorded one.", None, "--at", least=1)],
    edit: Annotated[Path | None, option("File with the code to run in this turn.", None, "--edit")] = None,
    run_id: RunIdOption = None,
    # As the limits of its own: another name than that of the setting.
    own_model: Annotated[str | None, option("The new run's root model.", None, "--model", "-m")] = None,
    *,
    limits: OwnLimitOptions,
    moved_context: MovedContextOption = None,
    retriever: RetrieverOption = None,
    prices: PricesOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Start a new run from a turn of a recorded one. The model is asked again for that turn, or --edit gives its code.

    Options that are not given keep their recorded values: the models and every limit.
    """
    from rlmbox.cli.continuing import fork_and_print

    code = fork_and_print(
        run,
        store,
        at=at,
        edit=edit,
        new_id=run_id,
        model=own_model,
        limits=limits.limits(),
        moved=moved_context or (),
        retriever=retriever,
        prices=prices,
        as_json=as_json,
        quiet=quiet,
        debug=debug,
    )
    raise typer.Exit(code)


@recorded_runs.command()
def export(
    run: RunNameArgument,
    form: Annotated[str, option("jsonl (a trace), sft (training data) or md (a report).", None, "--format")] = "jsonl",
    store: StoreOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Print a recorded run as a trace, as training data or as a report."""
    from rlmbox.cli.recording import export_and_print

    raise typer.Exit(export_and_print(run, store, form=form, as_json=as_json, debug=debug))


@recorded_runs.command()
def rm(
    run: Annotated[list[str], typer.Argument(metavar="RUN...", help="Names of the runs.")],
    store: StoreOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Delete recorded runs."""
    from rlmbox.cli.recording import remove_and_print

    raise typer.Exit(remove_and_print(run, store, as_json=as_json, debug=debug))


@audit.command("show")
def audit_show(
    run: RunNamesArgument = None, store: StoreOption = None, as_json: JsonOption = False, debug: DebugOption = False
) -> None:
    """Print a line for each cell that ran and for each security event: refusals, redactions, cuts, failures."""
    from rlmbox.cli.auditing import show_audit

    raise typer.Exit(show_audit(run or [], store, as_json=as_json, debug=debug))


@audit.command("verify")
def audit_verify(
    run: RunNamesArgument = None,
    store: StoreOption = None,
    head: Annotated[str | None, option("The expected digest of the run, noted earlier.")] = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Verify that nothing in the record was changed, added, removed or reordered since it was written.

    Exit codes: 0 every chain is intact, 1 one is not, 2 wrong input.
    """
    from rlmbox.cli.auditing import verify_audit

    raise typer.Exit(verify_audit(run or [], store, head=head, as_json=as_json, debug=debug))
