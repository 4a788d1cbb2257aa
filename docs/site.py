"""Pages of the site that are made from the code when it is built: the command, settings, events, errors, decisions.

Nothing here is a second source: what a page says is read from where the product reads it.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[1]

# Such a line in a page stands for that section of bench/RESULTS.md.
_ASKED = re.compile(r"^<!-- figures: (?P<section>.+) -->$", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Lists the decisions in the navigation, so that a new one need not be entered."""
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    for part in config.nav or []:
        for pages in part.values() if isinstance(part, dict) else ():
            for page in pages:
                if isinstance(page, dict) and page.get("Decisions") == []:
                    page["Decisions"] = [f"decisions/{name}" for name in names]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made."""
    from mkdocs.structure.files import File

    for path, text in {**pages(), **plots()}.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Puts a section of the figures where a page asks for it."""
    return _ASKED.sub(lambda found: _section(found["section"]), markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """Writes the page for models: every page of the site as text, in one file."""
    folder = ROOT / "docs"
    parts = [(folder / "index.md").read_text("utf-8")]
    parts += [path.read_text("utf-8") for path in sorted(folder.glob("*.md")) if path.name != "index.md"]
    parts += [text for path, text in pages().items() if path.endswith(".md") and "mkdocstrings" not in text]
    Path(config.site_dir, "llms.txt").write_text("\n\n".join(parts), "utf-8")


def pages() -> dict[str, str]:
    """Return the pages by their path in the site."""
    return {
        "reference/cli.md": "\n".join(_command()),
        "reference/settings.md": "\n".join(_settings()),
        "reference/events.md": "\n".join(_events()),
        "reference/errors.md": "\n".join(_errors()),
        "reference/figures.md": "\n".join(_figures()),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text("utf-8"),
    }


def plots() -> dict[str, str]:
    """Return the plots of what was measured, by their path in the site."""
    drawn = {_plot_of(heading): _plots().plot(body) for heading, body in _sections().items()}
    return {path: text for path, text in drawn.items() if text}


@functools.cache
def _plots() -> Any:
    """Return the module beside this one, which mkdocs loads as a file and not from a package."""
    spec = importlib.util.spec_from_file_location("rlmbox_site_plots", ROOT / "docs" / "plots.py")
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    sys.modules[module.__name__] = module  # which a dataclass looks itself up in
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def _plot_of(heading: str) -> str:
    return f"pictures/figures/{re.sub(r'[^a-z]+', '-', heading.lower()).strip('-')}.svg"


def _results() -> list[str]:
    """Return what was measured: what stands above the first heading, then each section with its heading."""
    return (ROOT / "bench" / "RESULTS.md").read_text("utf-8").split("\n## ")


def _sections() -> dict[str, str]:
    found = (part.partition("\n") for part in _results()[1:])
    return {heading: body.strip() for heading, _, body in found}


def _figures() -> Iterator[str]:
    drawn = plots()
    yield _results()[0]
    for heading, body in _sections().items():
        path = _plot_of(heading)
        picture = f"![{heading}: measured beside asked for](../{path})\n\n" if path in drawn else ""
        yield f"\n## {heading}\n\n{picture}{body}"


def _section(heading: str) -> str:
    found = _sections()
    if heading not in found:
        raise ValueError(f"bench/RESULTS.md has no section {heading!r}, which a page asks for")
    return found[heading]


def _command() -> Iterator[str]:
    from typer.main import get_command

    from rlmbox.cli.app import app

    yield "# The command\n"
    for name, command in _commands(get_command(app), "rlmbox"):
        yield f"## {name}\n"
        yield inspect.cleandoc(command.help or "") + "\n"
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option" and not getattr(p, "hidden", False)]
        if arguments:
            yield "| argument | |\n| --- | --- |"
            for each in arguments:
                yield f"| `{each.name.upper()}` | {_cell(getattr(each, 'help', '') or '')} |"
            yield ""
        if options:
            yield "| option | | environment |\n| --- | --- | --- |"
            for each in options:
                names = ", ".join(f"`{o}`" for o in [*each.opts, *each.secondary_opts])
                variable = f"`{each.envvar}`" if each.envvar else ""
                yield f"| {names} | {_cell(getattr(each, 'help', '') or '')} | {variable} |"
            yield ""


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    for part, each in sorted(getattr(command, "commands", {}).items()):
        if getattr(each, "commands", None):
            yield from _commands(each, f"{name} {part}")
        elif not each.hidden:
            yield f"{name} {part}", each


def _settings() -> Iterator[str]:
    from rlmbox.cli.configuration import Configuration, variables

    yield "# Settings\n\nKeys of `rlmbox.toml`; [how they are read](../settings.md).\n"
    yield "| key | | default | environment |\n| --- | --- | --- | --- |"
    for key, info in Configuration.model_fields.items():
        names = ", ".join(f"`{name}`" for name in variables(key))
        default = "" if info.default in (None, ()) else f"`{info.default}`"
        yield f"| `{key}` | {_cell(info.description or '')} | {default} | {names} |"


def _events() -> Iterator[str]:
    from rlmbox import events

    yield "# Events\n\n" + inspect.getdoc(events)  # type: ignore[operator]
    yield "\nEvery event has the fields of `Event`.\n"
    for name, kind in vars(events).items():
        if inspect.isclass(kind) and issubclass(kind, events.Event) and dataclasses.is_dataclass(kind):
            yield f"## {name}\n\n{_described(kind)}\n"


def _errors() -> Iterator[str]:
    from rlmbox import errors

    tree, _, rest = (inspect.getdoc(errors) or "").partition("Every error")
    first, _, drawn = tree.partition("\n")
    yield f"# Errors\n\n{first}\n\n```text\n{drawn.strip()}\n```\n\nEvery error{rest}\n"
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, errors.RLMError):
            yield f"## {name}\n\n{_described(kind)}\n"


def _described(kind: type) -> str:
    """Return a docstring, its attributes as a list."""
    text = inspect.cleandoc(kind.__doc__ or "")
    head, _, attributes = text.partition("Attributes:\n")
    lines = re.sub(r"\n\s{8,}", " ", attributes)
    found = re.findall(r"^\s*(\w+): (.*)$", lines, re.MULTILINE)
    return head.strip() + "".join(f"\n- `{name}`: {meaning}" for name, meaning in found).replace("\n- ", "\n\n- ", 1)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
