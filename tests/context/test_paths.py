"""Files and directories: what is read, what is left out, and what each bad path says."""

import os
import socket
import stat
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rlmbox.context import Context
from rlmbox.context.load import converting, loaders, remote
from rlmbox.context.storage.source import InFile
from rlmbox.errors import ContextError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "b" / "c").mkdir(parents=True)
    (root / "b" / "c" / "deep.txt").write_text("deep\n")
    (root / "b" / "two.py").write_text("x = 'ação'\n")
    (root / "a.md").write_text("# A\n")
    (root / "z.txt").write_text("last")
    (root / ".hidden").write_text("h")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("h")
    (root / "__pycache__").mkdir()
    (root / "__pycache__" / "x.txt").write_text("cached")
    (root / "node_modules").mkdir()
    (root / "data.dat").write_bytes(b"ab\0cd")
    (root / "picture.png").write_text("not really, but it is called so")
    return root


def test_a_directory_is_read_in_the_order_of_its_names(tree: Path):
    context = Context.from_path(tree)
    assert context.kind == "directory"
    assert context.document_names == ("a.md", "b/c/deep.txt", "b/two.py", "z.txt")
    assert context.get_document("b/two.py") == "x = 'ação'\n"


def test_what_is_left_out_of_a_directory_is_counted_by_reason(tree: Path):
    context = Context.from_path(tree)
    assert dict(context.skipped) == {"hidden": 2, "cache": 2, "binary": 2}
    assert context.metadata()["skipped"] == {"hidden": 2, "cache": 2, "binary": 2}


def test_special_files_and_loops_are_left_out_without_waiting(tree: Path):
    os.mkfifo(tree / "pipe")
    (tree / "loop").symlink_to(tree)
    (tree / "b" / "up").symlink_to("..")
    (tree / "dangling").symlink_to("nowhere")
    (tree / "self").symlink_to("self")
    context = Context.from_path(tree)
    assert context.num_documents == 4
    assert context.skipped["special"] == 1
    assert context.skipped["symlink"] == 4


def test_a_link_to_a_file_of_the_tree_is_read_and_one_that_leads_out_is_not(tree: Path, tmp_path: Path):
    (tmp_path / "secret.txt").write_text("secret")
    (tree / "out.txt").symlink_to(tmp_path / "secret.txt")
    (tree / "in.txt").symlink_to("z.txt")
    context = Context.from_path(tree)
    assert context.get_document("in.txt") == "last"
    assert "secret" not in context.text()
    assert context.skipped["symlink"] == 1


def test_a_file_that_cannot_be_read_is_left_out(tree: Path, monkeypatch: pytest.MonkeyPatch):
    # Permission bits do not bind root, who often runs this.
    real = os.open

    def refuse(path, flags, *rest):
        if str(path).endswith("two.py"):
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", refuse)
    context = Context.from_path(tree)
    assert "b/two.py" not in context.document_names
    assert context.skipped["unreadable"] == 1


def test_a_folder_that_cannot_be_listed_is_left_out_below_and_an_error_at_the_top(
    tree: Path, monkeypatch: pytest.MonkeyPatch
):
    real = os.scandir

    def refuse(path):
        if Path(path).name == "c":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    context = Context.from_path(tree)
    assert context.skipped["unreadable"] == 1
    with pytest.raises(ContextError, match=r"c: cannot be read \(Permission denied\)"):
        Context.from_path(tree / "b" / "c")


@pytest.mark.skipif(os.geteuid() == 0, reason="permission bits do not bind root")
def test_permission_bits_are_respected(tree: Path):
    (tree / "z.txt").chmod(0)
    assert Context.from_path(tree).skipped["unreadable"] == 1
    with pytest.raises(ContextError, match="cannot be read"):
        Context.from_path(tree / "z.txt")


def test_a_name_that_is_not_utf8_is_shown_with_marks(tree: Path):
    try:
        Path(os.fsdecode(os.fsencode(tree) + b"/bad\xff.txt")).write_text("odd name")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    context = Context.from_path(tree)
    assert context.get_document("bad\ufffd.txt") == "odd name"


def test_a_file_is_one_text_under_its_name(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_bytes("\ufeffolá\r\n".encode())
    context = Context.from_path(str(path))
    assert (context.kind, context.text(), context.document_names) == ("file", "olá\r\n", ("notes.txt",))


def test_several_paths_are_documents_under_their_paths(tree: Path):
    context = Context.from_path([tree / "a.md", str(tree / "b")])
    base = tree.as_posix()
    assert context.document_names == (f"{base}/a.md", f"{base}/b/c/deep.txt", f"{base}/b/two.py")
    assert context.kind == "documents"


def test_an_empty_file_in_a_directory_is_an_empty_document(tree: Path):
    (tree / "b" / "__init__.py").touch()
    assert Context.from_path(tree).get_document("__init__.py") == ""


def test_what_is_left_out_is_named(tree: Path):
    for number in range(6):
        (tree / f"{number}.png").touch()
    context = Context.from_path(tree)
    assert context.metadata()["skipped_names"] == {
        "hidden": [".git", ".hidden"],
        "binary": ["0.png", "1.png", "2.png", "3.png", "4.png"],
        "cache": ["__pycache__", "node_modules"],
    }
    assert context.skipped_summary == (
        "left out: 2 hidden (.git, .hidden); 8 binary (0.png, 1.png, 2.png, 3.png, 4.png, …);"
        " 2 cache (__pycache__, node_modules)"
    )
    assert Context.from_path(tree / "b").skipped_summary == ""


# ---- links --------------------------------------------------------------------------------------------------------


@pytest.fixture
def linked(tree: Path, tmp_path: Path) -> Path:
    """A tree with links to what it leaves out: secrets, ignored files and what is outside."""
    (tmp_path / "passwd").write_text("SECRET outside")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "host.txt").write_text("SECRET outside")
    (tree / ".env").write_text("SECRET env")
    (tree / ".git" / "config").write_text("SECRET git")
    (tree / "build").mkdir()
    (tree / "build" / "made.txt").write_text("SECRET ignored")
    (tree / "node_modules" / "dep.txt").write_text("SECRET dependency")
    (tree / ".gitignore").write_text("build/\n")
    targets = {"pw": "../passwd", "notes": ".env", "cfg": ".git/config", "made": "build/made.txt"}
    targets |= {"dep": "node_modules/dep.txt", "chain": "notes.txt", "picture": "picture.png"}
    for name, target in targets.items():
        (tree / f"{name}.txt").symlink_to(target)
    for name, target in {"etc": "../etc", "up": "..", "here": ".", "inner": "b"}.items():
        (tree / name).symlink_to(target)
    return tree


def text_or_error(given: Path) -> str:
    try:
        return Context.from_path(given).text()
    except ContextError as error:
        return str(error)


@pytest.mark.parametrize("form", ["", "*.txt", "**/*.txt", "*/*.txt", "**", "etc*/*.txt", "{}/**/*"])
def test_a_link_shows_nothing_that_its_target_would_not(linked: Path, form: str):
    given = linked if not form else linked / form.replace("{}", "b")
    assert "SECRET" not in text_or_error(given)


def test_links_are_counted_by_what_they_lead_to(linked: Path):
    context = Context.from_path(linked)
    assert context.document_names == ("a.md", "b/c/deep.txt", "b/two.py", "z.txt")
    facts: Mapping[str, Any] = context.metadata()
    names = facts["skipped_names"]
    assert names["symlink"] == ["etc", "here", "inner", "pw.txt", "up"]
    assert {"notes.txt", "cfg.txt"} < {*names["hidden"]} | {"notes.txt", "cfg.txt"}
    assert context.skipped["hidden"] == 7  # .env .git .gitignore .hidden, and the links cfg, chain, notes
    assert context.skipped["ignored"] == 2
    assert context.skipped["cache"] == 3
    assert context.skipped["binary"] == 3


def test_a_link_that_is_named_is_read(linked: Path):
    assert Context.from_path(linked / "pw.txt").text() == "SECRET outside"
    assert Context.from_path(linked / "etc").text().endswith("SECRET outside\n")
    assert Context.from_path([linked / "notes.txt"]).get_document(0) == "SECRET env"


def test_what_a_pattern_names_with_its_dot_is_read(tree: Path):
    (tree / ".github").mkdir()
    (tree / ".github" / "build.yml").write_text("on: push")
    assert Context.from_path(tree / ".git*" / "*.yml").text().endswith("on: push\n")
    assert Context.from_path(tree / ".github" / "*.yml").num_documents == 1
    with pytest.raises(ContextError, match="no text found"):
        Context.from_path(tree / "*" / "*.yml")


def test_any_depth_over_links_to_itself_ends(tmp_path: Path):
    root = tmp_path / "g"
    root.mkdir()
    (root / "a.conf").write_text("a")
    for name in ("x", "y", "z"):
        (root / name).symlink_to(root)
    assert Context.from_path(root / "**" / "*.conf").document_names == (f"{root}/a.conf",)
    assert Context.from_path(root / "**").num_documents == 1


def _deep(root: Path, levels: int) -> None:
    here = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open("deep.txt", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


@pytest.mark.parametrize("levels", [1_100, 3_000])
def test_a_tree_of_any_depth_is_read_as_far_as_its_paths_go(tmp_path: Path, levels: int):
    (tmp_path / "a.txt").write_text("top")
    (tmp_path / ".gitignore").write_text("*.log\n")
    _deep(tmp_path, levels)
    try:
        for given in (tmp_path, tmp_path / "**"):
            context = Context.from_path(given)
            assert context.num_documents + context.skipped.get("unreadable", 0) == 2
    finally:
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def test_a_folder_with_hostile_rules_is_read(tree: Path):
    (tree / ".gitignore").write_text("".join("?" * 48 + f"{number:02x}\n" for number in range(700)))
    assert Context.from_path(tree).num_documents == 4


@pytest.mark.parametrize(
    ("options", "names", "excluded"),
    [
        ({"exclude": ["*.py", "b/c/"]}, ["a.md", "z.txt"], 2),
        ({"include": ["*.txt"]}, ["b/c/deep.txt", "z.txt"], 4),
        ({"include": ["/b/"]}, ["b/c/deep.txt", "b/two.py"], 4),
        ({"include": ["*.txt", "*.md"], "exclude": "b"}, ["a.md", "z.txt"], 3),
    ],
)
def test_files_are_chosen_by_patterns(tree: Path, options: dict[str, Any], names: list[str], excluded: int):
    context = Context.from_path(tree, **options)
    assert list(context.document_names) == names
    assert context.skipped["excluded"] == excluded
    assert len(Context.from_path(str(tree / "**"), **options).document_names) == len(names)


def test_documents_that_take_too_long_together_are_counted(tree: Path, monkeypatch: pytest.MonkeyPatch):
    for number in range(3):
        (tree / f"{number}.pdf").write_bytes(b"%PDF")
    converter(monkeypatch, "converted", (0,))
    monkeypatch.setattr(loaders, "CONVERTING_S", 0.5)
    assert Context.from_path(tree).skipped["not converted"] == 3


def test_documents_that_fail_take_their_time_from_the_others(tree: Path, monkeypatch: pytest.MonkeyPatch):
    for number in range(3):
        (tree / f"{number}.pdf").write_bytes(b"%PDF")
    given: list[int] = []

    def slow(path: Path, *, timeout_s: int) -> None:
        given.append(timeout_s)
        time.sleep(1.01)
        raise ContextError("too slow")

    monkeypatch.setattr(converting, "convert", slow)
    monkeypatch.setattr(loaders, "CONVERTING_S", 2.0)
    assert Context.from_path(tree).skipped["not converted"] == 3
    assert given == [2]


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def _only_binary(path: Path) -> None:
    path.mkdir()
    (path / "x.bin").write_bytes(b"\0")


def _only_empty(path: Path) -> None:
    path.mkdir()
    (path / "x.txt").touch()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file or directory; check the path"),
        (_fifo, "is a FIFO, not a file; write"),
        (_socket, "is a socket, not a file; write"),
        (Path.touch, "has no text; give"),
        (Path.mkdir, "no text found; give"),
        (_only_binary, r"no text found \(left out: 1 binary \(x\.bin\)\); give"),
        (_only_empty, "no text found; give"),
    ],
)
def test_a_bad_path_is_one_line_that_names_it_and_the_remedy(tmp_path: Path, monkeypatch, make, message: str):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "it"
    make(path)
    with pytest.raises(ContextError, match=message) as caught:
        Context.from_path(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_device_and_a_path_below_a_file_are_errors(tmp_path: Path):
    if stat.S_ISCHR(Path(os.devnull).stat().st_mode):
        with pytest.raises(ContextError, match="is a device"):
            Context.from_path(os.devnull)
    (tmp_path / "f").touch()
    with pytest.raises(ContextError, match="no such file"):
        Context.from_path(tmp_path / "f" / "g")
    with pytest.raises(ContextError, match="NUL"):
        Context.from_path("a\0b")
    with pytest.raises(ContextError, match="cannot be read"):
        Context.from_path("x" * 5_000)


def test_a_file_that_is_too_large_to_be_one_of_several_is_left_out(tree: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loaders, "MAX_DOCUMENT_BYTES", 100)
    (tree / "large.txt").write_bytes(b"x" * 9_000)
    assert Context.from_path(tree).skipped["too large"] == 1
    assert Context.from_path(tree / "large.txt").length == 9_000


def test_a_document_that_is_too_large_to_be_converted_is_left_out_and_an_error_by_its_name(tree: Path):
    with (tree / "it.pdf").open("wb") as file:
        file.truncate(1 << 40)  # of nothing: it takes no room
    assert Context.from_path(tree).skipped["too large"] == 1
    with pytest.raises(ContextError, match=r"it\.pdf: is larger than 4 GiB; give a part of it"):
        Context.from_path(tree / "it.pdf")


def test_text_that_is_too_much_together_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loaders, "MAX_BYTES", 12)
    with pytest.raises(ContextError, match="does not fit"):
        Context.from_path(tree)


# ---- patterns, ignored files, documents that are converted ------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.md", ["a.md"]),
        ("b/*", ["b/two.py"]),
        ("b/**/*.txt", ["b/c/deep.txt"]),
        ("**/*.[pt]*", ["b/c/deep.txt", "b/two.py", "z.txt"]),
        ("?.*", ["a.md", "z.txt"]),
    ],
)
def test_a_pattern_names_files(tree: Path, pattern: str, names: list[str]):
    context = Context.from_path(str(tree / pattern))
    assert context.document_names == tuple(f"{tree.as_posix()}/{name}" for name in names)
    assert Context.from_path([tree / pattern]).document_names == context.document_names


def test_a_pattern_leaves_out_and_counts_what_a_directory_would(tree: Path):
    os.mkfifo(tree / "pipe")
    (tree / "new.log").write_text("log")
    (tree / ".gitignore").write_text("*.log\n")
    context = Context.from_path(str(tree / "*"))
    assert [Path(name).name for name in context.document_names] == ["a.md", "z.txt"]
    assert dict(context.skipped) == {"binary": 2, "special": 1, "ignored": 1}


def test_a_pattern_that_names_nothing_is_an_error(tree: Path):
    with pytest.raises(ContextError, match=r"\*\.rst: no file matches; check the pattern"):
        Context.from_path(tree / "*.rst")


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path):
    (tmp_path / "[a].txt").write_text("odd")
    (tmp_path / "a.txt").write_text("plain")
    assert Context.from_path(tmp_path / "[a].txt").text() == "odd"


def test_what_git_would_leave_out_is_left_out_and_counted(tree: Path):
    (tree / ".gitignore").write_text("b/c/\n*.md\n")
    (tree / "b" / ".gitignore").write_text("two.*\n!two.py\n")
    context = Context.from_path(tree)
    assert context.document_names == ("b/two.py", "z.txt")
    assert context.skipped["ignored"] == 2


def converter(monkeypatch: pytest.MonkeyPatch, text: str, page_starts: tuple[int, ...]) -> None:
    monkeypatch.setattr(converting, "convert", lambda path, **limits: converting.Converted(text, page_starts))


def test_the_pages_of_a_converted_document_are_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    converter(monkeypatch, "\nfirst é\nsecond\nthird", (1, 9, 16))
    (tmp_path / "it.pdf").write_bytes(b"%PDF")
    context = Context.from_path(tmp_path / "it.pdf")
    assert context.num_pages == 3
    assert [context.page(n) for n in (0, 1, -1)] == ["\nfirst é\n", "second\n", "third"]
    assert context.page_span(1) == (9, 16)
    with pytest.raises(IndexError, match="page 3 is out of range: there are 3 pages"):
        context.page_span(3)
    assert context.slice_view(0, 12).num_pages == 1


def test_a_document_in_a_directory_is_converted_or_counted(tree: Path, monkeypatch: pytest.MonkeyPatch):
    (tree / "it.pdf").write_bytes(b"%PDF")
    converter(monkeypatch, "converted", (0,))
    assert Context.from_path(tree).get_document("it.pdf") == "converted"

    def fail(path: Path, **limits: object) -> None:
        raise ContextError("no converter")

    monkeypatch.setattr(converting, "convert", fail)
    assert Context.from_path(tree).skipped["not converted"] == 1
    with pytest.raises(ContextError, match="no converter"):
        Context.from_path(tree / "it.pdf")


def test_what_is_elsewhere_is_fetched_and_read_like_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "page.txt").write_text("from afar")
    monkeypatch.setattr(remote, "fetch", lambda url: tmp_path / "page.txt")
    context = Context.from_path("https://example.org/page.txt")
    assert (context.text(), context.document_names) == ("from afar", ("page.txt",))
    several = Context.from_path(["https://example.org/page.txt", tmp_path / "page.txt"])
    assert several.document_names == ("page.txt", (tmp_path / "page.txt").as_posix())


def test_a_directory_of_files_that_change_while_they_are_read_is_read_without_them(tree: Path, monkeypatch):
    real = InFile.read

    def read(self, begin, end):
        if self.path.name == "two.py":
            os.truncate(self.path, 1)
        return real(self, begin, end)

    monkeypatch.setattr(InFile, "read", read)
    assert Context.from_path(tree).skipped["unreadable"] == 1


def test_a_file_that_was_replaced_by_a_link_after_it_was_judged_is_not_read(
    tree: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.txt"
    secret.write_text("a secret")
    real = loaders.FoundFiles.take

    def take(self, name, path):
        if name == "z.txt":
            path.unlink()
            path.symlink_to(secret)
        real(self, name, path)

    monkeypatch.setattr(loaders.FoundFiles, "take", take)
    context = Context.from_path(tree)
    assert context.skipped["unreadable"] == 1
    assert "a secret" not in context.text()
