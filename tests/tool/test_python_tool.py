"""`PythonTool`: the tool as an object."""

import json
import logging
import threading
import time

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmbox import Context, PythonTool, RLMError
from rlmbox.errors import ConfigError, SandboxUnavailable
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.tool import ToolResult
from rlmbox.tool.result import cut_to_bytes
from rlmbox.tool.schema import MAX_CODE_BYTES, MAX_OUTPUT_BYTES, BadCall, ToolCall, read_call

FIELDS = ["stdout", "stderr", "exception", "success", "execution_time", "timed_out"]
ENDLESS = "while True: x = 1"
DEAF = f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{ENDLESS}"


@pytest.fixture(scope="module")
def tool():
    with PythonTool() as opened:
        yield opened


def test_the_schema_is_that_of_the_tools_definition() -> None:
    assert PythonTool.schema() == {
        "name": "python",
        "description": "Execute Python code in a persistent interpreter. Variables, imports, and function definitions "
        "persist across calls. Use for calculations, data processing, and scripting tasks.",
        "parameters": {
            "type": "object",
            "properties": {
                "code": {
                    "type": "string",
                    "description": "Python code to execute. Can be multiple lines. Variables persist between calls.",
                },
                "timeout": {"type": "number", "description": "Maximum execution time in seconds. Default: 30"},
            },
            "required": ["code"],
        },
    }


def test_each_provider_gets_the_schema_in_its_own_form() -> None:
    plain = PythonTool.schema()
    named = {"name": plain["name"], "description": plain["description"]}
    assert PythonTool.schema("openai") == {"type": "function", "function": plain}
    assert PythonTool.schema("anthropic") == {**named, "input_schema": plain["parameters"]}
    assert PythonTool.schema("google") == plain
    assert PythonTool.schema("mcp") == {**named, "inputSchema": plain["parameters"]}
    with pytest.raises(ConfigError, match="openai, anthropic, google, mcp"):
        PythonTool.schema("mistral")  # type: ignore[arg-type]


def test_a_schema_that_is_changed_changes_no_other() -> None:
    PythonTool.schema("openai")["function"]["parameters"]["properties"].clear()
    assert "code" in PythonTool.schema("anthropic")["input_schema"]["properties"]


def test_a_result_has_the_fields_of_the_format(tool: PythonTool) -> None:
    result = tool.call({"code": "print(1 + 1)"})
    assert list(result.as_dict()) == FIELDS
    assert '"stdout": "2\\n"' in result.to_json()
    assert result == ToolResult("2\n", "", None, True, result.execution_time, False)
    assert 0 < result.execution_time < 30


def test_variables_imports_and_functions_persist(tool: PythonTool) -> None:
    tool.call({"code": "import json\nn = 42\ndef twice(x): return 2 * x"})
    assert tool.call({"code": "print(json.dumps({'a': twice(n)}))"}).stdout == '{"a": 84}\n'


def test_arguments_may_be_json_text_or_named(tool: PythonTool) -> None:
    assert tool.call('{"code": "print(1)", "timeout": 5}').stdout == "1\n"
    assert tool.call(b'{"code": "print(1)"}').stdout == "1\n"
    assert tool.call(code="print(1)", timeout=5).stdout == "1\n"
    assert tool.call({"code": "print(1)", "timeout": None}).stdout == "1\n"


def test_an_exception_is_told_with_its_traceback(tool: PythonTool) -> None:
    result = tool.call(
        {"code": "import sys\nprint('warn', file=sys.stderr)\nprint('before')\nraise ValueError('test error')"}
    )
    assert (result.success, result.exception, result.stdout) == (False, "ValueError: test error", "before\n")
    assert result.stderr.startswith("warn\nTraceback")
    assert "line 4" in result.stderr


@pytest.mark.parametrize(
    "code", ["def f(:", "exit()", "raise SystemExit(3)", "raise KeyboardInterrupt", "1/0", "\0", "\ud800"]
)
def test_whatever_code_does_is_a_result(tool: PythonTool, code: str) -> None:
    assert tool.call({"code": code}).success is False
    assert tool.call({"code": "print('alive')"}).stdout == "alive\n"


def test_a_bare_expression_prints_nothing_unless_echo_is_wanted(tool: PythonTool) -> None:
    assert tool.call({"code": "1 + 1"}).stdout == ""
    with PythonTool(echo=True) as echoing:
        assert echoing.call({"code": "print('a', end='')\n[1, 'b']"}).stdout == "a\n[1, 'b']\n"
        assert echoing.call({"code": "None"}).stdout == ""


def test_a_timeout_interrupts_and_keeps_the_variables(tool: PythonTool) -> None:
    result = tool.call({"code": "kept = 5\nprint('so far')\n" + ENDLESS, "timeout": 0.5})
    assert (result.success, result.timed_out, result.stdout) == (False, True, "so far\n")
    assert "longer than 0.5 s" in str(result.exception)
    assert "kept" in str(result.exception)
    assert tool.call({"code": "print(kept)"}).stdout == "5\n"


def test_code_that_heeds_no_interrupt_is_killed_and_the_loss_is_told() -> None:
    with PythonTool() as own:
        own.call({"code": "gone = 5"})
        result = own.call({"code": DEAF, "timeout": 0.5})
        assert (result.success, result.timed_out) == (False, True)
        assert "lost" in str(result.exception)
        after = own.call({"code": "print('gone' in globals())"})
        assert (after.stdout, after.stderr) == ("False\n", "")  # told once


@pytest.mark.parametrize("sandbox", ["monty", "subset"])
def test_a_timeout_ends_code_in_a_sandbox_without_interrupts(sandbox: str) -> None:
    with PythonTool(sandbox) as own:
        assert own.call({"code": "n = 5"}).success
        result = own.call({"code": "for i in range(10**12):\n    n = 6", "timeout": 0.5})
        assert result.success is False
        assert own.call({"code": "print(1)"}).stdout == "1\n"


def test_a_worker_that_dies_is_told_and_the_next_call_has_a_new_one() -> None:
    with PythonTool() as own:
        own.call({"code": "gone = 5"})
        died = own.call({"code": "import os; os._exit(3)"})
        assert died.success is False
        assert "lost" in str(died.exception)
        assert "NameError" in str(own.call({"code": "gone"}).exception)
        assert own.call({"code": "print('new')"}).stdout == "new\n"


BAD = [
    None,
    5,
    True,
    [],
    ["code"],
    "",
    "code",
    "{",
    "[]",
    b"\xff",
    {},
    {"code": None},
    {"code": 5},
    {"code": b"print(1)"},
    {"Code": "1"},
    {"code": "1", "timeout": -1},
    {"code": "1", "timeout": 0},
    {"code": "1", "timeout": True},
    {"code": "1", "timeout": "30"},
    {"code": "1", "timeout": float("nan")},
    {"code": "1", "timeout": float("inf")},
    {"code": "1", "timeout": 10**400},
    {"code": "1", "timeout": 601},
    {"code": "1", "timeout": [1]},
    {"code": "1", "language": "python"},
    {"code": "1", 5: 5},
    {"code": "#" * (MAX_CODE_BYTES + 1)},
    {"code": "é" * (MAX_CODE_BYTES // 2 + 1)},
    pytest.param(object(), id="an object"),
]


@pytest.mark.parametrize("arguments", BAD, ids=lambda value: repr(value)[:40])
def test_bad_arguments_are_a_result_with_the_reason(tool: PythonTool, arguments: object) -> None:
    result = tool.call(arguments)
    assert (result.success, result.timed_out, result.stdout) == (False, False, "")
    assert result.exception
    assert json.loads(result.to_json())["success"] is False


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=8,
)


def _read(arguments: object) -> ToolCall | str:
    try:
        return read_call(arguments)
    except BadCall as error:
        return str(error)


@given(_JSON | st.text() | st.binary() | st.fixed_dictionaries({"code": _JSON, "timeout": _JSON}))
def test_anything_is_a_call_or_is_refused(arguments: object) -> None:
    found = _read(arguments)
    assert found if isinstance(found, str) else 0 < found.timeout_s <= 600


@pytest.mark.parametrize("character", ["e", "é", "€", "😀", "\0"])
def test_output_above_the_bound_is_cut_with_a_note(tool: PythonTool, character: str) -> None:
    result = tool.call(
        {"code": f"import sys\nfor s in (sys.stdout, sys.stderr):\n    print({character!r} * 600_000, file=s)"}
    )
    assert result.success
    for text in (result.stdout, result.stderr):
        assert MAX_OUTPUT_BYTES - 1024 < len(text.encode()) <= MAX_OUTPUT_BYTES
        assert "cut" in text or "dropped" in text


@given(st.text(max_size=3000), st.integers(200, 2000))
def test_a_bounded_text_has_its_head_and_tail(text: str, most: int) -> None:
    cut = cut_to_bytes(text, most)
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert len(cut.encode()) <= most
    assert cut == whole or (cut[:10] == whole[:10] and cut[-10:] == whole[-10:])


def test_a_context_is_there_with_its_functions() -> None:
    with PythonTool(context=Context.from_text("alpha\nbeta\n" * 1000)) as own:
        assert own.call({"code": "print(len(context), ctx.count('beta'))"}).stdout == "11000 1000\n"


def test_packages_can_be_imported() -> None:
    with PythonTool(packages=["jsonschema"]) as own:
        assert own.call({"code": "import jsonschema; print(jsonschema.__name__)"}).stdout == "jsonschema\n"


def test_a_start_that_fails_is_a_warning_and_the_calls_say_why(caplog: pytest.LogCaptureFixture) -> None:
    def unavailable() -> LocalSandbox:
        raise SandboxUnavailable("no sandbox here; install one")

    with caplog.at_level(logging.WARNING), PythonTool(unavailable) as own:
        assert "no sandbox here" in caplog.text
        result = own.call({"code": "print(1)"})
        assert (result.success, result.exception) == (False, "no sandbox here; install one")
        assert own.start() is False


def test_a_start_that_failed_is_tried_again() -> None:
    tries = []

    def second_time() -> LocalSandbox:
        tries.append(1)
        if len(tries) == 1:
            raise SandboxUnavailable("not yet")
        return LocalSandbox(unsafe_no_isolation=True)

    with PythonTool(second_time) as own:
        assert own.call({"code": "print(1)"}).stdout == "1\n"


@pytest.mark.parametrize(
    "wrong",
    [
        {"sandbox": "nope"},
        {"sandbox": "local"},
        {"packages": "numpy"},
        {"timeout_s": 0},
        {"max_timeout_s": -1},
        {"memory_bytes": 0},
        {"context": "", "sandbox": "monty"},
    ],
)
def test_wrong_settings_are_an_error_of_the_library(wrong: dict[str, object]) -> None:
    with pytest.raises(RLMError):
        PythonTool(**wrong)  # type: ignore[arg-type]


def test_a_closed_tool_says_so() -> None:
    own = PythonTool()
    own.close()
    own.close()
    assert own.call({"code": "1"}).exception == "the tool is closed"


async def test_it_can_be_awaited() -> None:
    async with PythonTool() as own:
        assert (await own.acall({"code": "x = 3"})).success
        assert (await own.acall(code="print(x)")).stdout == "3\n"


def test_it_can_be_used_from_any_event_loop_and_thread() -> None:
    with PythonTool() as own:
        own.call({"code": "n = 0"})
        for _ in range(2):
            anyio.run(own.acall, {"code": "n += 1"})
        threads = [threading.Thread(target=own.call, args=({"code": "n += 1"},)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert own.call({"code": "print(n)"}).stdout == "10\n"


async def test_cancellation_interrupts_the_code_and_keeps_its_variables() -> None:
    async with PythonTool() as own:
        await own.acall({"code": "pass"})
        with anyio.move_on_after(0.5) as scope:
            await own.acall({"code": "kept = 5\n" + ENDLESS})
        assert scope.cancelled_caught
        assert (await own.acall({"code": "print(kept)"})).stdout == "5\n"


def test_close_ends_a_call_that_is_under_way() -> None:
    own = PythonTool()
    own.start()
    results: list[ToolResult] = []
    thread = threading.Thread(target=lambda: results.append(own.call({"code": ENDLESS})))
    thread.start()
    time.sleep(0.5)
    own.close()
    thread.join(20)
    assert results[0].success is False
