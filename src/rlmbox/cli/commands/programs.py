"""Commands that run code for other programs, or serve them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rlmbox.cli.options import (
    BaseUrlOption,
    CellTimeoutOption,
    DebugOption,
    GuardOption,
    MemoryOption,
    ModelOption,
    PackageOption,
    PricesOption,
    RecordOption,
    SandboxImageOption,
    SandboxOption,
    StoreOption,
    SubModelOption,
    TypeCheckOption,
    option,
)

programs = typer.Typer(rich_markup_mode=None)
mcp = typer.Typer(
    help="Serve rlmbox to other agents over MCP: their own model reads a text of any size through it.",
    rich_markup_mode=None,
)


@programs.command("exec")
def exec_(
    files: Annotated[list[str] | None, typer.Argument(help="Python files; - is standard input, the default.")] = None,
    sandbox: SandboxOption = "auto",
    sandbox_image: SandboxImageOption = None,
    context: Annotated[
        list[str] | None, option("A file or folder that is `context` in the cells.", None, "--context", "-c")
    ] = None,
    cell_timeout: CellTimeoutOption = None,
    memory: MemoryOption = None,
    package: PackageOption = None,
    type_check: TypeCheckOption = False,
    keep_going: Annotated[bool, option("Continue after a cell that fails.", None, "--keep-going")] = False,
    unsafe_no_isolation: Annotated[
        bool, option("Allow --sandbox local, which isolates nothing.", None, "--unsafe-no-isolation")
    ] = False,
    as_json: Annotated[bool, option("Print a JSON object per cell, one per line.", None, "--json")] = False,
    debug: DebugOption = False,
) -> None:
    """Run files as the cells of one session in a sandbox, and print the results.

    Without a file, standard input is one cell; at a terminal it is a prompt. No function that cells can call reaches a
    model. It stops at the first cell that fails, unless --keep-going is given.

    Exit codes: 0 every cell succeeded, 1 one failed, 2 wrong input, 4 the sandbox failed, 130 interrupted.
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


@programs.command()
def subset(
    profile: Annotated[str, option("What the code may use: strict or wide.", None, "--profile")] = "strict",
    limit: Annotated[
        list[str] | None, option("Override a limit for each request: steps=5000000, memory_bytes=…; repeatable.")
    ] = None,
    spec: Annotated[bool, option("Print what the language supports, and exit.", None, "--spec")] = False,
    as_json: Annotated[bool, option("With --spec: print JSON.", None, "--json")] = False,
    debug: DebugOption = False,
) -> None:
    """Run code in the deterministic interpreter, as a service: one JSON object per line on standard input and output.

    A request has context, query and code, and may have state (what the last answer had as state) and max_output_chars.
    An answer has ok, output, error and state.

    Limits are steps, memory_bytes, call_depth, code_chars, output_chars and pattern_chars.
    """
    from rlmbox.cli.subset import serve_and_print

    raise typer.Exit(serve_and_print(profile, limit or (), spec=spec, as_json=as_json, debug=debug))


@programs.command()
def tool(
    sandbox: SandboxOption = "auto",
    context: Annotated[
        list[str] | None, option("A file or folder that is `context` in the code.", None, "--context", "-c")
    ] = None,
    package: PackageOption = None,
    memory: MemoryOption = None,
    timeout: Annotated[float, option("Timeout in seconds for requests that set none.")] = 30.0,
    max_timeout: Annotated[float, option("Longest timeout that a request may set.")] = 600.0,
    max_sessions: Annotated[int, option("Maximum number of open sessions.", least=1)] = 256,
    echo: Annotated[bool, option("Print the value of a final bare expression.", None, "--echo")] = False,
    unsafe_no_isolation: Annotated[
        bool, option("Allow --sandbox local, which isolates nothing.", None, "--unsafe-no-isolation")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Run Python for another agent, as a service: one JSON object per line on standard input and output.

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


@mcp.callback(invoke_without_command=True)
def mcp_serve(
    ctx: typer.Context,
    root: Annotated[
        list[Path] | None, option("A folder whose files agents may open; repeatable.", None, "--root")
    ] = None,
    http: Annotated[bool, option("Serve over HTTP instead of standard input and output.", None, "--http")] = False,
    host: Annotated[str, option("The address to listen on.", None, "--host")] = "127.0.0.1",
    port: Annotated[int, option("The port; 0 for any free port.", None, "--port", least=0)] = 8765,
    token: Annotated[str | None, option("Bearer token that clients must send.", "RLM_MCP_TOKEN")] = None,
    origin: Annotated[
        list[str] | None,
        option("Origin (scheme and host) of a web page that may connect; repeatable.", None, "--origin"),
    ] = None,
    model: ModelOption = None,
    sub_model: SubModelOption = None,
    base_url: BaseUrlOption = None,
    prices: PricesOption = None,
    cost_limit: Annotated[str | None, option("Maximum cost of a call in US dollars.", "RLM_COST_LIMIT_USD")] = None,
    total_cost_limit: Annotated[str | None, option("Maximum cost of all calls together in US dollars.")] = None,
    max_seconds: Annotated[float, option("Maximum wall time of a question in seconds.", "RLM_MAX_SECONDS")] = 600.0,
    sandbox: SandboxOption = "auto",
    package: PackageOption = None,
    timeout: Annotated[float, option("Timeout of code in seconds, for calls that set none.")] = 30.0,
    max_timeout: Annotated[float, option("Longest timeout that a call may set.")] = 600.0,
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
        list[Path] | None,
        option("A folder that the agent may open; repeatable. Default: the current folder.", None, "--root"),
    ] = None,
    path: Annotated[Path | None, option("Configuration file, if not the client's usual one.", None, "--file")] = None,
    only_print: Annotated[bool, option("Print the configuration without writing it.", None, "--print")] = False,
    yes: Annotated[bool, option("Write without asking.", None, "--yes", "-y")] = False,
    debug: DebugOption = False,
) -> None:
    """Add rlmbox to a client's configuration, after showing the change and asking for confirmation.

    Exit codes: 0 written, or already there, 1 declined, 2 wrong input.
    """
    from rlmbox.cli.mcp import install_and_print

    code = install_and_print(client, root or [], path=path, only_print=only_print, yes=yes, debug=debug)
    raise typer.Exit(code)
