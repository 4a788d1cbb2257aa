"""`rlmbox mcp`: an MCP server for other agents, and its entry in their configuration."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio

from rlmbox.budget.limits import DEFAULT_COST_LIMIT_USD, Limits, dollars
from rlmbox.cli.cell_options import cell_limits
from rlmbox.cli.failing import report
from rlmbox.cli.keeping import key_source
from rlmbox.config import OFFLINE_MODEL
from rlmbox.errors import ConfigError, StoreError
from rlmbox.guard import Guard
from rlmbox.guard.visible import printable
from rlmbox.models.base import Model
from rlmbox.record.journal import MemoryStore, Store
from rlmbox.record.stores import default_path, open_store
from rlmbox.rlm import RLM
from rlmbox.sandboxes.registry import sandbox_from
from rlmbox.tool.interpreter import tool_limits

if TYPE_CHECKING:
    from rlmbox.tool.mcp.operations import ServerLimits  # brings what only a server needs

DEFAULT_TOTAL_USD = Decimal("20.00")
"""The default limit of all calls of a server together, if prices are known."""


@dataclass(frozen=True, slots=True)
class McpSettings:
    """The options of `rlmbox mcp`, as they came from the command line.

    Attributes:
        roots: Folders whose files may be opened.
        http: Whether to serve over HTTP rather than standard input and output.
        host: The address to listen on.
        port: The port.
        token: What clients have to send; None for none.
        origins: Web pages that may connect.
        model: The root model; None for the baseline that only quotes.
        sub_model: The model of sub-calls.
        base_url: A server that speaks the provider's protocol.
        prices: File of prices.
        cost_limit_usd: US dollars that a call may cost.
        total_cost_limit_usd: US dollars that all calls may cost together.
        max_seconds: Wall time of a question.
        sandbox: The sandbox's name.
        packages: Installed packages that code may import.
        timeout_s: Seconds that code may run where a call names none.
        max_timeout_s: The longest timeout that a call may name.
        memory_mb: MiB that an interpreter may use.
        guard: What a model may see, that of the agent included.
        store: File where runs are recorded.
        record: Whether runs are recorded in a file.
    """

    roots: tuple[Path, ...] = ()
    http: bool = False
    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    origins: tuple[str, ...] = ()
    model: str | None = None
    sub_model: str | None = None
    base_url: str | None = None
    prices: Path | None = None
    cost_limit_usd: str | None = None
    total_cost_limit_usd: str | None = None
    max_seconds: float = 600.0
    sandbox: str = "auto"
    packages: tuple[str, ...] = ()
    timeout_s: float = 30.0
    max_timeout_s: float = 600.0
    memory_mb: float | None = None
    guard: str = "off"
    store: Path | None = None
    record: bool = True

    def opened_store(self) -> Store:
        """Return where runs are recorded: a file, or this process's memory."""
        if not self.record:
            return MemoryStore()
        try:
            return open_store(self.store or default_path()) or MemoryStore()
        except StoreError as error:
            if self.store is not None:
                raise
            _note(f"runs are not recorded: {error}")
            return MemoryStore()


def serve_mcp(settings: McpSettings, *, debug: bool) -> int:
    """Run `rlmbox mcp`; return the exit code."""
    try:
        _serve(settings)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        return report(error, as_json=False, debug=debug)
    return 0


def _serve(settings: McpSettings) -> None:
    try:
        from rlmbox.tool.mcp.operations import Operations
        from rlmbox.tool.mcp.roots import Roots
        from rlmbox.tool.mcp.server import make_server
        from rlmbox.tool.mcp.serving import serve_http, serve_stdio
    except ImportError as error:
        raise ConfigError(
            f"the MCP server needs a package that is not installed ({error.name}): pip install 'rlmbox[mcp]'"
        ) from error
    roots = Roots(settings.roots)
    limits = _limits(settings)
    store = settings.opened_store()
    make_rlm = partial(_rlm, settings, limits.run, store)
    make_sandbox = sandbox_from(settings.sandbox, packages=settings.packages)
    operations = Operations(roots, make_rlm, make_sandbox, store, limits, Guard(cast("Any", settings.guard)))
    if not operations.has_model:
        _note(f"no --model is given: {OFFLINE_MODEL} answers `ask`, and only quotes")
    server = make_server(operations)
    if settings.http:
        serve = partial(
            serve_http,
            server,
            operations,
            host=settings.host,
            port=settings.port,
            token=settings.token,
            origins=settings.origins,
            listening=lambda address: _note(f"listening on {address}"),
        )
        anyio.run(serve)
    else:
        anyio.run(serve_stdio, server, operations)


def _rlm(settings: McpSettings, limits: Limits, store: Store, model: Model | None) -> RLM:
    """Make an RLM; with a root model of its own, the configured one has the sub-calls."""
    named = settings.model or OFFLINE_MODEL
    sub_model = settings.sub_model or (named if model is not None else None)
    return RLM(
        model or named,
        sub_model=sub_model,
        base_url=settings.base_url,
        api_key=key_source(named),
        prices=settings.prices,
        sandbox=settings.sandbox,
        packages=settings.packages,
        limits=limits,
        guard=cast("Any", settings.guard),
        store=store,
    )


def _limits(settings: McpSettings) -> ServerLimits:
    from rlmbox.tool.mcp.operations import ServerLimits

    for name, number in (("--timeout", settings.timeout_s), ("--max-timeout", settings.max_timeout_s)):
        if not 0 < number < float("inf"):
            raise ConfigError(f"{name} must be a number above 0, not {number:g}")
    cell = cell_limits(None, settings.memory_mb)
    per_call, total = _money(settings)
    is_set = settings.cost_limit_usd is not None or settings.total_cost_limit_usd is not None
    return ServerLimits(
        per_call_usd=per_call,
        total_usd=total,
        run=Limits(
            cost_limit_usd=per_call if is_set else DEFAULT_COST_LIMIT_USD, max_seconds=settings.max_seconds, cell=cell
        ),
        cell=tool_limits(memory_bytes=cell.memory_bytes, max_timeout_s=settings.max_timeout_s),
        timeout_s=settings.timeout_s,
        max_timeout_s=settings.max_timeout_s,
    )


def _money(settings: McpSettings) -> tuple[Decimal | None, Decimal | None]:
    """Return what a call and what all calls may cost; None where no limit is set and none can be kept."""
    one, all_calls = settings.cost_limit_usd, settings.total_cost_limit_usd
    per_call = DEFAULT_COST_LIMIT_USD if one is None else dollars(one, "--cost-limit")
    total = max(DEFAULT_TOTAL_USD, per_call) if all_calls is None else dollars(all_calls, "--total-cost-limit")
    if one is None and all_calls is None:
        rlm = _rlm(settings, Limits(), MemoryStore(), None)
        unpriced = [model.name for model in (rlm.model, rlm.sub_model) if model.price is None]
        if unpriced:
            _note(f"the price of {unpriced[0]} is not known, so no cost limit is kept; give it with --prices FILE")
            return None, None
    return min(per_call, total), total


def install_and_print(
    client: str, roots: Sequence[Path], *, path: Path | None, only_print: bool, yes: bool, debug: bool
) -> int:
    """Run `rlmbox mcp install`; return the exit code."""
    try:
        return _install(client, roots, path=path, only_print=only_print, yes=yes)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        return report(error, as_json=False, debug=debug)


def _install(client: str, roots: Sequence[Path], *, path: Path | None, only_print: bool, yes: bool) -> int:
    from rlmbox.tool.mcp.install import client_of, planned, snippet

    found = client_of(client)
    command = [sys.executable, "-m", "rlmbox", "mcp"]
    for root in roots or [Path()]:
        command += ["--root", os.path.abspath(root)]  # noqa: PTH100 - links stay as they are
    if only_print:
        print(snippet(found, command), end="")  # noqa: T201
        return 0
    change = planned(found, command, path)
    if change.is_none:
        print(f"{change.path} has it already")  # noqa: T201
        return 0
    print(printable(change.diff()))  # noqa: T201
    if not yes and not _agreed(change.path):
        print("nothing is written", file=sys.stderr)  # noqa: T201
        return 1
    change.write()
    print(f"{change.path} is written, for {found.title}; start it anew")  # noqa: T201
    return 0


def _agreed(path: Path) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigError(f"{path} would be changed as shown; add --yes to write it")
    return input(f"write {path}? [y/N] ").strip().lower() in ("y", "yes")


def _note(line: str) -> None:
    print(f"note: {printable(line)}", file=sys.stderr, flush=True)  # noqa: T201


__all__ = ["McpSettings", "install_and_print", "serve_mcp"]
