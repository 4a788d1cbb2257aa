"""What a cell is told that imports a package which is installed here, but not allowed or not in the sandbox."""

import sys
import sysconfig
import threading
from types import ModuleType
from typing import Any

import pytest

from rlmbox.context import Context
from rlmbox.sandboxes._installed import explained
from rlmbox.sandboxes.docker import _sandbox as docker
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.sandboxes.monty import MontySandbox
from rlmbox.types import Cell, CellError, CellLimits, Execution

SANDBOXES: dict[str, Any] = {"local": lambda: LocalSandbox(unsafe_no_isolation=True), "monty": MontySandbox}
SAID = {
    "local": f"anyio is installed; allow it with --package anyio, or package_paths=['{sysconfig.get_path('purelib')}']",
    "monty": "anyio is installed, but cannot be imported here; --sandbox ",
}


@pytest.mark.parametrize("name", SANDBOXES)
async def test_an_import_of_what_is_installed_says_what_would_allow_it(name: str) -> None:
    sandbox = SANDBOXES[name]()
    try:
        await sandbox.start(CellLimits(), Context.from_text("text"), {})
        for code in ("import anyio", "from anyio.abc import Event", "import json, anyio as a"):
            error = (await sandbox.execute(Cell(code))).error
            assert (error.type, SAID[name] in error.message) == ("ModuleNotFoundError", True), error
            assert error.traceback.endswith(error.message)
        unknown = (await sandbox.execute(Cell("import no_such_thing"))).error
        assert unknown.message == "No module named 'no_such_thing'"
        caught = await sandbox.execute(
            Cell("try:\n    import anyio\nexcept ImportError as error:\n    x = str(error)\nx")
        )
        assert "No module named 'anyio" in caught.value
    finally:
        await sandbox.close()


async def test_an_image_may_have_it_and_otherwise_is_made() -> None:
    failed = Execution(
        "error", error=CellError("ModuleNotFoundError", "No module named 'anyio'", "No module named 'anyio'")
    )
    error = (await explained(failed, docker._allowed)).error
    assert error is not None
    assert "if the image has anyio, allow it with --package anyio, or packages=['anyio']; if not, make" in error.message
    assert "pip install anyio`" in error.message


async def test_a_module_of_this_process_that_was_not_imported_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "made_here", ModuleType("made_here"))  # as `__main__` often is
    failed = Execution("error", error=CellError("ModuleNotFoundError", "No module named 'made_here'", ""))
    assert await explained(failed, "{name} is needed") == failed


async def test_what_provides_a_package_is_looked_up_beside_the_event_loop() -> None:
    ran_in = []

    def hint(name: str) -> str:
        ran_in.append(threading.get_ident())
        return f"{name} is needed"

    failed = Execution("error", error=CellError("ModuleNotFoundError", "No module named 'anyio'", ""))
    error = (await explained(failed, hint)).error
    assert error is not None
    assert error.message.endswith("; anyio is needed")
    assert ran_in != [threading.get_ident()]
