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


def test_importing_the_package_brings_in_nothing_of_it_and_no_provider() -> None:
    program = "import sys, rlmbox; print([m for m in sys.modules if m.startswith(('rlmbox.', 'pydantic', 'anyio'))])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
