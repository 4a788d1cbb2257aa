"""What steers a run is checked where it is given, and a policy cannot be gone around by another name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlmbox import RLM, Approval, Proposal
from rlmbox.cli.asking import Settings
from rlmbox.errors import ConfigError
from rlmbox.testing import ScriptedModel
from runs import TEXT, repl, rlm


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"invalid_response_limit": "x"}, "invalid_response_limit must be a whole number"),
        ({"invalid_response_limit": 0}, "invalid_response_limit must be a whole number"),
        ({"invalid_response_limit": True}, "invalid_response_limit must be a whole number"),
        ({"fallback_code": 5}, "fallback_code is Python code"),
        ({"fallback_code": " "}, "fallback_code is Python code"),
        ({"validate": 5}, "validate is a function"),
        ({"validate": "check"}, "validate is a function"),
        ({"validate": [5]}, "validate is a function"),
        ({"validate": lambda: None}, "give its function a parameter"),
        ({"approve": "always"}, "approve is a function"),
        ({"approve": 5}, "approve is a function"),
        ({"profile": 5}, "a profile is one of deterministic-first, "),
        ({"profile": "hybird"}, "there is no profile 'hybird'; there are"),
        ({"prompts": 5}, "prompts is a table of texts"),
        ({"prompts": {"ending": "x"}}, "there is no part 'ending' of the prompt; there are system, task"),
        ({"max_history_tokens": 0}, "max_history_tokens must be a whole number"),
        ({"compaction": "short"}, "there is no compaction 'short'; there are digest, model"),
        ({"direct_below_chars": -1}, "direct_below_chars must be a whole number"),
    ],
)
def test_a_wrong_option_is_one_error_before_anything_is_asked(option: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        RLM(ScriptedModel([]), **option)


def test_the_summary_of_a_profile_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("summary = 5\n")
    with pytest.raises(ConfigError, match="summary is a text"):
        RLM(ScriptedModel([]), profile=tmp_path / "mine.toml")


ASKS_OF = {
    "a call": (["x = llm_query('a')", "print(x)"], [0]),
    "another name": (["ask_it = llm_query", "x = ask_it('a')", "y = 1"], [0, 1]),
    "a function of its own": (["def f(t):\n    return llm_query(t)", "y = 1", "print(f('a'))"], [0, 2]),
    "a name for such a function": (["def f(t):\n    return llm_query(t)", "g = f", "g('a')"], [0, 1, 2]),
    "a lambda": (["f = lambda t: sub_llm(t)", "f('a')"], [0, 1]),
    "map": (["x = list(map(llm_query, ['a']))", "y = 1"], [0]),
    "a class": (["class A:\n    def f(self):\n        return rlm_query('a')", "A().f()"], [0, 1]),
    "a loop over functions": (["for f in [llm_query]:\n    pass", "f('a')"], [0, 1]),
    "globals": (["globals()['llm_' + 'query']('a')"], [0]),
    "exec": (["exec('llm' + '_query(1)')"], [0]),
    "a word in a text": (["print('llm_query is a name')"], []),
    "what was asked before": (["x = llm_query('a')\ny = len(x)", "print(x, y)"], [0]),
}


@pytest.mark.parametrize("case", ASKS_OF)
async def test_on_subcalls_asks_whatever_name_code_spends_by(case: str) -> None:
    cells, asked_of = ASKS_OF[case]
    seen: list[str] = []

    def decide(proposal: Proposal) -> bool:
        seen.append(proposal.code_block)
        return True

    asked = rlm(*map(repl, cells), "FINAL(ok)", sub=["a"] * 5, approve=Approval(decide, "on_subcalls"), sandbox="jail")
    await asked.aask("?", TEXT)
    assert seen == [cells[place] for place in asked_of]


@pytest.mark.parametrize("make", [lambda: "x", lambda: 5])
def test_an_approval_asks_a_function(make: Callable[[], Any]) -> None:
    with pytest.raises(ConfigError, match="approve is a function"):
        Approval(make(), "first")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON"),
        ("{no", "is not JSON"),
        ("[1]", "is not a JSON Schema.*list"),
        ('"x"', "is not a JSON Schema.*str"),
    ],
)
def test_a_wrong_schema_file_is_one_line_that_names_it(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "answer.json").write_text(text)
    with pytest.raises(ConfigError, match=rf"answer\.json {says}"):
        Settings(schema=tmp_path / "answer.json").returns()
