"""What git leaves out is left out: by rule, and against git itself."""

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from rlmbox.context import Context
from rlmbox.context.load.ignoring import Ignored
from rlmbox.errors import ContextError


def make(root: Path, files: dict[str, str]) -> Ignored:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Ignored(root)


@pytest.mark.parametrize(
    ("patterns", "path", "is_dir", "skipped"),
    [
        ("*.log", "a.log", False, True),
        ("*.log", "deep/er/a.log", False, True),
        ("*.log", "a.txt", False, False),
        ("/a.log", "deep/a.log", False, False),
        ("build/", "build", True, True),
        ("build/", "build", False, False),
        ("build/", "build/x/y.txt", False, True),
        ("build", "src/build", False, True),
        ("*.log\n!keep.log", "keep.log", False, False),
        ("!keep.log\n*.log", "keep.log", False, True),
        ("build/\n!build/keep.txt", "build/keep.txt", False, True),
        ("build/*\n!build/keep.txt", "build/keep.txt", False, False),
        ("*.txt\n!docs/", "docs/a.txt", False, True),
        ("a/**/z", "a/b/c/z", False, True),
        ("a/**", "a", True, False),
        ("a/**", "a/b", False, True),
        ("**", "x", False, True),
        ("# comment\n\n", "# comment", False, False),
        (r"\#name", "#name", False, True),
        ("[ab].py", "b.py", False, True),
        ("[z-", "z-", False, False),
        ("x.log\r\ny.log\r\n", "x.log", False, True),
        ("\ufeff*.log", "a.log", False, True),
        ("café", "café", False, True),
    ],
)
def test_a_pattern_means_what_it_means_to_git(tmp_path: Path, patterns: str, path: str, is_dir: bool, skipped: bool):
    assert make(tmp_path, {".gitignore": patterns}).skips(path, is_dir) is skipped


def test_a_deeper_file_counts_before_one_above_it(tmp_path: Path):
    ignored = make(tmp_path, {".gitignore": "*.log\n", "src/.gitignore": "!keep.log\n/own\n", "src/own/x": ""})
    assert ignored.skips("keep.log", False)
    assert not ignored.skips("src/keep.log", False)
    assert not ignored.skips("src/deeper/keep.log", False)
    assert ignored.skips("src/own", True)
    assert not ignored.skips("own", True)


def test_the_repositorys_own_exclude_file_counts_last(tmp_path: Path):
    ignored = make(tmp_path, {".git/info/exclude": "*.tmp\n*.log\n", ".gitignore": "!a.log\n"})
    assert ignored.skips("x/y.tmp", False)
    assert not ignored.skips("a.log", False)


def test_a_file_above_the_root_does_not_count(tmp_path: Path):
    make(tmp_path, {".gitignore": "*"})
    (tmp_path / "root").mkdir()
    assert not Ignored(tmp_path / "root").skips("a.txt", False)


def test_a_tree_without_rules_leaves_out_nothing(tmp_path: Path):
    assert not Ignored(tmp_path).skips("a/b/c.txt", False)


def test_rules_that_are_no_file_of_the_tree_do_not_count(tmp_path: Path):
    (tmp_path / "elsewhere").write_text("*")
    root = tmp_path / "root"
    for name in ("a", "b", "c"):
        (root / name).mkdir(parents=True)
    (root / "a" / ".gitignore").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(root / "b" / ".gitignore")  # opening it must not wait for a writer
    ignored = Ignored(root)
    assert not any(ignored.skips(f"{name}/file", False) for name in ("a", "b"))


def test_a_pattern_that_would_backtrack_for_ever_is_answered(tmp_path: Path):
    # The test's own time limit would end it.
    ignored = make(tmp_path, {".gitignore": "*a" * 60 + "b\n" + "**/" * 50 + "x\n"})
    assert not ignored.skips("a" * 250, False)
    assert ignored.skips("a" * 250 + "b", False)


def test_names_that_are_no_text_are_answered(tmp_path: Path):
    ignored = make(tmp_path, {".gitignore": "*.log\n"})
    assert ignored.skips("bad\udcff.log", False)
    assert not ignored.skips("bad\udcff", True)


NAMES = ["a", "b", "foo", "bar.txt", "x.log", "a b", "é.py", "build", "#h", "!n", "[z]"]
# fmt: off
PATTERNS = [
    "a", "b/", "/foo", "foo/", "*.txt", "*.log", "!bar.txt", "!foo/", "**/build", "build/**", "a/**/b", "/a/b",
    "a/*", "!a/b", "[ab]", "?", "*", "!*/", "**/", "# c", "", "\\#h", "\\!n", "x.*", "!x.log", "foo/**",
    "!foo/bar.txt", "a b", "a b ", "é*", "**", "!**/a", "a/", "[!a]", "\\[z\\]", "*/", "/*", "!/a", "!b", "[z-",
    "a\\", "/", "//", "***", "a**b", "foo/*.txt",
]
# fmt: on


@pytest.mark.skipif(shutil.which("git") is None, reason="git is the judge")
@pytest.mark.parametrize("seed", range(25))
def test_what_is_left_out_is_what_git_leaves_out(tmp_path: Path, seed: int):
    dice = random.Random(seed)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, capture_output=True)
    folders, paths = [tmp_path], []
    for _ in range(16):
        path = dice.choice(folders) / dice.choice(NAMES)
        if path.exists():
            continue
        if dice.random() < 0.5:
            path.mkdir()
            folders.append(path)
        else:
            path.write_text("x")
        paths.append(path)
    for folder in dice.sample(folders, min(len(folders), 3)):
        (folder / ".gitignore").write_text("\n".join(dice.choices(PATTERNS, k=dice.randint(1, 4))) + "\n")
    (tmp_path / ".git" / "info" / "exclude").write_text("\n".join(dice.choices(PATTERNS, k=2)) + "\n")
    names = [path.relative_to(tmp_path).as_posix() for path in paths]
    command = ["git", "-C", str(tmp_path), "-c", "core.excludesFile=/dev/null", "check-ignore", "--no-index", "-z"]
    judged = subprocess.run([*command, "--stdin"], input="\0".join(names).encode(), capture_output=True, check=False)
    ignored = Ignored(tmp_path)
    ours = {name for name, path in zip(names, paths, strict=True) if ignored.skips(name, path.is_dir())}
    assert ours == set(judged.stdout.decode().split("\0")) - {""}


def test_more_patterns_than_compile_at_once_still_count(tmp_path: Path):
    lines = ["!kept.log", *("?" * 48 + f"{number:02x}" for number in range(700)), "[", "*.log", "!last.log"]
    ignored = make(tmp_path, {".gitignore": "\n".join(lines)})
    assert ignored.skips("kept.log", False)
    assert not ignored.skips("last.log", False)
    assert ignored.skips("x" * 48 + "7f", False)
    assert not ignored.skips("x" * 48 + "zz", False)


def test_a_hundred_thousand_names_count_to_the_last(tmp_path: Path):
    names = [f"build_{number}/out" for number in range(100_000)]
    ignored = make(tmp_path, {".gitignore": "\n".join([*names, "secret.txt", "notes/", "!build_7/out", "*.log"])})
    assert ignored.skips("build_99999/out", False)
    assert ignored.skips("a/secret.txt", False)
    assert not ignored.skips("build_7/out", False)
    assert ignored.skips("notes", True)
    assert not ignored.skips("notes", False)
    assert not ignored.skips("a/build_1/out", False)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x" * (17 << 20), id="bytes"),
        pytest.param("\n" * 600_000, id="lines"),
        pytest.param("".join(f"*{number}\n" for number in range(10_001)), id="globs"),
    ],
)
def test_rules_that_are_too_many_leave_out_their_folder(tmp_path: Path, text: str):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".gitignore").write_text(text)
    (tmp_path / "a" / "secret.txt").write_text("a secret")
    (tmp_path / "fine.txt").write_text("fine")
    (tmp_path / "link.txt").symlink_to("a/secret.txt")
    context = Context.from_path(tmp_path)
    assert context.document_names == ("fine.txt",)
    assert context.skipped == {"unreadable": 1, "ignored": 1}
    with pytest.raises(ContextError, match=r"\.gitignore cannot be read or is too large"):
        Context.from_path(tmp_path / "a")
