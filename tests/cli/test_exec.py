"""`rlmbox exec` as people and scripts run it: a process of its own, its output and its exit code."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.environment import bare
from preloaded import rlmbox_command


def rlmbox(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*rlmbox_command(), *arguments],
        input=stdin.encode(),
        capture_output=True,
        env=bare(**environment),
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def cells(tmp_path: Path) -> list[str]:
    for name, code in (("a.py", "x = 20\nprint('first')"), ("b.py", "y = x + 1\ny * 2")):
        (tmp_path / name).write_text(code)
    return [str(tmp_path / "a.py"), str(tmp_path / "b.py")]


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    for word in words:
        assert word in line
    assert "Traceback" not in done.stderr


def test_files_are_the_cells_of_one_session(cells: list[str]) -> None:
    done = rlmbox("exec", *cells)
    assert (done.returncode, done.stdout, done.stderr) == (0, "first\n42\n", "")


def test_standard_input_is_a_cell_by_default_and_by_name(cells: list[str]) -> None:
    assert rlmbox("exec", stdin="1 + 1").stdout == "2\n"
    assert rlmbox("exec", cells[0], "-", stdin="x + 2").stdout == "first\n22\n"


def test_a_file_may_declare_its_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes("# -*- coding: latin-1 -*-\nprint('é')".encode("latin-1"))
    assert rlmbox("exec", str(tmp_path / "a.py")).stdout == "é\n"
    (tmp_path / "b.py").write_bytes("print('é')".encode("latin-1"))
    refused(rlmbox("exec", str(tmp_path / "b.py")), 2, "b.py is not Python source: byte 7 is not UTF-8")


def test_output_and_errors_go_their_own_ways(tmp_path: Path) -> None:
    done = rlmbox("exec", stdin="import sys\nprint('out')\nprint('err', file=sys.stderr)\n{'a': 'ü'}")
    assert (done.stdout, done.stderr) == ("out\n{'a': 'ü'}\n", "err\n")


def test_an_error_is_shown_as_python_shows_it_and_stops_the_rest(cells: list[str]) -> None:
    done = rlmbox("exec", "-", *cells, stdin="print('before')\n1 / 0")
    assert done.returncode == 1
    assert done.stdout == "before\n"
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert '"<rlm_session>", line 2' in done.stderr
    assert done.stderr.rstrip().splitlines()[-1].startswith("ZeroDivisionError: ")


def test_a_traceback_names_the_file_of_each_line(tmp_path: Path) -> None:
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text("def part(n):\n    return 1 / n\n")
    second.write_text("x = 1\n\n\npart(0)\n")
    shown = rlmbox("exec", str(first), str(second)).stderr
    assert f'File "{second}", line 4' in shown
    assert f'File "{first}", line 2, in part' in shown


def test_the_rest_runs_when_it_is_asked_to(cells: list[str]) -> None:
    done = rlmbox("exec", "--keep-going", "-", *cells, stdin="1 / 0")
    assert (done.returncode, done.stdout) == (1, "first\n42\n")


def test_one_object_is_printed_for_each_cell(cells: list[str]) -> None:
    done = rlmbox("exec", "--json", "--keep-going", *cells, "-", stdin="print('a'); {}['k']")
    first, second, third = objects(done)
    assert done.returncode == 1
    assert (first["file"], first["outcome"], first["stdout"], first["value"]) == (cells[0], "ok", "first\n", None)
    assert (second["value"], second["value_repr"], second["error"]) == (42, "42", None)
    assert (third["file"], third["outcome"], third["stdout"], third["namespace"]) == ("-", "error", "a\n", "kept")
    assert third["error"]["type"] == "KeyError"  # type: ignore[index]
    assert all(isinstance(each["duration_s"], float) and each["stderr"] == "" for each in (first, second, third))


def test_the_context_is_there_with_its_functions_and_nothing_that_reaches_a_model(tmp_path: Path) -> None:
    (tmp_path / "contract.txt").write_text("A penalty of 5 % applies.")
    done = rlmbox("exec", "-c", str(tmp_path / "contract.txt"), stdin="(context[:9], ctx.slice(2, 9), lenP())")
    assert done.stdout == "('A penalty', 'penalty', 25)\n"
    assert "NameError" in rlmbox("exec", stdin="llm_query('x')").stderr
    assert rlmbox("exec", stdin="context").stdout == "'(no context)'\n"


def test_the_context_can_come_from_standard_input(cells: list[str]) -> None:
    done = rlmbox("exec", "-c", "-", cells[0], stdin="the text")
    assert (done.returncode, done.stdout) == (0, "first\n")
    refused(rlmbox("exec", "-c", "-", stdin="x"), 2, "standard input")


def test_a_loop_ends_at_the_timeout_and_says_what_became_of_the_variables() -> None:
    done = rlmbox("exec", "--cell-timeout", "0.3", "--json", stdin="while True: pass")
    (only,) = objects(done)
    assert done.returncode == 1
    assert only["outcome"] == "timeout"
    assert only["error"]["type"] == "ExecutionTimeout"  # type: ignore[index]
    plain = rlmbox("exec", "--sandbox", "monty", "--cell-timeout", "0.3", stdin="while True: pass")
    assert "ExecutionTimeout" in plain.stderr
    assert "note: the variables were rebuilt" in plain.stderr


def test_memory_is_limited_as_asked() -> None:
    code = "x = 'x' * 60_000_000\nlen(x)"
    assert objects(rlmbox("exec", "--memory", "32", "--json", stdin=code))[0]["outcome"] == "memory"
    assert rlmbox("exec", "--memory", "32", stdin=code).stderr.endswith("\nnote: --memory 512 gives a cell more\n")
    assert objects(rlmbox("exec", "--memory", "256", "--json", stdin=code))[0]["outcome"] == "ok"


def test_code_that_is_no_python_is_an_error_of_the_cell() -> None:
    done = rlmbox("exec", stdin="x = = 1")
    assert done.returncode == 1
    assert "SyntaxError" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="local needs POSIX")
def test_local_has_to_be_asked_for_in_so_many_words() -> None:
    refused(rlmbox("exec", "--sandbox", "local", stdin="1"), 2, "local", "--unsafe-no-isolation")
    done = rlmbox("exec", "--sandbox", "local", "--unsafe-no-isolation", stdin="import platform\nprint('ran')")
    assert (done.returncode, done.stdout) == (0, "ran\n")


@pytest.mark.skipif(os.name == "nt", reason="local needs POSIX")
def test_packages_can_be_imported_where_the_sandbox_can_have_them() -> None:
    arguments = ("exec", "--sandbox", "local", "--unsafe-no-isolation")
    code = "import anyio\nanyio.__name__"
    assert rlmbox(*arguments, stdin=code).returncode == 1
    assert rlmbox(*arguments, "--package", "anyio", stdin=code).stdout == "'anyio'\n"
    refused(rlmbox(*arguments, "--package", "no_such_package", stdin=code), 2, "no_such_package")
    refused(rlmbox("exec", "--sandbox", "monty", "--package", "anyio", stdin=code), 2, "monty", "--package")
    for sandbox in ("auto", "jail"):
        refused(rlmbox("exec", "--sandbox", sandbox, "--package", "", stdin=code), 2, "a package has a name")
        refused(rlmbox("exec", "--sandbox", sandbox, "--package", "anyo", stdin=code), 2, "'anyo' is not installed")


def test_types_are_checked_where_that_is_asked_for_and_can_be() -> None:
    code = "print('ran')\nundefined_name"
    checked = rlmbox("exec", "--sandbox", "monty", "--type-check", stdin=code)
    assert (checked.returncode, checked.stdout) == (1, "")
    assert "undefined_name" in checked.stderr
    refused(rlmbox("exec", "--sandbox", "subset", "--type-check", stdin=code), 2, "subset", "--type-check")


@pytest.mark.skipif(os.name == "nt", reason="local needs POSIX")
def test_a_worker_that_dies_is_a_cell_that_failed_and_the_next_one_runs() -> None:
    arguments = ("exec", "--sandbox", "local", "--unsafe-no-isolation", "--json", "--keep-going", "-", "-")
    refused(rlmbox(*arguments, stdin="1"), 2, "only once")
    done = rlmbox(*arguments[:-1], stdin="import os\nos._exit(3)")
    (only,) = objects(done)
    assert (done.returncode, only["outcome"], only["namespace"]) == (1, "crashed", "lost")


def test_an_unknown_sandbox_a_wrong_limit_and_a_missing_context_are_one_line(tmp_path: Path) -> None:
    refused(rlmbox("exec", "--sandbox", "jial", stdin="1"), 2, "jial")
    refused(rlmbox("exec", "--cell-timeout", "0", stdin="1"), 2, "--cell-timeout")
    refused(rlmbox("exec", "--memory", "-5", stdin="1"), 2, "--memory")
    refused(rlmbox("exec", "-c", str(tmp_path / "nothing"), stdin="1"), 2, "nothing")


def test_a_file_that_cannot_be_read_is_found_before_anything_runs(cells: list[str], tmp_path: Path) -> None:
    done = rlmbox("exec", cells[0], str(tmp_path / "missing.py"))
    refused(done, 2, "missing.py")
    assert done.stdout == ""
    (tmp_path / "binary.py").write_bytes(b"x = '\xff'")
    refused(rlmbox("exec", str(tmp_path / "binary.py")), 2, "binary.py", "UTF-8")


def test_wrong_input_is_an_object_too_when_objects_are_asked_for(tmp_path: Path) -> None:
    done = rlmbox("exec", "--json", str(tmp_path / "missing.py"))
    (only,) = objects(done)
    assert done.returncode == 2
    assert only["error"]["type"] == "ConfigError"  # type: ignore[index]


@pytest.mark.skipif(sys.platform != "linux", reason="drives a terminal through a pseudo-terminal")
def test_at_a_terminal_it_is_a_prompt() -> None:
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*rlmbox_command(), "exec"], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    os.close(theirs)
    os.write(ours, b"x = 20\nfor i in range(2):\n    x += i\n\n1 / 0\nx * 2\n\x04")
    out, err = process.communicate()
    os.close(ours)
    assert process.returncode == 0
    assert b"42" in out
    assert b"ZeroDivisionError" in err


@pytest.mark.usefixtures("interruptible")
@pytest.mark.skipif(sys.platform != "linux", reason="drives a terminal through a pseudo-terminal")
@pytest.mark.parametrize("sandbox", ["auto", "monty"])
def test_an_interrupt_at_the_prompt_ends_the_cell_and_keeps_the_session(sandbox: str, tmp_path: Path) -> None:
    from cli.terminal import Terminal

    with Terminal("exec", "--sandbox", sandbox, "--cell-timeout", "600", environment=bare(), folder=tmp_path) as shown:
        shown.expect(">>> ")
        shown.type("mine = 41")
        shown.expect(">>> ")
        shown.type("while True: pass")
        shown.expect("... ")
        shown.type("")
        shown.pause(2)  # the cell runs, and shows nothing
        shown.press("\x03")
        shown.expect("KeyboardInterrupt")
        shown.expect(">>> ")
        shown.press_until("\x03", "Ctrl-D, leaves)")  # at the prompt it ends nothing, and no worker
        shown.expect(">>> ")
        shown.type("mine + 1")
        shown.expect("42")


@pytest.mark.usefixtures("interruptible")
@pytest.mark.skipif(os.name == "nt", reason="interrupts are sent with a POSIX signal")
def test_an_interrupt_ends_the_session_at_once(cells: list[str]) -> None:
    process = subprocess.Popen(
        [*rlmbox_command(), "exec", cells[0], "-", "--cell-timeout", "600"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"while True: pass")
    process.stdin.close()
    process.stdin = None
    assert process.stdout.readline() == b"first\n"  # so the loop is next
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1] == b"error: interrupted"


def test_help_says_when_it_stops_and_what_the_exit_codes_are() -> None:
    done = rlmbox("exec", "--help")
    for words in ("--keep-going", "first cell that fails", "Exit codes", "--unsafe-no-isolation"):
        assert words in " ".join(done.stdout.split())
