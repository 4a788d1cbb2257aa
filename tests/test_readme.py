"""The README is true: its commands and its code run, against a local server in a paid model's place."""

import asyncio
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from preloaded import python_command, rlmbox_command
from rlmbox import RLM
from rlmbox.testing import ProviderServer

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SANDBOXES = (ROOT / "docs" / "sandboxes.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line
    for language, body in [*BLOCKS, *re.findall(r"^```(\w+)\n(.*?)^```$", SANDBOXES, re.MULTILINE | re.DOTALL)]
    if language == "sh"
    for line in body.splitlines()
    if line.startswith(("rlmbox", "cat "))
]
DOCTOR = """
import sys
from rlmbox import cli
from rlmbox.cli import diagnosing
from rlmbox.testing.attacks import attacks
first = {attack.group: name for name, attack in reversed(attacks().items())}
diagnose = diagnosing.diagnose
diagnosing.diagnose = lambda names, **options: diagnose(names or ["monty", "local"], only=[*first.values()], **options)
sys.argv[0] = "rlmbox"
cli.main()
"""
"""The command, with one attack of each group, and two sandboxes where it names none.

`attacks/test_attacks.py` runs all attacks, and `cli/test_doctor.py` looks at all sandboxes.
"""
SCRIPT = ["```repl\nhits = ctx.search('penalty')\nprint(hits)\n```", "FINAL_VAR(hits)"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the README speaks of."""
    (tmp_path / "contract.txt").write_text("A penalty of 5 % applies.\n")
    (tmp_path / "setup.py").write_text("words = context.split()\n")
    (tmp_path / "penalty.json").write_text('{"type": ["array", "string"]}')
    (tmp_path / "count.py").write_text("len(words)\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "may.md").write_text("We decided about pricing: a penalty.\n")
    for name in ("notes", "src"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "a.py").write_text(
            "# We decided about pricing: a penalty.\nclass OrderedDict(dict):\n    pass\n"
        )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RLM_STORE", str(tmp_path / "runs.db"))
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProviderServer]:
    """Every provider, on loopback."""
    with ProviderServer(SCRIPT * 20) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-x")
        monkeypatch.setenv("NO_COLOR", "1")
        # A price that a server of our own does not have, for the examples with a cost limit.
        yield server


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_readme_answers(command: str, folder: Path, server: ProviderServer) -> None:
    command = command.replace("http://localhost:11434/v1", server.openai_url)
    if "os.__file__" in command:
        # The whole library of the machine takes longer than a test may; a folder of it is the same command.
        shutil.copytree(Path(re.__file__).parent.parent / "collections", folder / "lib" / "collections")
        command = re.sub(r'"\$\(.*\)"', str(folder / "lib"), command)
    piped, _, command = command.rpartition(" | ")
    given = (folder / piped.removeprefix("cat ")).read_text() if piped else ""
    arguments = shlex.split(command, comments=True)
    if arguments[1] == "runs":
        asyncio.run(RLM(store=folder / "runs.db").aask("What is the penalty?", "A penalty of 5 % applies."))
    program = [*python_command(), "-c", DOCTOR] if arguments[1] == "doctor" else rlmbox_command()
    done = subprocess.run(
        [*program, *arguments[1:]],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        input=given,
    )
    assert done.returncode == 0, done.stderr
    if arguments[:2] != ["rlmbox", "chat"] and arguments != ["rlmbox", "exec"]:  # which have nothing to say to no input
        assert done.stdout.strip()
    if "--attack" in arguments:
        assert re.search(r"attacks: .*\d contained", done.stdout)
    if "OrderedDict" in command:
        assert "class OrderedDict(dict):" in done.stdout


PYTHON = [body for language, body in BLOCKS if language == "python"]


def test_the_example_of_the_library_runs(folder: Path, server: ProviderServer) -> None:
    """With its cost limit taken from a file of prices, because the server on loopback has none."""
    (folder / "prices.toml").write_text(
        "".join(
            f'["anthropic:{name}"]\ninput_usd_per_mtok = "3"\noutput_usd_per_mtok = "15"\n'
            for name in ("claude-sonnet-5-5", "claude-haiku-4-5")
        )
    )
    (program,) = PYTHON
    program = program.replace("limits=", 'prices="prices.toml", limits=')
    done = subprocess.run([*python_command(), "-c", program], capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "penalty" in done.stdout


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_every_file_that_the_readme_links_to_exists() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in link:
            assert (ROOT / link).exists(), link
