"""The names that `rlmbox` exports."""

import subprocess
import sys

import pytest

import rlmbox


def test_every_exported_name_is_there_and_known_to_dir() -> None:
    for name in rlmbox.__all__:
        assert getattr(rlmbox, name).__name__ == name
        assert name in dir(rlmbox)


def test_exported_names_are_sorted() -> None:
    assert rlmbox.__all__ == sorted(rlmbox.__all__, key=lambda name: (not name.isupper(), name))


def test_a_name_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = rlmbox.Nothing


def modules_after(program: str) -> set[str]:
    """Return the names of the modules that a program has imported."""
    told = f"{program}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_brings_in_nothing_of_it_and_no_provider() -> None:
    found = modules_after("import rlmbox")
    assert {name for name in found if name.startswith("rlmbox")} == {"rlmbox"}
    assert not found & {"pydantic", "anyio"}


def test_naming_the_facade_brings_in_nothing_that_does_its_work() -> None:
    found = modules_after("from rlmbox import RLM")
    ours = {"rlmbox", "rlmbox.rlm", "rlmbox.rlm.facade"}
    assert {name for name in found if name.startswith("rlmbox")} == ours
    assert {name.partition(".")[0] for name in found} - set(sys.stdlib_module_names) <= {
        *modules_after("pass"),
        "rlmbox",
    }
    assert not found & {"asyncio", "dataclasses", "decimal", "json", "logging", "sqlite3", "ssl"}


_ANSWER = """
from rlmbox import RLM, Limits
print(RLM("offline:extractive", sandbox="monty", limits=Limits(max_seconds=60)).ask("What is it?", "It is a text."))
"""


def test_a_question_brings_in_no_library_that_it_does_not_need() -> None:
    found = {name.partition(".")[0] for name in modules_after(_ANSWER)}
    assert not found & {
        "docker",
        "httpx",
        "httpx2",
        "keyring",
        "mcp",
        "numpy",
        "openpyxl",
        "psycopg",
        "pydantic",
        "pydantic_settings",
        "rich",
        "typer",
        "wasmtime",
    }
