"""Settings: one order of places, errors that name file and key, and a project's file that is not trusted."""

import json
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from preloaded import rlmbox_command
from rlmbox import __version__
from rlmbox.cli.app import app
from rlmbox.cli.configuration import OPTIONS, Configuration, variables
from rlmbox.cli.configuring import example
from rlmbox.cli.layers import resolve, trust
from rlmbox.errors import ConfigError

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty project, which is the current folder, and an empty home."""
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("RLM_STORE", "RLM_DIRECT_BELOW_CHARS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    return folder


def users(text: str, tmp_path: Path) -> Path:
    path = tmp_path / "config" / "rlmbox" / "rlmbox.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.stdout, done.stderr


def test_a_later_place_counts(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ("model", "sub_model", "fallback_model", "max_turns")
    (project / "rlmbox.toml").write_text("".join(f'{key} = "project"\n' for key in keys[:3]) + "max_turns = 9\n")
    users('sub_model = "user"\nfallback_model = "user"\n', tmp_path)
    monkeypatch.setenv("RLM_FALLBACK_MODEL", "environment")
    (project / ".env").write_text("RLM_MAX_TURNS=5\nOTHER=1\n")
    found = resolve()
    assert [getattr(found.configuration, key) for key in keys] == ["project", "user", "environment", 5]
    assert [Path(found.places[key]).name for key in keys] == ["rlmbox.toml", "rlmbox.toml", "environment", ".env"]


def test_options_come_before_settings_and_dotenv_before_the_environment(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLM_MODEL", "nobody:a")
    (project / ".env").write_text("RLM_MODEL=nobody:b\n")
    (project / "text.txt").write_text("A text.")
    assert "nobody:b" in run("ask", "What?", "-c", "text.txt")[2]
    monkeypatch.setenv("RLM_MODEL", "nobody:a")
    assert "nobody:c" in run("ask", "What?", "-c", "text.txt", "--model", "nobody:c")[2]


def test_a_file_in_a_folder_above_counts_and_one_beyond_the_repository_does_not(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = project / "src" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    (project.parent / "rlmbox.toml").write_text("max_turns = 3\n")
    assert resolve().configuration.max_turns == 30
    (project / "rlmbox.yaml").write_text("max_turns: 4\n")
    assert resolve().configuration.max_turns == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_turn = 3", "there is no setting 'max_turn'; did you mean max_turns?"),
        ('max_turns = "many"', "max_turns: input should be a valid integer"),
        ("max_turns = 0", "max_turns: input should be greater than or equal to 1"),
        ('sandbox = "local"', "no setting chooses it"),
        ('guard = "none"', "guard: input should be 'off', 'redact' or 'strict'"),
        ("max_turns = ", "is not TOML"),
        ("zzz = 1", "rlmbox config init lists the keys there are"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it_and_the_key(project: Path, text: str, said: str) -> None:
    path = project / "rlmbox.toml"
    path.write_text(text)
    for command in (("config", "check"), ("config", "show"), ("ask", "What?", "-c", "rlmbox.toml")):
        code, out, error = run(*command)
        assert (code, out) == (2, "")
        assert error.startswith(f"error: {path}")
        assert said in error
        assert len(error.splitlines()) == 1


def test_a_wrong_variable_is_named_as_it_was_written(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_EXECUTION_TIMEOUT", "soon")
    with pytest.raises(ConfigError, match="environment: RLM_EXECUTION_TIMEOUT: input should be a valid number"):
        resolve()
    monkeypatch.delenv("RLM_EXECUTION_TIMEOUT")
    monkeypatch.setenv("RLM_EXECUTION_MODE", "local")
    with pytest.raises(ConfigError, match=r"RLM_EXECUTION_MODE: local isolates nothing.*--unsafe-no-isolation"):
        resolve()
    monkeypatch.delenv("RLM_EXECUTION_MODE")
    (project / ".env").write_text("RLM_MODLE=x\n")
    with pytest.raises(ConfigError, match="there is no setting 'RLM_MODLE'"):
        resolve()


def test_names_from_elsewhere_are_understood(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del project
    for name, value in {
        "RLM_API_PROVIDER": "openai",
        "RLM_MODEL_ROOT": "gpt-5",
        "RLM_MODEL_RECURSIVE": "google:gemini-2.5-flash",
        "RLM_EXECUTION_MODE": "jail",
        "RLM_EXECUTION_TIMEOUT": "7",
        "RLM_COST_LIMIT_USD": "1.5",
        "RLM_PACKAGES": "pandas, numpy",
    }.items():
        monkeypatch.setenv(name, value)
    assert resolve().defaults() == {
        "model": "openai:gpt-5",
        "sub_model": "google:gemini-2.5-flash",
        "sandbox": "jail",
        "cell_timeout": 7.0,
        "cost_limit": "1.5",
        "package": ["pandas", "numpy"],
    }


@pytest.mark.parametrize("key", ["api_key", "base_url", "prices", "store", "prompts", "instructions"])
@pytest.mark.parametrize("name", ["rlmbox.toml", ".env"])
def test_a_projects_file_does_not_say_where_keys_texts_or_money_go(project: Path, name: str, key: str) -> None:
    path = project / name
    path.write_text(f'{variables(key)[0] if name == ".env" else key}="somewhere"\n')
    with pytest.raises(ConfigError, match=f"sets {key}.*rlmbox config trust"):
        resolve()
    trust(path)
    assert key in resolve().places
    path.write_text(path.read_text() + "\n# changed\n")
    with pytest.raises(ConfigError, match="rlmbox config trust"):
        resolve()


def test_a_projects_file_narrows_and_does_not_widen(project: Path, tmp_path: Path) -> None:
    users('max_turns = 10\nmax_depth = 1\nguard = "redact"\n', tmp_path)
    (project / "rlmbox.toml").write_text(
        'max_turns = 40\nmax_depth = 0\ncost_limit_usd = 50\nmemory_mb = 64\nguard = "off"\n'
    )
    found = resolve()
    kept = found.configuration
    assert (kept.max_turns, kept.max_depth, kept.memory_mb) == (10, 0, 64.0)
    assert kept.cost_limit_usd == Decimal(5)
    assert kept.guard == "redact"
    assert len(found.notes) == 3
    (project / "rlmbox.toml").write_text('guard = "strict"\n')
    assert resolve().configuration.guard == "strict"


def test_show_masks_secrets_and_says_where_each_value_came_from(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del project
    monkeypatch.setenv("RLM_API_KEY", "sk-secret")
    code, out, _ = run("config", "show", "--json")
    shown = json.loads(out)
    assert code == 0
    assert shown["api_key"] == {"value": "********", "from": "environment"}
    assert shown["max_turns"] == {"value": 30, "from": "default"}
    assert shown.keys() == Configuration.model_fields.keys()
    assert "sk-secret" not in out + run("config", "show")[1]


def test_init_writes_a_file_that_is_valid_with_and_without_its_comments(project: Path) -> None:
    assert run("config", "init")[0] == 0
    assert run("config", "check")[0] == 0
    code, _, error = run("config", "init")
    assert (code, error.count("\n")) == (2, 1)
    lines = [line[2:] for line in example().splitlines() if re.match(r"# \w+ = (?!\"\")", line)]
    assert len(lines) > 5
    (project / "rlmbox.toml").write_text("\n".join(lines))
    assert run("config", "check")[0] == 0


def test_every_option_that_the_environment_sets_is_a_setting() -> None:
    (ask,) = [command for name, command in get_command(app).commands.items() if name == "ask"]  # type: ignore[attr-defined]
    keys = {OPTIONS.get(key, key): key for key in Configuration.model_fields}
    for option in ask.params:
        if option.envvar is not None:
            assert option.envvar in variables(keys[option.name])


def test_the_page_is_true(project: Path) -> None:
    text = PAGE.read_text("utf-8")
    (example_file,) = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (project / "rlmbox.toml").write_text(example_file)
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            arguments = line.partition("#")[0].split()[1:]
            if arguments[1] == "init":
                arguments.append("other.toml")
            done = subprocess.run([*rlmbox_command(), *arguments], capture_output=True, check=False)
            assert done.returncode == 0, (line, done.stderr)
    names = set(re.findall(r"RLM_[A-Z_]+[A-Z]", text))
    assert names <= {name for key in Configuration.model_fields for name in variables(key)}


def test_the_version_is_one_line_and_more_for_a_report_of_a_mistake() -> None:
    code, out, _ = run("--version")
    assert (code, out) == (0, f"rlmbox {__version__}\n")
    _, out, _ = run("--version", "--verbose")
    assert f"Python {sys.version.split()[0]}" in out
    assert re.search(r"^pydantic \d", out, re.MULTILINE)
    assert run("--verbose")[0] == 2
