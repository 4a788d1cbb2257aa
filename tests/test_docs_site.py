"""The site's recipes can be copied and run: each block runs, in order, and prints what the page shows.

A local server that speaks the providers' protocols answers in a paid model's place, with the replies below.
"""

import importlib.util
import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from preloaded import python_command, rlmbox_command
from rlmbox import errors
from rlmbox.testing import ProviderServer

DOCS = Path(__file__).parents[1] / "docs"
_SPEC = importlib.util.spec_from_file_location("rlmbox_site", DOCS / "site.py")
assert _SPEC is not None
assert _SPEC.loader is not None
SITE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(SITE)
CODE = "```repl\n{}\n```"

REPLIES: dict[str, dict[str, list[str]]] = {
    "start": {"In Python": [CODE.format("hit = ctx.search('penalty')[0]\nFINAL(context[hit['start'] - 14:][:10])")]},
    "tutorial": {
        "4. Ask a model, within a limit": [
            CODE.format("print(ctx.search('class MIMEImage'))"),
            "FINAL(mime/image.py defines it; its base is MIMENonMultipart)",
        ],
        "5. See how it got there": [
            CODE.format("print(ctx.num_documents() > 10)"),
            CODE.format("FINAL(ctx.num_documents() > 10)"),
        ],
        "6. Have passages read by a cheaper model": [
            CODE.format("at = context.find('class MIMEImage')\nFINAL(llm_query('What is it?', context[at:at + 400]))"),
            "It makes image/* type MIME documents.",
        ],
        "7. Check the sources": [
            CODE.format("hit = ctx.find('class MIMEImage')[0]\nFINAL('mime/image.py', sources=[hit])"),
        ],
        "8. Ask for a type, and keep the record": [
            CODE.format("FINAL({'name': 'MIMEImage', 'file': ctx.find('class MIMEImage')[0]['document']})"),
        ],
    },
    "cookbook": {
        "Search, then read: a contract": [
            CODE.format("hits = ctx.search('penalty|fine|late delivery')\nprint(hits)"),
            CODE.format("FINAL('5 % of the price for each week', sources=ctx.find('a penalty of 5 %'))"),
        ],
        "Walk a repository": [
            CODE.format("FINAL(sorted({h['document'] for h in ctx.find('charge(order)')}))"),
        ],
        "Cheap sub-models under a strong root model": [
            CODE.format("print(llm_query_batched(ctx.chunk(10_000)))\nFINAL('That it is slow.')"),
            "slow",
            "slow",
            "slow",
        ],
        "A log of gigabytes": [CODE.format("FINAL({'ERROR timeout': ctx.count('ERROR timeout')})")],
        "Tables": [
            CODE.format("print(ctx.get_schema(), targets)"),
            CODE.format(
                "import csv\nfrom collections import Counter\nsold = Counter()\n"
                "for row in csv.DictReader(context.splitlines()):\n    sold[row['city']] += int(row['sales'])\n"
                "FINAL(max(sold, key=sold.get))"
            ),
        ],
        "Typed values from a thousand documents": [
            CODE.format(
                "found = re.findall(r'no\\. (\\d+)\\nTotal due: ([0-9.]+)', context)\n"
                "FINAL([{'number': int(n), 'total': float(t)} for n, t in found if float(t) > 1497])"
            ),
        ],
        "A tool of yours": [
            CODE.format(
                "number = re.search(r'Order 7 by customer (\\d+)', context)[1]\n"
                "FINAL(lookup_customer(int(number))['town'])"
            ),
        ],
        "Approve code before it runs": [CODE.format("print(context)"), CODE.format("FINAL(context[15:24])")],
        "Continue after a crash, or from an earlier turn": [CODE.format("FINAL(context.count('fact') + 1)")],
        "In a notebook": [CODE.format("FINAL('red')"), CODE.format("FINAL(context.count('red'))")],
        "In CI": ["FINAL(No test failed.)"],
    },
}

REPLIES["before-and-after"] = {
    "An endless loop": [CODE.format("size = len(context)\nwhile True: pass"), CODE.format("FINAL(size)")]
}
REPLIES["production"] = {}
REPLIES["sandboxes"] = {"From Python": [CODE.format("x = 1")] * 3}

PRICED = (
    "openai:gpt-5",
    "openai:gpt-5-mini",
    "anthropic:claude-sonnet-4-5",
    "anthropic:claude-haiku-4-5",
)
PRICE = 'input_usd_per_mtok = "0.10"\noutput_usd_per_mtok = "0.10"\n'


@dataclass(frozen=True)
class Block:
    """A block of a page, the heading above it, and what the page shows that it prints."""

    heading: str
    language: str
    code: str
    shown: str | None


def blocks(page: str) -> list[Block]:
    found, heading = list[Block](), ""
    for match in re.finditer(
        r"^## (?P<heading>[^\n]*)$|^```(?P<language>python|sh)\n(?P<code>.*?)^```$(?:\n+```text\n(?P<shown>.*?)^```$)?",
        (DOCS / f"{page}.md").read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    ):
        if match["heading"] is not None:
            heading = match["heading"]
        else:
            found.append(Block(heading, match["language"], match["code"], match["shown"]))
    return found


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    """Make an environment in which `rlmbox` and `python3` are the ones under test, and no setting is anybody's."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name, command in {"rlmbox": shlex.join(rlmbox_command()), "python3": shlex.join(python_command())}.items():
        script = bin_folder / name
        script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        script.chmod(0o755)
    kept = {name: os.environ[name] for name in ("PYTHONPATH", "HOME", "XDG_CACHE_HOME") if name in os.environ}
    own = {"XDG_CONFIG_HOME": str(tmp_path), "RLM_STORE": str(tmp_path / "own.db"), "NO_COLOR": "1", "COLUMNS": "200"}
    return {**kept, **own, "PATH": f"{bin_folder}:{os.environ['PATH']}"}


@pytest.mark.parametrize("page", REPLIES)
def test_every_block_of_the_page_runs_and_prints_what_is_shown(
    page: str, tmp_path: Path, place: dict[str, str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "prices.toml").write_text("".join(f'["{name}"]\n{PRICE}' for name in PRICED))
    for block in blocks(page):
        if page == "sandboxes" and block.language == "sh":
            continue  # test_readme.py runs its commands, in a folder that has their files
        with ProviderServer(list(REPLIES[page].get(block.heading, []))) as server:
            keys = {"OPENAI_BASE_URL": server.openai_url, "OPENAI_API_KEY": "sk-x"}
            keys |= {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "sk-y"}
            command = [*python_command(), "-c"] if block.language == "python" else ["bash", "-euc"]
            # A server of one's own has no known price, which a limit of money needs.
            code = block.code.replace("limits=", "prices='../prices.toml', limits=")
            code = code.replace("--cost-limit", "--prices ../prices.toml --cost-limit")
            done = subprocess.run(
                [*command, code],
                capture_output=True,
                text=True,
                check=False,
                cwd=folder,
                env={**place, **keys},
                stdin=subprocess.DEVNULL,
                timeout=120,
            )
        assert done.returncode == 0, f"{block.heading}: {done.stderr}"
        if block.shown is not None:
            assert done.stdout == block.shown, block.heading


@pytest.mark.parametrize("page", REPLIES)
def test_there_is_a_script_for_every_heading_that_asks_a_model(page: str) -> None:
    asking = {block.heading for block in blocks(page) if ".ask(" in block.code or "--model" in block.code}
    assert asking == REPLIES[page].keys()


def test_a_page_shows_the_figures_that_were_measured() -> None:
    asked = re.compile(r"^<!-- figures: .+ -->$", re.MULTILINE)
    pages = [path.read_text("utf-8") for path in DOCS.glob("*.md") if asked.search(path.read_text("utf-8"))]
    results = (DOCS.parent / "bench" / "RESULTS.md").read_text("utf-8")
    assert len(pages) >= 5
    for page in pages:
        shown = SITE.on_page_markdown(page)
        tables = [line for line in shown.splitlines() if line.startswith("| ") and line not in page.splitlines()]
        assert not asked.search(shown)
        assert tables
        assert all(line in results for line in tables)


def test_a_page_cannot_ask_for_figures_that_were_not_measured() -> None:
    with pytest.raises(ValueError, match="no section 'How fast'"):
        SITE.on_page_markdown("<!-- figures: How fast -->")


def test_a_plot_shows_each_figure_that_something_was_asked_for() -> None:
    results = (DOCS.parent / "bench" / "RESULTS.md").read_text("utf-8")
    bounded = re.findall(
        r"^\| (?:[^|]|\\\|)+ \| (?!0 )[0-9][^|]* \| ([^|]+) \| (yes|\*\*no\*\*) \|$", results, re.MULTILINE
    )
    drawn = "".join(SITE.plots().values())
    assert drawn.count("<rect") == len(bounded) > 50
    assert drawn.count('class="missed"') == sum(met != "yes" for _, met in bounded)
    for text in SITE.plots().values():
        assert ET.fromstring(text).tag.endswith("svg")


def test_every_error_stands_in_the_tree_of_errors() -> None:
    drawn = re.findall(r"── (\w+)", errors.__doc__ or "")
    there = [name for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, Exception)]
    assert sorted(drawn) == sorted(set(there) - {"RLMError"})
