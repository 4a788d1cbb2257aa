"""`--sandbox-image` and `RLM_SANDBOX_IMAGE`: the image that the docker sandbox starts, and no other."""

from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rlmbox.cli.app import app
from rlmbox.cli.executing import ExecSettings
from rlmbox.errors import ConfigError
from rlmbox.sandboxes.docker._sandbox import explained, recipe
from rlmbox.sandboxes.registry import sandbox_from
from rlmbox.types import CellError, Execution


def image_of(settings: ExecSettings) -> str | None:
    made = settings.sandbox_maker()
    return made.keywords["image"] if isinstance(made, partial) else None


def test_the_image_is_the_docker_sandboxs_and_may_be_in_its_name() -> None:
    pytest.importorskip("docker")
    assert image_of(ExecSettings(sandbox="docker", sandbox_image="python:3.13-slim")) == "python:3.13-slim"
    assert image_of(ExecSettings(sandbox="docker:registry.local:5000/a:1")) == "registry.local:5000/a:1"
    assert image_of(ExecSettings(sandbox="docker")) is None


def test_packages_are_those_of_the_image() -> None:
    pytest.importorskip("docker")
    sandbox = sandbox_from("docker:mine", packages=["numpy"])()
    assert "These packages can be imported: numpy." in sandbox.notes
    missing = "ModuleNotFoundError", "No module named 'numpy'"
    error = CellError(*missing, "Traceback\n" + ": ".join(missing))
    told = explained(Execution("error", error=error), ["numpy"]).error
    assert told is not None
    assert told.message.startswith(f"{missing[1]}; make an image that has it")
    assert told.traceback.endswith("`RUN python3 -m pip install numpy`, and name it: --sandbox docker:IMAGE")


@pytest.mark.parametrize("name", ["", "numpy,pyyaml", "numpy>=1", "httpx[http2]"])
def test_a_package_of_an_image_is_named_by_itself(name: str) -> None:
    pytest.importorskip("docker")
    with pytest.raises(ConfigError, match="is not the name of one package; give each by itself"):
        sandbox_from("docker:mine", packages=[name])()


def test_the_recipe_for_an_image_names_what_provides_a_module() -> None:
    pytest.importorskip("docker")
    assert "pip install PyYAML numpy`" in recipe(["yaml", "numpy"])


def test_another_sandbox_has_no_image() -> None:
    with pytest.raises(ConfigError, match=r"the sandbox subset has no images; docker:a is docker with that one"):
        sandbox_from("subset:a")


@pytest.mark.parametrize("by", ["option", "variable", "file"])
def test_an_image_that_is_not_used_is_said(by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if by == "variable":
        monkeypatch.setenv("RLM_SANDBOX_IMAGE", "mine")
    if by == "file":
        (tmp_path / "rlmbox.toml").write_text('sandbox_image = "mine"\n')
    option = ["--sandbox-image", "mine"] if by == "option" else []
    (tmp_path / "a.py").write_text("1 + 1")
    done = CliRunner().invoke(app, ["exec", "a.py", "--sandbox", "subset", *option])
    assert (done.exit_code, done.stdout) == (0, "2\n")
    assert done.stderr == "note: the image mine is not used: it is for --sandbox docker, and this is subset\n"
