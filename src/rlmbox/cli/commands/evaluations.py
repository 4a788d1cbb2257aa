"""The command that asks questions whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rlmbox.cli.options import (
    BaseUrlOption,
    DebugOption,
    DirectBelowOption,
    GuardModelOption,
    GuardOption,
    JsonOption,
    ModelOption,
    PricesOption,
    ProfileOption,
    RecordOption,
    SandboxOption,
    StoreOption,
    SubModelOption,
    WindowOption,
    option,
)

evaluations = typer.Typer(rich_markup_mode=None)


@evaluations.command("eval")
def eval_(
    what: Annotated[
        list[str] | None,
        typer.Argument(help="Files of questions (JSONL, CSV), suites (--list), or FORMAT:FILE of a public set."),
    ] = None,
    context: Annotated[
        list[str] | None,
        option("The text for questions that do not name one; repeatable.", None, "--context", "-c"),
    ] = None,
    arm: Annotated[
        list[str] | None,
        option("direct, retrieval, rlm, policy or FILE.py:FUNCTION, as [NAME=]ARM[:OPTION=VALUE,...]; several times."),
    ] = None,
    repeat: Annotated[int, option("Number of times that each question is put to each arm.", None, least=1)] = 1,
    sizes: Annotated[str, option("Lengths of the suites' texts, such as 32k,1M,100MB. Default: 32k.")] = "",
    count: Annotated[int, option("Questions that a suite generates per length.", None, least=1)] = 10,
    seed: Annotated[int, option("Seed for the suites.")] = 0,
    grader: Annotated[str, option("Grader for questions that do not name one. Default: by the expected answer.")] = "",
    grade_with: Annotated[str, option("Your own grader, as FILE.py:FUNCTION.")] = "",
    judge: Annotated[str, option("The model that judges, for the grader judge.")] = "",
    model: ModelOption = None,
    sub_model: SubModelOption = None,
    base_url: BaseUrlOption = None,
    prices: PricesOption = None,
    window: WindowOption = None,
    sandbox: SandboxOption = "auto",
    profile: ProfileOption = None,
    direct_below_chars: DirectBelowOption = None,
    guard: GuardOption = "redact",
    guard_model: GuardModelOption = None,
    cost_limit: Annotated[
        str | None, option("Maximum total cost in US dollars. Default: 5.00.", None, "--cost-limit")
    ] = None,
    run_cost_limit: Annotated[
        str, option("Maximum cost of one run of rlm in US dollars. Default: a tenth of the total.")
    ] = "",
    concurrency: Annotated[int | None, option("Number of concurrent trials. Default: 8.", None, least=1)] = None,
    store: StoreOption = None,
    record: RecordOption = True,
    yes: Annotated[
        bool, option("Do not ask for confirmation before spending more than a dollar.", None, "--yes", "-y")
    ] = False,
    dry_run: Annotated[bool, option("Only print the estimate.", None, "--dry-run")] = False,
    resume: Annotated[str | None, option("Resume an evaluation.", None, "--resume")] = None,
    show: Annotated[str | None, option("Print the report of an evaluation.", None, "--show")] = None,
    compare: Annotated[tuple[str, str] | None, typer.Option("--compare", help="Compare two evaluations.")] = None,
    write_profile: Annotated[
        Path | None, option("With --show: write the winning settings to this file.", None, "--write-profile")
    ] = None,
    html: Annotated[Path | None, option("Write the report to this file as an HTML page.", None, "--html")] = None,
    inspect: Annotated[
        Path | None, option("Write logs for Inspect to this folder, one per arm.", None, "--inspect")
    ] = None,
    suites: Annotated[bool, option("List the suites.", None, "--list")] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Ask questions with known answers in several ways, and compare how often each is right and what it costs.

    Exit codes: 0 done, 2 wrong input, 5 the cost limit was reached, 130 interrupted. Results so far are kept.
    """
    from rlmbox.cli import eval_reports
    from rlmbox.cli.asking import Settings
    from rlmbox.cli.eval_plan import EvalSettings
    from rlmbox.cli.evaluating import run_and_print
    from rlmbox.cli.failing import report as report_error
    from rlmbox.errors import ConfigError

    if suites:
        raise typer.Exit(eval_reports.suites_and_print(as_json=as_json))
    given = {"questions": what, "--show": show, "--resume": resume, "--compare": compare}
    if len(named := [name for name, value in given.items() if value]) > 1:
        error = ConfigError(f"{' and '.join(named)} do not go together; give one of them")
        raise typer.Exit(report_error(error, as_json=False, debug=debug))
    if compare:
        raise typer.Exit(eval_reports.compare_and_print(compare, as_json=as_json, debug=debug))
    if write_profile and not show:
        error = ConfigError("--write-profile is of an evaluation that is over; name it: --show eval-1")
        raise typer.Exit(report_error(error, as_json=False, debug=debug))
    if write_profile and show and not (html or inspect):
        raise typer.Exit(eval_reports.write_profile_and_print(show, write_profile, debug=debug))
    if show:
        code = eval_reports.show_and_print(show, html=html, inspect=inspect, as_json=as_json, debug=debug)
        if write_profile and not code:
            code = eval_reports.write_profile_and_print(show, write_profile, debug=debug)
        raise typer.Exit(code)
    settings = EvalSettings(
        what=tuple(what or ()),
        contexts=tuple(context or ()),
        arms=tuple(arm or ("direct", "retrieval", "rlm")),
        repeats=repeat,
        sizes=tuple(filter(None, sizes.split(","))),
        count=count,
        seed=seed,
        grader=grader,
        grade_with=grade_with,
        judge=judge,
        cost_limit_usd=cost_limit or "",
        run_cost_limit_usd=run_cost_limit,
        concurrency=concurrency or (0 if resume else 8),
        run=Settings(
            model=model,
            sub_model=sub_model,
            base_url=base_url,
            prices=prices,
            windows=tuple(window or ()),
            sandbox=sandbox,
            profile=profile,
            direct_below_chars=direct_below_chars,
            guard=guard,
            guard_model=tuple(guard_model or ()),
            store=store,
            record=record,
        ),
    )
    code = run_and_print(
        settings, resume=resume, yes=yes, dry_run=dry_run, html=html, inspect=inspect, as_json=as_json, debug=debug
    )
    raise typer.Exit(code)
