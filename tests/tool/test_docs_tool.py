"""docs/tool.md is true: each of its blocks runs, with a local server in a paid model's place."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from preloaded import python_command, rlmbox_command
from rlmbox.testing import ProviderServer
from rlmbox.testing.provider_server import RawReply

PAGE = (Path(__file__).parents[2] / "docs" / "tool.md").read_text("utf-8")
CODE = "print(6 * 7)"
RUN_FILE = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"


def _block(heading: str, language: str) -> str:
    part = PAGE.partition(heading)[2]
    found = re.search(rf"^```{language}\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def _openai(message: dict[str, object], finish: str) -> RawReply:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return RawReply(body)


def _anthropic(content: list[dict[str, object]], stop: str) -> RawReply:
    usage = {"input_tokens": 1, "output_tokens": 1}
    body = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": content, "usage": usage}
    return RawReply({**body, "stop_reason": stop, "stop_sequence": None})


def _google(part: dict[str, object]) -> RawReply:
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
    return RawReply({"candidates": [candidate], "usageMetadata": usage})


CALLED = {"type": "function", "id": "call-1", "function": {"name": "python", "arguments": json.dumps({"code": CODE})}}
ANSWER = {"name": "final_answer", "arguments": json.dumps({"answer": "It is 42."})}
ENDED = {"type": "function", "id": "call-2", "function": ANSWER}
OPENAI = [_openai({"content": None, "tool_calls": [CALLED]}, "tool_calls"), _openai({"content": "It is 42."}, "stop")]
ANTHROPIC = [
    _anthropic([{"type": "tool_use", "id": "t", "name": "python", "input": {"code": CODE}}], "tool_use"),
    _anthropic([{"type": "text", "text": "It is 42."}], "end_turn"),
]
GOOGLE = [_google({"functionCall": {"name": "python", "args": {"code": CODE}}}), _google({"text": "It is 42."})]


def _run(command: list[str], **environment: str) -> str:
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **environment}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_example_prints_its_result() -> None:
    assert _run([*python_command(), "-c", _block("## In Python", "python")]).split() == ["84", "True"]


@pytest.mark.parametrize(
    ("heading", "script"),
    [
        ("### With the OpenAI SDK", OPENAI),
        ("### With the Anthropic SDK", ANTHROPIC),
        ("### With the Google SDK", GOOGLE),
        ("### With pydantic-ai", OPENAI),
        ("### With llm", OPENAI),
    ],
)
def test_a_loop_with_each_sdk_calls_the_tool_and_ends(heading: str, script: list[RawReply], tmp_path: Path) -> None:
    with ProviderServer(list(script)) as server:
        said = _run(
            [*python_command(), "-c", _block(heading, "python")],
            OPENAI_BASE_URL=server.openai_url,
            OPENAI_API_KEY="sk-x",
            ANTHROPIC_BASE_URL=f"http://127.0.0.1:{server.port}",
            ANTHROPIC_API_KEY="sk-x",
            GOOGLE_GEMINI_BASE_URL=f"http://127.0.0.1:{server.port}",
            GOOGLE_API_KEY="x",
            LLM_USER_PATH=str(tmp_path),
        )
    assert said.strip() == "It is 42."
    told = json.dumps(server.requests[1].body)
    assert "42\\" in told  # what the code printed went back to the model
    assert "Execute Python code in a persistent interpreter." in json.dumps(server.requests[0].body)


def test_langchain_can_call_the_tool() -> None:
    assert json.loads(_run([*python_command(), "-c", _block("### With LangChain", "python")]))["stdout"] == "42\n"


@pytest.mark.parametrize("framework", ["smolagents", "LangChain"])
def test_the_agent_loop_of_a_framework_calls_the_tool_and_ends(framework: str, tmp_path: Path) -> None:
    code, script = _block(f"### With {framework}", "python"), OPENAI
    if framework == "LangChain":
        code += _block("langchain-openai`, an agent", "python")
    else:  # it ends by a tool
        script = [OPENAI[0], _openai({"content": None, "tool_calls": [ENDED]}, "tool_calls")]
    program = tmp_path / "program.py"  # smolagents reads the source of what it is given, which has to be a file
    program.write_text(code)
    with ProviderServer(list(script)) as server:
        command = [*python_command(), "-c", RUN_FILE, str(program)]
        said = _run(command, OPENAI_BASE_URL=server.openai_url, OPENAI_API_KEY="sk-x")
    assert said.strip().endswith("It is 42.")
    assert "42\\" in json.dumps(server.requests[1].body)
    assert "Execute Python code in a persistent interpreter." in json.dumps(server.requests[0].body)


def _service_on_path(folder: Path) -> dict[str, str]:
    """Put a command `rlmbox` that is this source's before all others."""
    command = folder / "rlmbox"
    command.write_text(f'#!/bin/sh\nexec {shlex.join(rlmbox_command())} "$@"\n')
    command.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def test_a_shell_pipes_requests_in(tmp_path: Path) -> None:
    said = _run(["sh", "-c", _block("## From any program", "sh")], **_service_on_path(tmp_path))
    assert sorted(json.loads(line)["stdout"] for line in said.splitlines()) == ["", "42\n"]


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here")
def test_bash_drives_the_tool(tmp_path: Path) -> None:
    said = _run(["bash", "-c", _block("From bash", "bash")], **_service_on_path(tmp_path))
    assert [json.loads(line)["stdout"] for line in said.splitlines()] == ["", "42\n"]


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_node_drives_the_tool(tmp_path: Path) -> None:
    said = _run(["node", "-e", _block("From node", "js")], **_service_on_path(tmp_path))
    assert said.startswith("42")


def test_install_prints_a_configuration(tmp_path: Path) -> None:
    block = _block("## Over MCP", "sh").splitlines()[0]
    assert json.loads(_run(["sh", "-c", block], **_service_on_path(tmp_path)))["mcpServers"]["rlmbox"]
