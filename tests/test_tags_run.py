"""Code in a final tag: who sees it before it runs, how often it runs, and where it never runs."""

import pytest

from rlmbox import RLM, Approval, Limits, Proposal, Replace
from rlmbox.errors import MaxTurnsExceeded
from rlmbox.record.journal import MemoryStore
from rlmbox.testing import ScriptedModel
from runs import TEXT, repl, rlm, said_to

CALLS = ["FINAL(tool('a'))", "FINAL([tool(x) for x in 'ab'])", "FINAL_VAR(tool('a'))"]


class Counted:
    """A tool that has an effect."""

    def __init__(self, result: str = "done") -> None:
        self.result = result
        self.calls: list[str] = []

    def tool(self, x: str) -> str:
        """Do it."""
        self.calls.append(x)
        return self.result


@pytest.mark.parametrize("tag", CALLS)
async def test_an_approver_sees_a_call_in_a_final_tag_and_rejects_it(tag: str) -> None:
    seen: list[str] = []

    def approve(proposal: Proposal) -> bool | str:
        seen.append(proposal.code_block)
        return "tool(" not in proposal.code_block or "not that tool"

    counted = Counted()
    asked = rlm(repl("x = 1"), tag, "FINAL(words)", tools=[counted.tool], approve=approve)
    assert (await asked.aask("?", TEXT)).text == "words"
    assert seen[0] == "x = 1"
    assert len(seen) == 2
    assert "tool(" in seen[1]
    assert counted.calls == []
    assert "not that tool" in said_to(asked.model)


@pytest.mark.parametrize("tag", ["FINAL(x)", "FINAL(x['a'])", "FINAL_VAR(x)", "FINAL(the sum (as asked) is 3)"])
async def test_nobody_is_asked_about_a_tag_that_calls_nothing(tag: str) -> None:
    seen: list[str] = []
    approve = lambda proposal: not seen.append(proposal.code_block)  # type: ignore[func-returns-value]  # noqa: E731
    await rlm(repl("x = {'a': 3}"), tag, approve=approve).aask("?", TEXT)
    assert seen == ["x = {'a': 3}"]


@pytest.mark.parametrize("reply", ["FINAL(llm_query('a'))", repl("""FINAL_VAR("llm_query('a')")""")])
async def test_an_approver_of_sub_calls_is_asked_about_one_in_a_tag(reply: str) -> None:
    sub = ScriptedModel(["paid"], name="sub")
    approval = Approval(lambda _: False, "on_subcalls")
    asked = rlm(repl("x = 1"), reply, "FINAL(words)", sub=sub, approve=approval)
    assert (await asked.aask("?", TEXT)).text == "words"
    assert not sub.requests


async def test_other_code_runs_in_place_of_a_tag() -> None:
    counted = Counted()
    asked = rlm(
        repl("x = 1"),
        "FINAL(tool('a'))",
        tools=[counted.tool],
        approve=lambda proposal: Replace("FINAL(7)") if "tool" in proposal.code_block else True,
    )
    assert (await asked.aask("?", TEXT)).value == 7
    assert counted.calls == []


@pytest.mark.parametrize("result", ["<text of 5,000 characters>", "<list_iterator object>"])
@pytest.mark.parametrize("tag", ["FINAL(tool('a'))", "FINAL(iter([tool('a')]))", "FINAL_VAR(map(tool, ['a']))"])
async def test_a_call_in_a_tag_is_made_once(tag: str, result: str) -> None:
    counted = Counted(result)
    answer = await rlm(repl("x = 1"), tag, tools=[counted.tool]).aask("?", TEXT)
    assert counted.calls == ["a"]
    assert answer.value in (result, [result])


async def test_a_tag_of_two_lines_with_a_comment_is_one_expression() -> None:
    answer = await rlm(repl("x = [1, 2]"), "FINAL(sorted(x,  # as asked\n  reverse=True))").aask("?", TEXT)
    assert answer.value == [2, 1]


@pytest.mark.parametrize("options", [{"strict": True}, {"approve": lambda _: True}, {}])
@pytest.mark.parametrize("tag", [*CALLS, "FINAL(f\"{tool('a')}\")"])
async def test_the_last_reply_calls_no_host_function(tag: str, options: dict[str, object]) -> None:
    counted = Counted()
    asked = rlm(repl("x = 1"), tag, tools=[counted.tool], limits=Limits(max_turns=1), **options)
    with pytest.raises(MaxTurnsExceeded):
        await asked.aask("?", TEXT)
    assert counted.calls == []


LATER = "later = (tool(x) for x in 'ab')\ndef compute():\n    return tool('a')"


@pytest.mark.parametrize(("options", "turns"), [({}, 1), ({"approve": lambda _: True}, 1), ({"strict": True}, 2)])
@pytest.mark.parametrize("tag", ["FINAL_VAR(later)", "FINAL(compute())"])
async def test_a_call_that_an_earlier_cell_put_off_is_not_made_where_a_tag_may_make_none(
    tag: str, options: dict[str, object], turns: int
) -> None:
    counted = Counted()
    asked = rlm(repl(LATER), *[tag] * turns, tools=[counted.tool], limits=Limits(max_turns=turns), **options)
    with pytest.raises(MaxTurnsExceeded):
        await asked.aask("?", TEXT)
    assert counted.calls == []


async def test_a_call_that_an_earlier_cell_put_off_is_made_for_an_answer() -> None:
    counted = Counted()
    assert (await rlm(repl(LATER), "FINAL_VAR(later)", tools=[counted.tool]).aask("?", TEXT)).value == ["done"] * 2


@pytest.mark.parametrize("tag", ['FINAL(f"{x}")', "FINAL_VAR(x['a'])", 'FINAL(", ".join(x))'])
async def test_a_tag_is_never_evaluated_under_strict(tag: str) -> None:
    limits = Limits(max_turns=1)
    with pytest.raises(MaxTurnsExceeded) as raised:
        await rlm(repl("x = {'a': 'evaluated'}"), tag, strict=True, limits=limits).aask("?", TEXT)
    assert raised.value.partial is not None
    assert "evaluated" not in f"{raised.value.partial.text} {raised.value.partial.value}"


async def test_a_recorded_answer_stays_the_answer_where_it_would_be_sent_back_today() -> None:
    store = MemoryStore()
    await rlm(repl("y = 0"), "FINAL(three)", store=store).aask("?", TEXT, run_id="then")
    silent = ScriptedModel([], name="root")
    today = RLM(silent, store=store, validate=lambda _: "a number, please")
    for again in (today.areplay, today.aresume):
        assert (await again("then", context=TEXT)).text == "three"
    assert not silent.requests
