"""People, tools, types and rules in the loop: what they change, seen from outside."""

import dataclasses
import enum
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from rlmbox import RLM, Approval, Limits, Proposal, Replace, Tool
from rlmbox.errors import AnswerRejected, ConfigError, Stalled
from rlmbox.events import Event
from rlmbox.record.journal import MemoryStore
from rlmbox.testing import ScriptedModel
from runs import TEXT, repl, rlm, said_to

SANDBOXES = ["monty", "jail"]


# Tools.
def lookup_customer(name: str, limit: int = 3) -> dict[str, Any]:
    """Return what is known of a customer.

    The second paragraph is for readers of the code.
    """
    return {"name": name, "orders": list(range(limit))}


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_code_calls_a_tool_as_a_function(sandbox: str) -> None:
    asked = rlm(repl("FINAL(lookup_customer('Ada', limit=2)['orders'])"), tools=[lookup_customer], sandbox=sandbox)
    assert (await asked.aask("?", TEXT)).value == [0, 1]
    prompt = asked.model.requests[0][0].content  # type: ignore[attr-defined]
    assert "`lookup_customer(name: str, limit: int = 3) -> dict[str, Any]`: Return what is known" in prompt
    assert "second paragraph" in prompt


async def test_an_async_tool_is_awaited() -> None:
    async def slow(x: int) -> int:
        """Double."""
        await anyio.sleep(0.01)
        return 2 * x

    assert (await rlm(repl("FINAL(slow(4))"), tools=[slow]).aask("?", TEXT)).value == 8


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("lookup_customer()", "name"),
        ("lookup_customer('a', limit='many')", "limit"),
        ("lookup_customer('a', colour=3)", "colour"),
    ],
)
async def test_wrong_arguments_are_an_error_of_the_cell(call: str, says: str) -> None:
    asked = rlm(repl(call), "FINAL(ok)", tools=[lookup_customer])
    await asked.aask("?", TEXT)
    assert "TypeError" in said_to(asked.model)
    assert says in said_to(asked.model)


async def test_an_exception_of_a_tool_is_an_error_of_the_cell() -> None:
    def broken() -> None:
        """Break."""
        raise LookupError("no such customer")

    asked = rlm(repl("broken()"), "FINAL(ok)", tools=[broken])
    await asked.aask("?", TEXT)
    assert "no such customer" in said_to(asked.model)


async def test_a_tool_that_hangs_is_ended_at_its_time() -> None:
    async def hangs() -> None:
        """Hang."""
        await anyio.sleep(600)

    asked = rlm(repl("hangs()"), "FINAL(ok)", tools=[Tool(hangs, timeout_s=0.1)])
    with anyio.fail_after(240):
        await asked.aask("?", TEXT)
    assert "longer than 0.1 s" in said_to(asked.model)


async def test_what_cannot_cross_is_refused_with_the_reason() -> None:
    def handle() -> object:
        """Return an open thing."""
        return object()

    asked = rlm(repl("handle()"), "FINAL(ok)", tools=[handle])
    await asked.aask("?", TEXT)
    assert "cannot cross" in said_to(asked.model)


async def test_secrets_reach_the_tool_and_neither_model_nor_record() -> None:
    seen: list[str] = []

    def search(query: str, api_key: str) -> str:
        """Search."""
        seen.append(api_key)
        return f"found {query}"

    store = MemoryStore()
    asked = rlm(repl("FINAL(search('x'))"), tools=[Tool(search, secrets={"api_key": "s3cret-value"})], store=store)
    answer = await asked.aask("?", TEXT)
    assert seen == ["s3cret-value"]
    assert answer.value == "found x"
    everything = repr(await store.read(answer.run_id)) + repr(asked.model.requests)  # type: ignore[attr-defined]
    assert "s3cret" not in everything
    assert "api_key" not in everything


async def test_a_tool_may_be_for_some_depths_only() -> None:
    root = ScriptedModel([repl("FINAL(rlm_query('child?'))")], name="root")
    sub = ScriptedModel([repl("FINAL(twice(21))")], name="sub")

    def twice(x: int) -> int:
        """Double."""
        return 2 * x

    answer = await RLM(root, sub_model=sub, tools=[Tool(twice, depths={1})]).aask("?", TEXT)
    assert answer.value == "42"
    assert "twice" not in root.requests[0][0].content
    assert "twice" in sub.requests[0][0].content


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        (Tool(lookup_customer, name="context"), "context"),
        (Tool(lookup_customer, name="no name"), "name"),
        (Tool(lookup_customer, secrets={"key": 1}), "no parameter"),
        (Tool(lookup_customer, name="llm_query"), "llm_query"),
    ],
)
async def test_a_tool_that_cannot_be_given_is_an_error_before_anything_is_asked(tool: Tool, says: str) -> None:
    model = ScriptedModel(["FINAL(ok)"])
    with pytest.raises(ConfigError, match=says):
        await RLM(model, tools=[tool]).aask("?", TEXT)
    assert not model.requests


# A person in the loop.
async def test_code_runs_only_when_somebody_lets_it() -> None:
    seen: list[tuple[str, tuple[str, ...]]] = []

    def decide(proposal: Proposal) -> bool | str:
        seen.append((proposal.code_block, proposal.calls))
        return True if len(seen) > 1 else "do not print everything"

    asked = rlm(repl("print(context)"), repl("FINAL(len(context))"), approve=decide)
    answer = await asked.aask("?", TEXT)
    assert answer.value == len(TEXT)
    assert seen == [("print(context)", ("print",)), ("FINAL(len(context))", ("FINAL", "len"))]
    assert "do not print everything" in said_to(asked.model)
    assert "penalty" not in said_to(asked.model)


async def test_replaced_code_is_what_runs_and_the_model_is_told() -> None:
    async def decide(proposal: Proposal) -> Replace | bool:
        return Replace("x = 2\nprint('mine')") if "x = 1" in proposal.code_block else True

    asked = rlm(f"{repl('x = 1')}\nFINAL_VAR(x)", "FINAL_VAR(x)", approve=decide)
    answer = await asked.aask("?", TEXT)
    assert answer.value == 2
    assert "mine" in said_to(asked.model)
    assert "replaced your code" in said_to(asked.model)
    assert answer.trajectory[0].cells[0].by == "person"


@pytest.mark.parametrize(("policy", "times"), [("always", 3), ("first", 1), ("on_subcalls", 1), ("never", 0)])
async def test_a_policy_says_when_somebody_is_asked(policy: str, times: int) -> None:
    seen: list[Proposal] = []

    def decide(proposal: Proposal) -> bool:
        seen.append(proposal)
        return True

    asked = rlm(
        repl("a = 1"),
        repl("b = llm_query('x')"),
        repl("c = 3"),
        "FINAL_VAR(c)",
        sub=["x"],
        approve=Approval(decide, policy),
    )
    await asked.aask("?", TEXT)
    assert len(seen) == times


async def test_decisions_are_recorded() -> None:
    seen: list[Event] = []
    await rlm(repl("a = 1"), "FINAL(ok)", approve=lambda _: True, hooks=[seen.append]).aask("?", TEXT)
    kinds = [event.kind for event in seen if event.kind.startswith("approval")]
    assert kinds == ["approval_asked", "approval_given"]


async def test_a_decision_that_is_none_is_an_error() -> None:
    with pytest.raises(ConfigError, match="approve returns"):
        await rlm(repl("a = 1"), approve=lambda _: None).aask("?", TEXT)


async def test_a_session_is_taken_step_by_step() -> None:
    async with rlm(repl("x = 1"), repl("x = 5"), "FINAL_VAR(x)").session(TEXT, question="?") as session:
        first = await session.plan_next_step()
        assert (first.has_code, first.code_block, first.left["turns"]) == (True, "x = 1", 29)
        first.override_code("x = 7")
        assert (await session.execute_step(first)).status == "continue"
        await session.plan_next_step()
        session.inject_rejection("not that")
        with pytest.raises(ConfigError, match="last proposal"):
            await session.execute_step(first)
        assert session.task is not None
        assert session.task.proposal is not None
        await session.execute_step(session.task.proposal)
        while not session.is_finished:
            await session.execute_step(await session.plan_next_step())
        assert session.final_answer is not None
        assert session.final_answer.value == 7


# Typed answers.
class Clause(BaseModel):
    title: str
    percent: float


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Row(TypedDict):
    name: str


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("returns", "given", "value"),
    [
        (list[int], "[1, 2]", [1, 2]),
        (Clause, "{'title': 'Late', 'percent': 5}", Clause(title="Late", percent=5)),
        (list[Clause], "[{'title': 'Late', 'percent': 5}]", [Clause(title="Late", percent=5)]),
        (Point, "{'x': 3}", Point(3)),
        (Row, "{'name': 'a'}", {"name": "a"}),
        (int, "7", 7),
        (bool, "True", True),
        (Colour, "'red'", Colour.RED),
        ({"type": "integer", "minimum": 3}, "4", 4),
        (dict[str, list[float]], "{'a': [1, 2.5]}", {"a": [1.0, 2.5]}),
    ],
)
async def test_an_answer_has_the_type_that_was_asked_for(returns: Any, given: str, value: object) -> None:
    asked = rlm(repl(f"FINAL({given})"))
    answer = await asked.aask("?", TEXT, returns=returns)
    assert answer.value == value
    assert type(answer.value) is type(value)
    assert "JSON Schema" in said_to(asked.model, 0)


async def test_an_answer_in_text_is_read_as_the_type() -> None:
    assert (await rlm('FINAL({"x": 3})').aask("?", TEXT, returns=Point)).value == Point(3)
    assert (await rlm("FINAL(42)").aask("?", TEXT, returns=int)).value == 42


async def test_an_answer_of_another_type_goes_back_with_the_reason() -> None:
    asked = rlm(repl("FINAL({'title': 'Late'})"), repl("FINAL({'title': 'Late', 'percent': 5})"))
    assert (await asked.aask("?", TEXT, returns=Clause)).value == Clause(title="Late", percent=5)
    assert "percent: Field required" in said_to(asked.model)


async def test_answers_are_not_sent_back_for_ever() -> None:
    with pytest.raises(AnswerRejected, match="4 answers") as raised:
        await rlm(*[repl("FINAL('no number')")] * 9).aask("?", TEXT, returns=int)
    assert raised.value.partial is not None
    assert raised.value.partial.turns == 4


@pytest.mark.parametrize("returns", [{"type": "nothing"}, Callable[[int], int], {"type": "string", "pattern": "("}])
async def test_a_type_that_cannot_be_checked_is_an_error_before_anything_is_asked(returns: Any) -> None:
    asked = rlm("FINAL(x)")
    with pytest.raises(ConfigError):
        await asked.aask("?", TEXT, returns=returns)
    assert not asked.model.requests  # type: ignore[attr-defined]


async def test_json_of_a_sub_call_must_fit_its_schema() -> None:
    code = "FINAL(llm_query_json('how many?', schema={'type': 'integer'}))"
    asked = rlm(repl(code), sub=['{"oops": 1}', "4"])
    assert (await asked.aask("?", TEXT)).value == 4
    assert "does not fit the schema" in asked.sub_model.requests[1][-1].content  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "schema", [{"$ref": "http://127.0.0.1:9/x"}, {"$ref": "#"}, {"patternProperties": {"(a+)+$": {}}}]
)
async def test_a_hostile_schema_is_an_error_of_the_cell(schema: dict[str, Any]) -> None:
    asked = rlm(repl(f"llm_query_json('x', schema={schema!r})"), "FINAL(ok)", sub=["1", "2"])
    with anyio.fail_after(240):
        assert (await asked.aask("?", TEXT)).text == "ok"
    assert "ValueError" in said_to(asked.model)


# Rules.
async def test_a_validator_s_reason_goes_back_to_the_model() -> None:
    async def check(answer: Any) -> str | None:
        return None if "May" in answer.text else "name the month"

    asked = rlm("FINAL(soon)", "FINAL(in May)", validate=check)
    assert (await asked.aask("?", TEXT)).text == "in May"
    assert "name the month" in said_to(asked.model)


async def test_no_answer_counts_before_code_has_run() -> None:
    asked = rlm("FINAL(a guess)", repl("x = 'looked'"), "FINAL_VAR(x)", require_repl_before_final=True)
    assert (await asked.aask("?", TEXT)).text == "looked"
    assert "No code has run" in said_to(asked.model, 1)


async def test_no_answer_counts_before_another_model_was_asked() -> None:
    asked = rlm(
        repl("x = 1"), "FINAL_VAR(x)", repl("FINAL(llm_query('y'))"), sub=["read"], require_subcall_before_final=True
    )
    assert (await asked.aask("?", TEXT)).text == "read"


async def test_the_same_failing_cell_is_told_at_two_and_ends_at_four() -> None:
    asked = rlm(*[repl("1/0")] * 9, limits=Limits(last_answer=False))
    with pytest.raises(Stalled, match="4 times"):
        await asked.aask("?", TEXT)
    assert len(asked.model.requests) == 4  # type: ignore[attr-defined]
    assert "same cell failed" in said_to(asked.model, 2)


async def test_replies_that_lead_nowhere_end_the_question() -> None:
    asked = rlm(*[""] * 30, limits=Limits(last_answer=False))
    with pytest.raises(Stalled, match="neither code nor an answer"):
        await asked.aask("?", TEXT)
    assert len(asked.model.requests) == 4  # type: ignore[attr-defined]


async def test_fallback_code_runs_where_the_model_has_none() -> None:
    asked = rlm(*["hm"] * 4, "FINAL_VAR(found)", fallback_code="found = len(context)")
    assert (await asked.aask("?", TEXT)).value == len(TEXT)


@pytest.mark.parametrize(
    "final", ["FINAL()", 'FINAL("")', repl("FINAL()"), repl("FINAL('  ')"), repl("x = None\nFINAL(x)")]
)
async def test_an_empty_answer_is_sent_back(final: str) -> None:
    asked = rlm(final, "FINAL(May)")
    assert (await asked.aask("?", TEXT)).text == "May"


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_fields_are_an_answer(sandbox: str) -> None:
    asked = rlm(repl("SUBMIT(total=3, name='x')"), sandbox=sandbox)
    assert (await asked.aask("?", TEXT)).value == {"total": 3, "name": "x"}


# Instructions and prompts.
async def test_instructions_reach_the_root_and_children() -> None:
    root = ScriptedModel([repl("FINAL(rlm_query('child?'))")], name="root")
    sub = ScriptedModel(["FINAL(ok)"], name="sub")
    await RLM(root, sub_model=sub, instructions="Answer in French.").aask("?", TEXT)
    assert all("Answer in French." in model.requests[0][0].content for model in (root, sub))


@pytest.mark.parametrize("given", [{"root": "In French."}, {"children": "In Dutch."}, {"root": "R", "children": "C"}])
async def test_instructions_may_differ_for_root_and_children(given: dict[str, str]) -> None:
    root = ScriptedModel([repl("FINAL(rlm_query('child?'))")], name="root")
    sub = ScriptedModel(["FINAL(ok)"], name="sub")
    await RLM(root, sub_model=sub, instructions=given).aask("?", TEXT)
    for model, name in ((root, "root"), (sub, "children")):
        _, _, told = model.requests[0][0].content.partition("Instructions of the user\n")
        assert told == given.get(name, "")


@pytest.mark.parametrize("given", [{"roots": "x"}, {"root": 3}, 3])
def test_instructions_that_are_none_are_an_error_at_once(given: Any) -> None:
    with pytest.raises(ConfigError, match="instructions"):
        rlm("FINAL(ok)", instructions=given)


async def test_a_part_of_the_prompt_can_be_replaced() -> None:
    asked = rlm("FINAL(ok)", prompts={"system": "You count words."})
    await asked.aask("?", TEXT)
    assert asked.model.requests[0][0].content == "You count words."  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="there are system, task"):
        rlm("FINAL(ok)", prompts={"sistem": "x"})
