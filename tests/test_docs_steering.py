"""docs/steering.md is true: each of its blocks runs, against a local server in a paid model's place."""

import re
import subprocess
from pathlib import Path

import pytest

from preloaded import python_command
from rlmbox.testing import ProviderServer

PAGE = (Path(__file__).parents[1] / "docs" / "steering.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
MCP_SERVER = Path(__file__).parent / "mcp_servers" / "server.py"
CODE = "```repl\n{}\n```"
EXAMPLES = [
    ("tool", [CODE.format("FINAL(len(lookup_customer('Ada')['orders']))")], "3"),
    ("mcp", [CODE.format("FINAL(add(2, 3))")], "5"),
    (
        "type",
        [CODE.format("FINAL('5 %')"), CODE.format("FINAL({'percent': 5, 'applies_to': 'late delivery'})")],
        "Penalty(percent=5.0, applies_to='late delivery')",
    ),
    ("approval", [CODE.format("print(context)"), "FINAL(5 %)"], "5 %"),
    ("steps", [CODE.format("import os"), CODE.format("x = 5"), "FINAL_VAR(x)"], "5"),
    ("questions", ["FINAL(5 %)", "FINAL(late delivery)"], "5 %\nlate delivery"),
    ("inputs", [CODE.format("FINAL(sum(row['price'] for row in prices))")], "12"),
    (
        "long inputs",
        [
            CODE.format(
                "import re\nFINAL([sorted({m.group() for m in re.finditer('[0-9]', t)}) for t in (contract, draft)])"
            )
        ],
        "[['5'], ['6']]",
    ),
    ("hooks", ["FINAL(5 %)"], "openai:gpt-5: True, 0.00 USD so far\n5 %"),
    ("short", ["5 %", CODE.format("x = 5"), "FINAL(5 %)"], "1\n2"),
    ("history", ["FINAL(5 %)"], "5 %"),
    ("validator", ["FINAL(5 %)", "no", "FINAL(It is 5 %.)", "Yes."], "It is 5 %."),
]


@pytest.mark.parametrize(("number", "replies", "printed"), [(n, *e[1:]) for n, e in enumerate(EXAMPLES)])
def test_every_block_of_the_page_runs(
    number: int, replies: list[str], printed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    block = BLOCKS[number].replace('"server.py"]', f'{str(MCP_SERVER)!r}, "stdio"]')
    with ProviderServer(list(replies)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
        done = subprocess.run(
            [*python_command(), "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == printed


def test_there_is_an_example_for_every_block() -> None:
    assert len(BLOCKS) == len(EXAMPLES)


def test_every_argument_that_the_page_names_is_one() -> None:
    import inspect

    from rlmbox import RLM, MCPTools, Tool

    known = {
        *inspect.signature(RLM).parameters,
        *inspect.signature(Tool).parameters,
        *inspect.signature(MCPTools).parameters,
        *inspect.signature(RLM.ask).parameters,
    }
    named = set(re.findall(r"`(\w+)=", PAGE)) | {"require_seen_figures", "invalid_response_limit"}
    assert named <= known
