"""Arguments of a wrong kind: one error of the library's that names the argument, before anything is asked."""

import pytest

from rlmbox import RLM, CellLimits, Limits, Pace, RetryPolicy
from rlmbox.errors import ConfigError
from rlmbox.testing import ScriptedModel
from runs import TEXT

WRONG: dict[str, object] = {
    "api_key": 5,
    "base_url": b"http://localhost",
    "windows": "128000",
    "prices": 5,
    "limits": {"max_turns": 3},
    "retries": 3,
    "fallback_when": "empty",
    "request_timeout_s": "60",
    "cache": ["folder"],
    "sandbox": None,
    "packages": "pandas",
    "hooks": print,
    "telemetry": "on",
    "store": 5,
    "evidence_dir": True,
    "seed": "x",
    "tools": print,
    "retriever": {},
    "compaction": [],
    "guard": None,
    "max_history_tokens": "9000",
    "direct_below_chars": -1,
    "invalid_response_limit": True,
}


@pytest.mark.parametrize("name", WRONG)
def test_an_argument_of_a_wrong_kind_is_named_when_the_rlm_is_made(name: str) -> None:
    given = {"sandbox": "monty", name: WRONG[name]}
    with pytest.raises(ConfigError, match=name):
        RLM(ScriptedModel([]), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("hook", ["print", None])
def test_a_hook_that_cannot_be_called_is_refused_before_anything_is_asked(hook: object) -> None:
    model = ScriptedModel(["FINAL(x)"])
    with pytest.raises(ConfigError, match="a hook is a function of an event"):
        RLM(model, sandbox="monty", hooks=[hook]).ask("?", TEXT)  # type: ignore[list-item]
    assert not model.requests


def test_a_function_that_makes_no_sandbox_is_refused() -> None:
    with pytest.raises(ConfigError, match="a function that makes a sandbox, not int"):
        RLM(ScriptedModel([]), sandbox=lambda: 5).ask("?", TEXT)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("name", "value"),
    [("limits", {"max_turns": 3}), ("inputs", "x = 1"), ("run_id", 5), ("returns", "no type"), ("returns", "")],
)
def test_an_argument_of_a_question_of_a_wrong_kind_is_refused(name: str, value: object) -> None:
    rlm = RLM(ScriptedModel([]), sandbox="monty")
    with pytest.raises(ConfigError, match="name" if name == "run_id" else name if name != "returns" else "answers"):
        rlm.ask("?", TEXT, **{name: value})  # type: ignore[arg-type]


async def test_limits_of_a_question_of_a_session_are_limits() -> None:
    async with RLM(ScriptedModel([]), sandbox="monty").session(TEXT) as session:
        with pytest.raises(ConfigError, match="limits is a Limits"):
            await session.ask("?", limits=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("run_id", [5, None, ["x"]])
@pytest.mark.parametrize("verb", ["resume", "replay", "fork"])
def test_the_name_of_a_recorded_run_is_a_text(verb: str, run_id: object) -> None:
    rlm = RLM(ScriptedModel([]), sandbox="monty")
    more = {"at": 1} if verb == "fork" else {}
    with pytest.raises(ConfigError, match="run_id is a text"):
        getattr(rlm, verb)(run_id, **more)


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (lambda value: Limits(max_tokens=value), (0, True, "9")),
        (lambda value: Limits(max_seconds=value), (0, True, "9", float("nan"))),
        (lambda value: Limits(subcall_timeout_s=value), (None, 0, True)),
        (lambda value: Limits(observation_chars=value), (None, "9")),
        (lambda value: Limits(cell=value), (5, {})),
        (lambda value: Limits(cell=CellLimits(cell_timeout_s=value)), (0, -1, "5", float("inf"), None)),
        (lambda value: Limits(cell=CellLimits(memory_bytes=value)), (0, -1, 1.5, "1 GB", True)),
        (lambda value: Limits(cell=CellLimits(host_calls=value)), (-1, "9", True)),
        (lambda value: RetryPolicy(attempts=value), (0, "3", None, True)),
        (lambda value: RetryPolicy(open_s=value), (-1, "3", None, float("nan"))),
        (lambda value: RetryPolicy(attempt_timeout_s=value), (0, "3", True)),
        (lambda value: Pace(max_concurrency=value), (0, "3", 1.5, True)),
    ],
)
def test_a_limit_that_is_no_number_in_its_range_is_refused(make, values) -> None:
    for value in values:
        with pytest.raises(ConfigError, match=r"must be|cell is a CellLimits"):
            make(value)
