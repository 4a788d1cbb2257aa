"""The names that docs/coming-from.md gives are those there are."""

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import rlmbox
import rlmbox.testing
from rlmbox import RLM, Answer, Context, Limits, Session, errors

PAGE = (Path(__file__).parents[1] / "docs" / "coming-from.md").read_text("utf-8")
SECTIONS = re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
RIGHT = [
    (heading, span)
    for heading, body in SECTIONS
    for row in re.findall(r"^\| (?!there|---)(.+) \|$", body, re.MULTILINE)
    for span in re.findall(r"`([^`]+)`", re.split(r" \| ", row)[-1])
]
ARGUMENTS = {*inspect.signature(RLM).parameters, *inspect.signature(RLM.ask).parameters}
FIELDS = {field.name for field in dataclasses.fields(Limits)}
PLACES = {"rlm": RLM, "session": Session, "answer": Answer, "Context": Context}
OPTIONS = {"--trace", "--otel"}


def missing(span: str) -> list[str]:
    """List the names of a piece of code that rlmbox does not have."""
    wrong = [name for name in re.findall(r"(\w+)=", span) if name not in ARGUMENTS | FIELDS | {"depths"}]
    for limits in re.findall(r"Limits\(([\w, ]+)\)", span):
        wrong += [name for name in limits.split(", ") if name not in FIELDS]
    for place, name in re.findall(r"\b(rlm|session|answer|Context)\.(\w+)", span):
        fields = {field.name for field in dataclasses.fields(Answer)} if place == "answer" else set()
        if not hasattr(PLACES[place], name) and name not in fields:
            wrong.append(f"{place}.{name}")
    for name in re.findall(r"\b(rlmbox\.testing\.\w+)", span):
        wrong += [] if hasattr(rlmbox.testing, name.rpartition(".")[2]) else [name]
    for name in re.findall(r"^(\w+(?:Exceeded|Error|Crashed))$", span):
        wrong += [] if hasattr(errors, name) or name == "ImportError" else [name]
    for name in re.findall(r"^(RLM|Tool|PythonTool|load_from_trace|Limits)\b", span):
        wrong += [] if name in rlmbox.__all__ else [name]
    wrong += [name for name in re.findall(r"--[a-z]+", span) if name not in OPTIONS]
    return wrong


@pytest.mark.parametrize(("heading", "span"), RIGHT)
def test_a_name_that_the_page_gives_is_there(heading: str, span: str) -> None:
    assert missing(span) == []


def test_a_name_that_is_not_there_would_be_found() -> None:
    for wrong in ("RLM(modle=…)", "Limits(max_turn)", "rlm.query(text)", "TurnsExceeded", "nothing=", "--tracing"):
        assert missing(wrong), wrong


@pytest.mark.parametrize("name", ["auto_finalize_var", "fallback_code", "on_cost_update", "require_repl_before_final"])
def test_the_same_names_are_the_same(name: str) -> None:
    assert name in ARGUMENTS
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("name", ["plan_next_step", "inject_rejection", "execute_step", "final_answer", "is_finished"])
def test_the_steps_of_a_session_have_the_same_names(name: str) -> None:
    assert hasattr(Session, name)
    assert name in PAGE
