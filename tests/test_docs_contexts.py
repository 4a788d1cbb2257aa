"""The page about contexts is true: its examples run, in a folder with the files that it speaks of."""

import inspect
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from preloaded import python_command
from rlmbox import Context
from rlmbox.context import repl
from rlmbox.context.load import converting, kinds, loaders, remote
from rlmbox.context.rank import ranking
from rlmbox.context.repl import repl_functions
from rlmbox.context.search import hits, search

PAGE = (Path(__file__).parents[1] / "docs" / "contexts.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SAID = (
    "",
    (
        "[{'id': 1, 'day': '2026-02-03'}, {'id': 2, 'day': None}]\n"
        '{"id": 1, "day": "2026-02-03"}\n{"id": 2, "day": null}\n'
    ),
    "('a.txt', 'b/c.txt') b/c.txt\n",
    "('a.txt', 'b/c.md')\n{'hidden': 1, 'ignored': 1, 'binary': 1}\n",
    "('a.txt',)\nleft out: 1 hidden (.gitignore); 1 ignored (a.bak); 2 excluded (b, x.png)\n",
    "Smlouva končí v březnu. cp1250 True\nSmlouva končí v březnu.\n",
    "# Sheet: Sales\nday,sum\n\n",
    "file 13\n",
    (
        "[{'name': 'day', 'type': 'date'}, {'name': 'sum', 'type': 'number'}]\n"
        "{'type': 'object', 'keys': {'user': {'type': 'object', 'keys': {'id': 'number'}}}}\n"
    ),
    "may The penalties for late delivery rose.\n",
)
# The page names a place on the internet, where no test goes: a server on loopback stands in for it.
SERVER = """
import http.server, threading
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<h1>Report</h1><p>ok")
    do_HEAD = do_GET
    log_message = lambda *arguments: None
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
threading.Thread(target=server.serve_forever, daemon=True).start()
ADDRESS = f"http://127.0.0.1:{server.server_port}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    contracts = tmp_path / "contracts"
    (contracts / "b").mkdir(parents=True)
    for name, text in {"a.txt": "A.", "b/c.md": "# C", ".gitignore": "*.bak\n", "a.bak": "old", "x.png": "p"}.items():
        (contracts / name).write_text(text)
    _workbook(tmp_path / "sales.xlsx")
    return tmp_path


def _workbook(path: Path) -> None:
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    package = "http://schemas.openxmlformats.org/package/2006"

    def relation(kind: str, target: str) -> str:
        inner = f'<Relationship Id="r1" Type="{office}/{kind}" Target="{target}"/>'
        return f'<Relationships xmlns="{package}/relationships">{inner}</Relationships>'

    cells = "".join(
        f'<c r="{at}" t="inlineStr"><is><t>{text}</t></is></c>' for at, text in (("A1", "day"), ("B1", "sum"))
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", f'<Types xmlns="{package}/content-types"/>')
        archive.writestr("_rels/.rels", relation("officeDocument", "xl/workbook.xml"))
        archive.writestr("xl/_rels/workbook.xml.rels", relation("worksheet", "worksheets/s1.xml"))
        sheets = '<sheets><sheet name="Sales" sheetId="1" r:id="r1"/></sheets>'
        archive.writestr("xl/workbook.xml", f'<workbook xmlns="{main}" xmlns:r="{office}">{sheets}</workbook>')
        data = f'<sheetData><row r="1">{cells}</row></sheetData>'
        archive.writestr("xl/worksheets/s1.xml", f'<worksheet xmlns="{main}">{data}</worksheet>')


@pytest.mark.parametrize(("example", "said"), list(zip(EXAMPLES, SAID, strict=True)))
def test_every_example_of_the_page_runs_and_says_what_it_should(
    example: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    if "example.org" in example:
        example = SERVER + example.replace('"https://example.org', 'ADDRESS + "')
    done = subprocess.run([*python_command(), "-c", example], capture_output=True, text=True, check=False, cwd=folder)
    assert (done.returncode, done.stdout) == (0, said), done.stderr


def test_every_function_of_ctx_is_on_the_page_and_takes_what_the_page_gives_it() -> None:
    functions = {each.name: each for each in repl_functions(Context.from_text("x")) if each.name.startswith("ctx.")}
    named = re.findall(r"`(ctx\.\w+)\(([^)`]*)\)`", PAGE)
    assert {name for name, _ in named} == set(functions)
    for name, arguments in named:
        parts = [part.strip() for part in arguments.split(",") if part.strip()]
        positional = [part for part in parts if "=" not in part]
        keywords = {part.partition("=")[0]: None for part in parts if "=" in part}
        inspect.signature(functions[name].call).bind(*positional, **keywords)


def test_the_bounds_that_the_page_names_are_the_ones_that_hold() -> None:
    flat = " ".join(PAGE.split())
    assert f"at most {repl.MAX_RESULT_CHARS // 1_000_000} million characters or {repl.MAX_ITEMS:,} items" in flat
    assert f"a list of hits ends at {hits.MAX_MATCHES:,} hits" in flat
    more_s = search.timeout_for(20_000_000) - search.timeout_for(0)
    assert f"a timeout of {search.timeout_for(0):g} s plus a second per 20 MB" in flat
    assert more_s == 1
    assert ranking._KEPT_BYTES == 4_000_000


def test_what_the_page_says_is_converted_is() -> None:
    table = PAGE.partition("## Documents and archives")[2].partition("```python")[0]
    assert set(re.findall(r"`(\.\w+)`", table)) == set(kinds.SUFFIXES)


def test_the_limits_of_converting_that_the_page_names_are_the_ones_that_hold() -> None:
    flat = " ".join(PAGE.split())
    assert f"with {converting.TIMEOUT_S} s and {converting.MEMORY_BYTES // 1024**3} GiB of memory" in flat
    assert f"all documents of a folder have {loaders.CONVERTING_S:g} s" in flat
    unpacked = converting.MAX_UNPACKED_BYTES // 1024**3
    assert f"more than {converting._MAX_PACKING} times their size, or to more than {unpacked} GiB" in flat
    assert f"at most {remote._MAX_PACKING} times their size" in flat


def test_the_keys_that_the_page_names_are_those_of_the_results(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Größe für Bäcker und Käse\n".encode("cp1252"))
    (tmp_path / "x.png").touch()
    table = PAGE.partition("`ctx.metadata()` is a dictionary")[2].partition("A hit of")[0]
    named = set(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line)))
    shown = {**Context.from_path(tmp_path).metadata(), **Context.of([1]).metadata()}
    assert named - {"estimated"} == set(shown)
    hit, passage = Context.of("some words").find("words")[0], Context.of("some words").rank("words")[0]
    sentence = " ".join(PAGE.partition("A hit of")[2].partition("Letters with")[0].split())
    assert {*hit, *passage} <= set(re.findall(r"`(\w+)`", sentence))


@pytest.mark.parametrize(
    ("row", "text", "name"),
    [
        ("CSV, TSV", "Title\n\na,b,b\n1,2,3\n4,5\n", "a.csv"),
        ("JSON |", '{"a": [1]} {"b": 2}', "a.json"),
        ("JSON Lines", '{"a": 1}\n{"a"\n', "a.jsonl"),
        ("XML", "<a><b c='1'/></a>", "a.xml"),
        ("Markdown", "# A\n\n## B\n", "a.md"),
        ("logs", "2026-02-01 10:00:00 ERROR id=1\n" * 3, "a.log"),
        ("source code", "class A:\n    pass\n", "a.py"),
    ],
)
def test_the_keys_of_a_structure_are_on_the_page(row: str, text: str, name: str) -> None:
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| {row}"))
    schema = Context.from_text(text, name=name).get_schema()
    missing = set(schema) - {"kind", "lines"} - set(re.findall(r"`(\w+)`", line))
    assert {key for key in missing if not key.startswith("more_") and key not in ("note", "sampled_lines")} == set()


def test_the_schemes_that_the_page_names_are_known() -> None:
    assert set(re.findall(r"`(\w+)://`", PAGE)) <= remote.SCHEMES
