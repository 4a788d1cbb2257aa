"""`rlmbox keys`: kept for their owner alone, never shown, and used where the provider's own variable is not set."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.environment import bare
from preloaded import python_command, rlmbox_command
from rlmbox import RLM
from rlmbox.cli.app import app
from rlmbox.cli.keeping import KeyFiles, key_source, system_keyring
from rlmbox.errors import ConfigError
from rlmbox.models.keys import KeySource
from rlmbox.testing import ProviderServer

KEY = "sk-kept-0123456789abcdef"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where keys are kept: an empty folder of settings, no keyring, no variable of any provider."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    for name in [n for n in os.environ if n.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "config" / "rlmbox" / "keys"


def run(*arguments: str, given: str | None = None) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(arguments), input=given)
    assert KEY not in done.stdout + done.stderr
    return done.exit_code, done.stdout, done.stderr


def test_a_key_is_kept_listed_masked_and_forgotten(folder: Path) -> None:
    code, out, _ = run("keys", "set", "gemini", given=f"{KEY}\n")
    assert (code, out) == (0, f"the key for google is kept in {folder}, which only you can read\n")
    assert (folder / "google").read_text() == f"{KEY}\n"
    assert json.loads(run("keys", "list", "--json")[1])[0]["provider"] == "google"
    assert "********" in run("keys", "list")[1]
    assert run("keys", "rm", "google")[0] == 0
    code, _, error = run("keys", "rm", "google")
    assert (code, error) == (2, "error: no key for google is stored; rlmbox keys list shows those that are\n")
    assert run("keys", "list")[1] == "no key is set or kept; rlmbox keys set PROVIDER keeps one\n"


def test_nobody_but_the_owner_can_look_into_what_is_kept(folder: Path) -> None:
    before = os.umask(0)
    try:
        run("keys", "set", "openai", given=KEY)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [(p.name, stat.S_IMODE(p.stat().st_mode)) for p in folder.iterdir()] == [("openai", 0o600)]


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["opnai"], KEY, "there is no provider 'opnai'; did you mean openai?"),
        (["openai"], "", "no key was given for openai; nothing was stored"),
        (["openai"], f"{KEY} and more", "which is a single word"),
        (["openai"], "sk-ключ", "holds characters that no key has"),
        (["openai", KEY], "", "a key on the command line is visible to other programs"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_kept(
    arguments: list[str], given: str, said: str, folder: Path
) -> None:
    code, out, error = run("keys", "set", *arguments, given=given)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert said in error
    assert not folder.exists()


def test_a_file_or_a_folder_that_is_a_link_is_neither_read_nor_written(folder: Path, tmp_path: Path) -> None:
    run("keys", "set", "openai", given=KEY)
    (folder / "openai").rename(tmp_path / "elsewhere")
    (folder / "openai").symlink_to(tmp_path / "elsewhere")
    for arguments, given in ((("set", "openai"), "sk-new"), (("list",), None)):
        code, _, error = run("keys", *arguments, given=given)
        assert (code, error.count("\n")) == (2, 1)
        assert "it is a link; remove it" in error
    assert (tmp_path / "elsewhere").read_text() == f"{KEY}\n"
    (folder / "openai").unlink()
    folder.rename(tmp_path / "there")
    folder.symlink_to(tmp_path / "there")
    assert run("keys", "set", "openai", given="sk-new")[0] == 2
    assert not any((tmp_path / "there").iterdir())


def test_what_others_can_look_into_is_not_used(folder: Path) -> None:
    run("keys", "set", "openai", given=KEY)
    (folder / "openai").chmod(0o644)
    with pytest.raises(ConfigError, match="other users can read it; run: chmod 600"):
        KeyFiles(folder).get("openai")
    (folder / "openai").chmod(0o600)
    folder.chmod(0o755)
    assert "chmod 700" in run("keys", "list")[2]


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    code, _, error = run("keys", "set", "openai", given=KEY)
    assert (code, error.count("\n")) == (2, 1)
    assert "cannot be" in error


def test_the_variable_comes_first_then_the_settings_then_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def used(name: str) -> str:
        return RLM(name, api_key=key_source(name), limits=None).model.target.key  # type: ignore[attr-defined,no-any-return]

    run("keys", "set", "openai", given=KEY)
    assert used("openai:gpt-5") == KEY
    monkeypatch.setenv("RLM_API_KEY", "sk-of-the-settings")
    assert used("openai:gpt-5") == "sk-of-the-settings"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-variable")
    assert used("openai:gpt-5") == "sk-of-the-variable"


def test_the_key_of_the_settings_goes_to_no_other_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_API_KEY", "sk-of-openai")
    keys = key_source("openai:gpt-5")
    assert (keys.key_for("openai"), keys.key_for("anthropic"), keys.key_for("ollama")) == ("sk-of-openai", None, None)
    monkeypatch.setenv("RLM_API_PROVIDER", "anthropic")
    assert (keys.key_for("openai"), keys.key_for("anthropic")) == (None, "sk-of-openai")


def test_without_a_key_the_error_says_how_to_keep_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A text.")
    code, _, error = run("ask", "What?", "-c", "a.txt", "-m", "openai:gpt-5", "--no-record")
    assert code == 2
    assert error == ("error: openai:gpt-5 needs a key; set OPENAI_API_KEY, or store one with: rlmbox keys set openai\n")


def test_a_kept_key_travels_to_the_provider_and_is_in_no_record(tmp_path: Path) -> None:
    run("keys", "set", "openai", given=KEY)
    (tmp_path / "a.txt").write_text(f"The key is {KEY}.")
    with ProviderServer("```repl\nFINAL(context)\n```") as server:
        environment = bare(
            OPENAI_BASE_URL=server.openai_url,
            XDG_CONFIG_HOME=os.environ["XDG_CONFIG_HOME"],
            PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring",
        )
        done = subprocess.run(
            [*rlmbox_command(), "ask", "What?", "-c", "a.txt", "-m", "openai:any", "--trace", "t.jsonl"],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
            cwd=tmp_path,
        )
        assert server.requests[0].key == KEY
        assert all(KEY not in message.content for each in server.requests for message in each.messages)
    assert KEY not in (tmp_path / "t.jsonl").read_text() + done.stderr


def test_a_key_source_is_asked_only_where_no_variable_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")

    def find(provider: str) -> str:
        asked.append(provider)
        return "sk-y"

    source = KeySource(find)
    RLM("openai:gpt-5", sub_model="anthropic:claude-haiku-4-5", api_key=source)
    assert asked == ["anthropic"]
    assert source.found == ("sk-y",)


KEYRING = """
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked
import json, pathlib

class Keyring(KeyringBackend):
    priority = 5
    name = "Test"
    path = pathlib.Path(__file__).with_name("kept.json")

    def _all(self):
        if self.path.with_name("locked").exists():
            raise KeyringLocked("it is\\nlocked")
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get_password(self, service, username):
        return self._all().get(service + "/" + username)

    def set_password(self, service, username, password):
        self.path.write_text(json.dumps({**self._all(), service + "/" + username: password}))

    def delete_password(self, service, username):
        kept = self._all()
        del kept[service + "/" + username]
        self.path.write_text(json.dumps(kept))
"""


def test_the_systems_keyring_is_used_where_there_is_one(tmp_path: Path, folder: Path) -> None:
    pytest.importorskip("keyring")
    (tmp_path / "ring.py").write_text(KEYRING)
    environment = bare(
        XDG_CONFIG_HOME=os.environ["XDG_CONFIG_HOME"],
        PYTHON_KEYRING_BACKEND="ring.Keyring",  # in the folder where the command is started
    )

    def keys(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = [*rlmbox_command(), "keys", *arguments]
        return subprocess.run(
            command, input=given, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
        )

    assert keys("set", "openai", given=KEY).stdout == "the key for openai is kept in the system's keyring (Test)\n"
    assert json.loads((tmp_path / "kept.json").read_text()) == {"rlmbox/openai": KEY}
    assert not folder.exists()
    assert "the system's keyring (Test)" in keys("list").stdout
    (tmp_path / "locked").touch()
    locked = keys("list")
    assert (locked.returncode, locked.stderr.count("\n")) == (2, 1)
    assert "the system's keyring (Test) cannot be read: it is locked" in locked.stderr
    (tmp_path / "locked").unlink()
    assert keys("rm", "openai").returncode == 0
    assert json.loads((tmp_path / "kept.json").read_text()) == {}


def test_a_keyring_that_keeps_nothing_is_none() -> None:
    program = "from rlmbox.cli.keeping import system_keyring; print(system_keyring())"
    for backend in ("null", "fail"):
        environment = bare(PYTHON_KEYRING_BACKEND=f"keyring.backends.{backend}.Keyring")
        done = subprocess.run(
            [*python_command(), "-c", program], capture_output=True, text=True, check=True, env=environment
        )
        assert (done.stdout, done.stderr) == ("None\n", "")
    assert system_keyring() is None
