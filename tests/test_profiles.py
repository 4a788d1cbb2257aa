"""Profiles: ways to go about a question, as data that change what a run is told and may use."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rlmbox import RLM, Limits
from rlmbox.cli.app import app
from rlmbox.errors import ConfigError
from rlmbox.loop.profiles import PROFILES
from rlmbox.testing import ScriptedModel
from runs import TEXT, repl, rlm, said_to

PAGE = (Path(__file__).parents[1] / "docs" / "steering.md").read_text("utf-8")


@pytest.mark.parametrize("name", PROFILES)
async def test_a_profile_is_in_the_prompt_of_the_root_and_of_children(name: str) -> None:
    root = ScriptedModel([repl("a = llm_query('x')\nFINAL(rlm_query('child?', 'a text'))")], name="root")
    sub = ScriptedModel(["x", repl("FINAL(llm_query('y'))"), "y"], name="sub")
    assert (await RLM(root, sub_model=sub, profile=name, sandbox="monty").aask("?", TEXT)).text == "y"
    strategy = PROFILES[name].prompts["strategy"]
    assert strategy in root.requests[0][0].content
    assert strategy in sub.requests[1][0].content


def test_its_limits_narrow_and_never_widen() -> None:
    assert rlm(profile="deterministic-first").limits.max_subcalls == 20
    assert rlm(profile="deterministic-first", limits=Limits(max_subcalls=5)).limits.max_subcalls == 5
    assert rlm(profile="semantic-batches", limits=Limits(max_turns=100)).limits.max_turns == 20


async def test_its_rules_hold() -> None:
    asked = rlm("FINAL(ok)", repl("a = llm_query('x')"), "FINAL(ok)", sub=["x"], profile="verify")
    assert (await asked.aask("?", TEXT)).turns == 3
    assert "No code has run yet" in said_to(asked.model, 1)


async def test_what_the_user_says_comes_before_it() -> None:
    asked = rlm(repl("FINAL(1)"), profile="hybrid", prompts={"strategy": "My way."})
    await asked.aask("?", TEXT)
    prompt = asked.model.requests[0][0].content  # type: ignore[attr-defined]
    assert "My way." in prompt
    assert PROFILES["hybrid"].prompts["strategy"] not in prompt


async def test_a_file_of_the_users_own_is_a_profile(tmp_path: Path) -> None:
    path = tmp_path / "audit.toml"
    [text] = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    path.write_text(text, encoding="utf-8")
    asked = rlm(repl("FINAL(1)"), profile=path)
    assert (asked.limits.max_turns, asked.limits.max_subcalls) == (12, 40)
    await asked.aask("?", TEXT)
    assert "Compute every figure twice" in asked.model.requests[0][0].content  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("limits = 3", "limits is a table"),
        ("[limits]\nmax_turn = 3", "there is no limit 'max_turn'; there are concurrency"),
        ("[limits]\nmax_turns = 0", "max_turns must be a whole number"),
        ("[prompts]\nstrat = 'x'", "no part 'strat'"),
        ("colour = 'red'", "a profile has no 'colour'; it has name"),
        ("direct_below_chars = -1", "direct_below_chars must be a whole number"),
        ("require_repl_before_final = 1", "is true or false"),
        ("name = ", "is not TOML"),
    ],
)
def test_a_file_that_is_no_profile_is_one_line(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(says)):
        rlm(profile=path)


@pytest.mark.parametrize("given", ["hybird", "nothing.toml"])
def test_a_profile_that_there_is_not_is_an_error_that_helps(given: str) -> None:
    with pytest.raises(ConfigError, match=r"there are deterministic-first|cannot be read"):
        rlm(profile=given)


def test_the_command_lists_them() -> None:
    shown = CliRunner().invoke(app, ["profiles"])
    assert shown.exit_code == 0
    assert all(name in shown.output for name in PROFILES)
    listed: dict[str, Any] = json.loads(CliRunner().invoke(app, ["profiles", "--json"]).output)
    assert listed["deterministic-first"]["limits"] == {"max_subcalls": 20}


async def test_callables_of_the_user_that_raise_are_an_error_of_the_users() -> None:
    def broken(_: object) -> None:
        raise KeyError("x")

    with pytest.raises(ConfigError, match="validate raised KeyError"):
        await rlm("FINAL(ok)", validate=broken).aask("?", TEXT)
    with pytest.raises(ConfigError, match="approve raised KeyError"):
        await rlm(repl("1"), approve=broken).aask("?", TEXT)
    with pytest.raises(ConfigError, match="validate returns None or what is wrong"):
        await rlm("FINAL(ok)", validate=lambda _: True).aask("?", TEXT)
