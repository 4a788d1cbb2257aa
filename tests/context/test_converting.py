"""Documents that are not text: what is made of them, and what is said of those that cannot be read."""

import io
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rlmbox.context import Context
from rlmbox.context.load import converting
from rlmbox.context.load.converting import Converted, convert, convertible
from rlmbox.errors import ContextError
from rlmbox.sandboxes.kernel._landlock import landlock_abi

WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
TYPES = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'


def pdf(pages: list[str]) -> bytes:
    """A PDF with a line of text on each page; a page without text for an empty line."""
    objects = ["<</Type/Catalog/Pages 2 0 R>>", "", "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    kids = []
    for text in pages:
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET" if text else ""
        kids.append(f"{len(objects) + 1} 0 R")
        resources = f"<</Font<</F1 3 0 R>>>>/MediaBox[0 0 612 792]/Contents {len(objects) + 2} 0 R"
        objects.append(f"<</Type/Page/Parent 2 0 R/Resources{resources}>>")
        objects.append(f"<</Length {len(stream)}>>stream\n{stream}\nendstream")
    objects[1] = f"<</Type/Pages/Count {len(pages)}/Kids[{' '.join(kids)}]>>"
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    tail = f"trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{len(out)}\n%%EOF"
    return out + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{tail}".encode()


def zipped(files: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def relations(targets: dict[str, str]) -> str:
    listed = "".join(
        f'<Relationship Id="r{number}" Type="{RELATIONS}/{kind}" Target="{target}"/>'
        for number, (target, kind) in enumerate(targets.items(), 1)
    )
    return (
        f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{listed}</Relationships>'
    )


def word(body: str) -> bytes:
    return zipped(
        {
            "[Content_Types].xml": TYPES,
            "_rels/.rels": relations({"word/document.xml": "officeDocument"}),
            "word/document.xml": f"<w:document {WORD}><w:body>{body}</w:body></w:document>",
        }
    )


def paragraph(text: str, style: str = "") -> str:
    look = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{look}<w:r><w:t>{text}</w:t></w:r></w:p>"


def workbook(sheets: dict[str, list[str]]) -> bytes:
    listed = "".join(f'<sheet name="{name}" sheetId="{i}" r:id="r{i}"/>' for i, name in enumerate(sheets, 1))
    files: dict[str, str | bytes] = {
        "[Content_Types].xml": TYPES,
        "_rels/.rels": relations({"xl/workbook.xml": "officeDocument"}),
        "xl/_rels/workbook.xml.rels": relations({f"worksheets/s{i + 1}.xml": "worksheet" for i in range(len(sheets))}),
        "xl/workbook.xml": f'<workbook xmlns="{SHEET}" xmlns:r="{RELATIONS}"><sheets>{listed}</sheets></workbook>',
    }
    for i, rows in enumerate(sheets.values(), 1):
        data = "".join(f'<row r="{n}">{cells}</row>' for n, cells in enumerate(rows, 1))
        files[f"xl/worksheets/s{i}.xml"] = f'<worksheet xmlns="{SHEET}"><sheetData>{data}</sheetData></worksheet>'
    return zipped(files)


def cell(place: str, value: object) -> str:
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, str):
        return f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>'
    return f'<c r="{place}"><v>{value}</v></c>'


def converted(tmp_path: Path, name: str, data: bytes | str) -> Converted:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return convert(path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, True) for name in ("a.pdf", "A.PDF", "a.docx", "a.xlsx", "a.ods", "a.html", "a.pdf.gz", "a.zip")),
        *((name, False) for name in ("a.txt", "a", ".pdf", "a.doc", "a.csv")),
    ],
)
def test_a_document_is_known_by_its_ending(name: str, expected: bool):
    assert convertible(Path(name)) is expected


def test_html_is_read_as_it_is_where_the_packages_are_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(converting, "find_spec", lambda name: None)
    assert not convertible(Path("a.html"))
    assert convertible(Path("a.pdf"))


def test_html_of_a_folder_is_read_as_it_is():
    assert not convertible(Path("templates/a.html"), named=False)
    assert convertible(Path("papers/a.pdf"), named=False)


def test_a_context_of_documents_has_their_text_and_pages(tmp_path: Path):
    (tmp_path / "a.pdf").write_bytes(pdf(["First page", "Second page"]))
    (tmp_path / "b.html").write_text("<p>source</p>")
    (tmp_path / "c.pdf").write_bytes(b"broken")
    single = Context.from_path(tmp_path / "a.pdf")
    assert (single.num_pages, single.page(1)) == (2, "Second page\n\n")
    folder = Context.from_path(tmp_path)
    assert folder.document_names == ("a.pdf", "b.html")
    assert folder.get_document("a.pdf") == "First page\n\nSecond page\n\n"
    assert folder.get_document("b.html") == "<p>source</p>"
    assert folder.skipped == {"not converted": 1}
    assert Context.from_path(tmp_path / "b.html").text() == "source\n"
    with pytest.raises(ContextError, match=r"c\.pdf: cannot be converted"):
        Context.from_path(tmp_path / "c.pdf")


def test_a_pdf_has_its_pages(tmp_path: Path):
    found = converted(tmp_path, "a.pdf", pdf(["First page", "", "Third: page"]))
    assert found.text == "First page\n\n\n\nThird: page\n\n"
    assert found.page_starts == (0, 12, 14)


def test_word_becomes_markdown(tmp_path: Path):
    cells = "".join(f"<w:tc>{paragraph(text)}</w:tc>" for text in ("x", "1"))
    body = paragraph("Título", "Heading1") + paragraph("a_b * c &amp; d") + f"<w:tbl><w:tr>{cells}</w:tr></w:tbl>"
    found = converted(tmp_path, "a.docx", word(body))
    assert found.text.startswith("# Título\n\na_b * c & d\n\n|")
    assert "| x | 1 |" in found.text
    assert found.page_starts == ()


def test_html_becomes_markdown_without_scripts_styles_and_pictures(tmp_path: Path):
    page = (
        "<html><head><style>p{}</style></head><body><h2>Résumé</h2><script>bad()</script>"
        "<p>one <b>two</b></p><img alt='a chart' src='data:image/png;base64,AAAA'>"
        "<ul><li>x<li>y</ul></body></html>"
    )
    found = converted(tmp_path, "a.html", page)
    assert found.text.startswith("## Résumé\n\none **two**\n\na chart")
    assert "x" in found.text
    assert not any(word in found.text for word in ("bad", "p{}", "AAAA"))


def test_html_says_its_encoding_itself(tmp_path: Path):
    page = "<html><head><meta charset='iso-8859-1'></head><body>caf\u00e9</body></html>".encode("latin-1")
    assert converted(tmp_path, "a.htm", page).text == "café\n"


def test_a_workbook_is_a_table_for_each_sheet(tmp_path: Path):
    sheets = {
        "Sales &amp; more": [cell("A1", "day") + cell("B1", "sum"), cell("A2", "a, b") + cell("B2", 3.0)],
        "Second": [cell("A1", True) + cell("C1", 1.5)],
    }
    found = converted(tmp_path, "a.xlsx", workbook(sheets))
    assert found.text == '# Sheet: Sales & more\nday,sum\n"a, b",3\n\n# Sheet: Second\nTRUE,,1.5\n'
    assert [found.text[start:][:14].strip() for start in found.page_starts] == ["# Sheet: Sales", "# Sheet: Seco"]


def _locked_pdf(password: str, algorithm: str) -> bytes:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(PdfReader(io.BytesIO(pdf(["secret"]))))
    writer.encrypt(password, "owner", algorithm=algorithm)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Keeps whatever is converted, and tells what was converted."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(converting, "KEPT_S", 0)
    run: list[str] = []
    real = converting._run

    def counting(path: Path, *rest: object) -> int:
        run.append(path.name)
        return real(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(converting, "_run", counting)
    return run


def _old(path: Path, text: str, time_s: int = 1_000_000_000) -> Path:
    path.write_text(text)
    os.utime(path, (time_s, time_s))
    return path


def test_what_took_long_to_convert_is_kept_until_the_file_changes(tmp_path: Path, counted: list[str]):
    path = _old(tmp_path / "a.html", "<h1>One</h1>")
    assert [convert(path), convert(path)] == [Converted("# One\n")] * 2
    assert counted == ["a.html"]
    _old(path, "<h1>Two</h1>", 1_000_000_001)
    assert convert(path).text == "# Two\n"
    assert counted == ["a.html", "a.html"]


def test_pages_are_kept_with_their_text(tmp_path: Path, counted: list[str]):
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf(["First", "Second"]))
    os.utime(path, (1, 1))
    assert convert(path) == convert(path) == Converted("First\n\nSecond\n\n", (0, 7))
    assert len(counted) == 1


def test_a_file_that_has_just_changed_and_one_that_was_quick_are_not_kept(
    tmp_path: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "new.html").write_text("x")
    for _ in range(2):
        convert(tmp_path / "new.html")
    monkeypatch.setattr(converting, "KEPT_S", 1_000)
    path = _old(tmp_path / "quick.html", "x")
    for _ in range(2):
        convert(path)
    assert counted == ["new.html"] * 2 + ["quick.html"] * 2


@pytest.mark.parametrize("harm", [b"", b"no json", b'{"sha256": "x"}\n# One\n', b"[]\n"])
def test_a_kept_text_that_is_not_whole_is_converted_again(tmp_path: Path, counted: list[str], harm: bytes):
    path = _old(tmp_path / "a.html", "<h1>One</h1>")
    convert(path)
    next((tmp_path / "cache" / "rlmbox" / "converted").iterdir()).write_bytes(harm)
    assert convert(path).text == "# One\n"
    assert len(counted) == 2


def test_without_a_place_for_a_cache_documents_are_converted_each_time(
    tmp_path: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "cache" / "rlmbox").mkdir(parents=True)
    (tmp_path / "cache" / "rlmbox").chmod(0o777)
    path = _old(tmp_path / "a.html", "<h1>One</h1>")
    assert convert(path) == convert(path)
    assert len(counted) == 2


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.pdf", b"no pdf at all", "cannot be converted: it is damaged, or not what its name says"),
        ("a.pdf", b"", "cannot be converted: it is damaged, or not what its name says"),
        ("a.pdf", pdf(["text"])[:200], "cannot be converted: it is damaged, or not what its name says"),
        ("a.pdf", pdf(["", ""]), "it has no text, only pictures of it; recognise it first"),
        ("a.docx", b"PK\3\4 broken", "it is damaged, or not what its name says"),
        ("a.docx", zipped({"x": "y"}), "it is damaged, or not what its name says"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is locked by a password; save it without one"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old Word document; save it as .docx"),
        ("a.xlsx", b"\0" * 5_000, "it is damaged, or not what its name says"),
        ("a.txt", b"text", "does not have the extension of a document that can be converted; convert it"),
    ],
)
def test_a_document_that_cannot_be_read_is_one_line_that_names_it(tmp_path: Path, name: str, data: bytes, message: str):
    with pytest.raises(ContextError) as caught:
        converted(tmp_path, name, data)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500 + len(str(tmp_path))


def test_a_document_under_a_password_says_so(tmp_path: Path):
    with pytest.raises(ContextError, match="it is locked by a password; save it without one"):
        converted(tmp_path, "a.pdf", _locked_pdf("password", "AES-256"))


def test_a_document_that_is_only_protected_from_changes_is_read(tmp_path: Path):
    assert converted(tmp_path, "a.pdf", _locked_pdf("", "AES-256")).text == "secret\n\n"


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path):
    os.mkfifo(tmp_path / "a.pdf")
    (tmp_path / "b.pdf").mkdir()
    for name, message in [("a.pdf", "not a regular"), ("b.pdf", "not a regular"), ("c.pdf", "No such file")]:
        with pytest.raises(ContextError, match=message):
            convert(tmp_path / name)
    with pytest.raises(ContextError, match="cannot be read"):
        convert(Path("a\0.pdf"))


def test_a_page_nested_deeper_than_can_be_followed_is_its_bare_text(tmp_path: Path):
    assert converted(tmp_path, "a.html", "<div>" * 20_000 + "deep &amp; down").text == "deep & down\n"


def test_entities_that_swell_are_not_followed(tmp_path: Path):
    bomb = '<!DOCTYPE x [<!ENTITY a0 "' + "a" * 1_000 + '">'
    bomb += "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 9))
    body = f"<w:document {WORD}><w:body>{paragraph('&a8;')}</w:body></w:document>"
    files = {"_rels/.rels": relations({"word/document.xml": "officeDocument"}), "word/document.xml": f"{bomb}]>{body}"}
    data = zipped({"[Content_Types].xml": TYPES, **files})
    with pytest.raises(ContextError, match="cannot be converted"):
        converted(tmp_path, "a.docx", data)


def test_a_document_larger_than_its_memory_says_so(tmp_path: Path):
    path = tmp_path / "a.html"
    path.write_text("<p>a" * 10_000)
    os.truncate(path, 10**12)  # nothing on the disk
    with pytest.raises(ContextError, match="it needs too much memory"):
        convert(path, memory_bytes=150_000_000)


def test_a_workbook_with_a_cell_at_its_far_end_is_ended_by_its_limit_of_memory(tmp_path: Path):
    path = tmp_path / "a.xlsx"
    path.write_bytes(workbook({"S": [cell("A1", 1), cell("XFD1048576", 1)]}))
    with pytest.raises(ContextError, match="memory"):
        convert(path, memory_bytes=300_000_000)


def test_a_document_that_takes_too_long_is_given_up(tmp_path: Path):
    path = tmp_path / "a.html"
    path.write_text("<p>a<b>b</b>" * 400_000)
    with pytest.raises(ContextError, match="took longer than 1 s; give a part of it"):
        convert(path, timeout_s=1)


def test_the_child_is_gone_when_it_was_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def start(*args: object, **kwargs: object) -> subprocess.Popen[bytes]:
        started.append(real(*args, **kwargs))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    path = tmp_path / "a.html"
    path.write_text("<p>a<b>b</b>" * 400_000)
    with pytest.raises(ContextError):
        convert(path, timeout_s=1)
    assert started[0].returncode is not None


def test_the_packages_that_are_missing_are_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # A folder with rlmbox and nothing else, because where it is installed its dependencies lie beside it.
    (tmp_path / "rlmbox").symlink_to(Path(converting.__file__).parents[2])
    bare = [place for place in sys.path if "-packages" not in place]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *bare])
    with pytest.raises(ContextError, match=r"reading \.pdf needs other packages: pip install 'rlmbox\[documents\]'"):
        converted(tmp_path, "a.pdf", pdf(["x"]))


def test_the_child_sees_no_secret_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[dict[str, str]] = []
    real = subprocess.Popen

    def start(*args: object, **kwargs: object) -> subprocess.Popen[bytes]:
        seen.append(dict(kwargs["env"]))  # type: ignore[call-overload]
        return real(*args, **kwargs)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setenv("TOKEN", "secret")
    monkeypatch.setattr(subprocess, "Popen", start)
    assert converted(tmp_path, "a.htm", "<p>x").text == "x\n"
    assert "TOKEN" not in seen[0]


def test_a_module_in_the_current_folder_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "markdownify.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", ".", *sys.path])
    assert converted(tmp_path, "a.htm", "<p>x").text == "x\n"


def test_the_hosts_own_limits_stay_as_they_are(tmp_path: Path):
    before = resource.getrlimit(resource.RLIMIT_AS)
    converted(tmp_path, "a.htm", "<p>x")
    assert resource.getrlimit(resource.RLIMIT_AS) == before


ENVIRONMENT = {"PYTHONPATH": str(Path(converting.__file__).parents[3])}
LIMITED = """
import ctypes, resource
from rlmbox.context.load import converters
converters._limit(5, 10**9, 10**6)
names = ["NOFILE", "MEMLOCK", "CORE", "CPU", "AS", "FSIZE"]
print(ctypes.CDLL(None).prctl(3), *(resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1] for name in names))
"""


WALLED = """
import os, resource, socket, sys
from rlmbox.context.load import converters
converters._wall_in()
def ends(action, *given):
    try:
        action(*given)
    except OSError as error:
        return type(error).__name__
    return "done"
new = os.path.join(sys.argv[1], "new")
print(*(ends(open, path) for path in (sys.argv[2], "/etc/passwd", os.__file__)), ends(open, new, "w"))
print(ends(socket.socket), ends(os.fork), ends(os.execv, sys.executable, ["python"]), ends(os.kill, os.getppid(), 0))
print(ends(os.chmod, sys.argv[2], 0o777), ends(os.utime, sys.argv[2], (1, 1)), ends(os.truncate, sys.argv[2], 0))
print(ends(resource.prlimit, os.getppid(), resource.RLIMIT_CPU), ends(os.setpriority, os.PRIO_USER, 0, 19))
"""


@pytest.mark.skipif(not landlock_abi(), reason="Landlock is what keeps files from it")
def test_a_converter_reaches_no_file_no_network_and_no_other_process(tmp_path: Path):
    (tmp_path / "secret.txt").write_text("a secret")
    command = [sys.executable, "-c", WALLED, str(tmp_path), str(tmp_path / "secret.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert done.stdout.split() == [*["PermissionError"] * 2, "done", *["PermissionError"] * 10]
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux keeps processes from being read")
def test_a_converter_is_closed_to_others_and_limited():
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert done.stdout.split() == ["0", "64", "0", "0", "5", str(10**9), str(10**6)]
