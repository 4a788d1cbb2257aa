# ruff: noqa: RUF001 - headers are in any language
"""One text that was made of many files has its files again, at their places."""

from pathlib import Path

import pytest

from rlmbox.context import Context
from rlmbox.context.load import dumps, opening

FILES = {"src/app.py": "import os\n\nprint('é')\n", "README.md": "# App\n\nIt prints.\n", "docs/größe.txt": "zwei\n"}


def marked(opening: str, closing: str = "", preface: str = "") -> str:
    parts = (opening.format(name) + "\n" + text + closing for name, text in FILES.items())
    return preface + "\n".join(parts)


BAR = "=" * 48
GITINGEST = marked(f"{BAR}\nFILE: {{}}\n{BAR}", preface="Directory structure:\n└── app/\n    └── src/\n\n")
DUMPS = {
    "rlmbox": Context.from_documents(list(FILES.items())).text(),
    "equals": marked("== FILE: {} =="),
    "German": marked("=== DATEI: {} ==="),
    "French": marked("--- Fichier : {} ---"),
    "Chinese": marked("== 文件：{} =="),
    "Russian": marked("##### Файл: {} #####"),
    "stars": marked("*** {} ***"),
    "head and tail": marked("==> {} <=="),
    "gitingest": GITINGEST,
    "repomix plain": marked("=" * 16 + "\nFile: {}\n" + "=" * 16, preface="This file is a merged representation.\n\n"),
    "repomix XML": marked('<file path="{}">', "</file>\n", "This file is merged.\n\n<files>\n") + "</files>\n",
    "repomix Markdown": marked("## File: {}\n````text".replace("````", "```"), "```\n", "# Files\n\n"),
    "code2prompt": marked("`{}`:\n\n```py", "```\n", "Project Path: app\n\n"),
    "documents": marked(
        '<document index="1">\n<source>{}</source>\n<document_content>', "</document_content>\n</document>\n"
    ),
    "comments": marked("# File: {}"),
    "slashes": marked("// FILE: {}"),
    "files-to-prompt": marked("{}\n---", "\n---\n"),
    "crlf": marked("== FILE: {} ==").replace("\n", "\r\n"),
}


@pytest.mark.parametrize("kind", DUMPS)
@pytest.mark.parametrize("form", ["text", "file", "in place"])
def test_the_files_are_documents_with_their_names_and_positions(
    tmp_path: Path, kind: str, form: str, monkeypatch: pytest.MonkeyPatch, cache_home: Path
):
    text = DUMPS[kind]
    if form == "text":
        context = Context.from_text(text)
    else:
        if form == "in place":
            monkeypatch.setattr(opening, "SMALL_BYTES", 0)
        (tmp_path / "dump.txt").write_text(text, newline="")
        context = Context.from_path(tmp_path / "dump.txt")
    assert context.text() == text
    names = [name for name in context.document_names if name not in ("context", "dump.txt")]
    assert names == list(FILES)
    for name, content in FILES.items():
        own = context.get_document(name)
        assert own.replace("\r\n", "\n").strip() == content.strip()
        start, end = context.document_span(name)
        assert text[start:end] == own
    hit = context.find("It prints")[0]
    assert (hit["document"], hit["line"]) == ("README.md", 3)
    assert context.get_schema()["documents"] == context.num_documents
    assert context.metadata()["documents"] == context.num_documents
    assert "".join(context.chunk_documents(1)) == text


def test_a_long_dump_has_all_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dumps, "_HEAD_CHARS", 2_000)
    text = "".join(f"== FILE: src/{number}.py ==\nvalue = {number} # é\n\n" for number in range(3_000))
    (tmp_path / "dump.txt").write_text(text)
    context = Context.from_path(tmp_path / "dump.txt")
    assert context.num_documents == 3_000
    assert context.get_document("src/2999.py") == "value = 2999 # é\n"


def test_a_mailbox_without_its_ending_is_its_mails():
    mail = "From ann@example.org Mon Feb  2 10:00:00 2026\nSubject: one\n\nBody.\n\n"
    context = Context.from_text(mail + mail.replace("ann", "bob"))
    assert context.num_documents == 2
    assert context.get_document(1) == "Subject: one\n\nBody.\n"


def test_the_same_name_twice_gets_a_number():
    context = Context.from_text("== FILE: a.txt ==\n1\n== FILE: b.txt ==\n2\n== FILE: a.txt ==\n3\n")
    assert context.document_names == ("a.txt", "b.txt", "a.txt (2)")


@pytest.mark.parametrize(
    "text",
    [
        "===== test session starts =====\ncollected 3 items\n===== 3 passed in 0.01s =====\n",
        "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n",
        "# Title\n\n## File formats\n\ntext\n\n## File sizes\n",
        "=== Results ===\nfine\n=== Costs ===\nhigh\n",
        "--- 1.2.3 ---\nfixed\n--- 1.2.4 ---\nfixed\n",
        "title: x\n---\nbody\n\nother: y\n---\nbody\n",
        "From the beginning to the end of 2025\nand on.\nFrom now\n",
        "# Note: see a.txt\n# Note: see b.txt\n",
        "== FILE: only.txt ==\none\n",
        "<p>see <file path='x'></p>",
        "a\n=====\nb\n=====\n",
    ],
)
def test_what_only_looks_like_a_dump_is_one_text(text: str):
    assert Context.from_text(text).num_documents == 1
