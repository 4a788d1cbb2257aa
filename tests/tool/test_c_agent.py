"""`examples/c_agent`: the tool's client in C, built strictly and run as it is, under valgrind and under sanitizers."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "c_agent"
CASES = re.findall(r'^        \{"(.+)", test_', (FOLDER / "test_python_tool.c").read_text("utf-8"), re.MULTILINE)
COMMAND = f"{sys.executable} -m rlmbox tool"

pytestmark = pytest.mark.skipif(
    not (shutil.which("make") and (shutil.which("cc"))), reason="there is no make or no C compiler here"
)


def _made(target: str, build: Path) -> str:
    command = ["make", "-s", target, f"BUILD={build}", f"COMMAND={COMMAND}"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _links(flags: str, folder: Path) -> bool:
    (folder / "one.c").write_text("int main(void) { return 0; }\n")
    command = ["cc", flags, "-o", str(folder / "one"), str(folder / "one.c")]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_every_case_passes(tmp_path: Path) -> None:
    said = _made("test", tmp_path)
    assert [line[5:] for line in said.splitlines() if line.startswith("ok")] == CASES
    assert len(CASES) >= 17


@pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is not installed")
def test_valgrind_finds_no_error_and_no_leak(tmp_path: Path) -> None:
    said = _made("valgrind", tmp_path)
    assert "==" not in said
    assert "0 failures" in said


def test_the_sanitizers_find_nothing(tmp_path: Path) -> None:
    if not _links("-fsanitize=address,undefined", tmp_path):
        pytest.skip("the compiler has no sanitizers here")
    said = _made("sanitized", tmp_path)
    assert "Sanitizer" not in said
    assert "0 failures" in said


def test_the_client_has_the_schema_to_the_letter(tmp_path: Path) -> None:
    import json

    from rlmbox import PythonTool

    (tmp_path / "show.c").write_text(
        '#include "python_tool.h"\n#include <stdio.h>\n'
        "int main(void) { ToolRegistry r = {0}; register_python_tool(&r); ToolFunction *f = r.functions;\n"
        'printf("{\\"name\\": \\"%s\\", \\"description\\": \\"%s\\", \\"parameters\\": %s}", f->name, f->description, '
        "f->parameters); return 0; }\n"
    )
    program = tmp_path / "show"
    subprocess.run(
        ["cc", f"-I{FOLDER}", "-o", str(program), str(tmp_path / "show.c"), str(FOLDER / "python_tool.c")], check=True
    )
    shown = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    assert json.loads(shown) == PythonTool.schema()
