"""What a prompt and a notebook show of an answer and of an RLM."""

from rlmbox import RLM, Answer, Limits
from rlmbox.models.keys import KeySource
from rlmbox.testing import ScriptedModel
from rlmbox.types import Source

KEY = "sk-never-shown-0123456789"


def test_an_answer_is_one_short_line_at_a_prompt() -> None:
    assert repr(Answer("in May", turns=1, subcalls=2)) == "Answer('in May', 1 turn, 2 sub-calls, $0)".replace(
        "$0)", f"{Answer('').cost})"
    )
    long = repr(Answer("x" * 100_000 + "\x1b[2J\u202e", complete=False))
    assert len(long) < 200
    assert long.endswith(", incomplete)")
    assert "\x1b" not in repr(Answer("\x1b[2J\u202eabc"))
    assert "\u202e" not in repr(Answer("\x1b[2J\u202eabc"))


def test_a_notebook_shows_an_answer_without_letting_its_text_be_markup() -> None:
    hostile = '<script>alert(1)</script>\x1b[2J\u202e & "quotes"'
    answer = Answer(
        hostile,
        sources=tuple(Source("<img src=x onerror=y>.txt", n, n + 5, "quote") for n in range(1000, 1008)),
        model="<b>m</b>",
        run_id="r1",
        turns=2,
        complete=False,
    )
    shown = answer._repr_html_()
    for markup in ("<script", "<img", "<b>", "\x1b", "\u202e"):
        assert markup not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[2J\\u202e &amp; &quot;quotes&quot;" in shown
    assert "characters 1,000-1,005" in shown
    assert "… 3 more" in shown
    assert "incomplete" in shown
    assert "2 turns, 0 sub-calls" in shown


def test_an_rlm_shows_how_it_is_set_and_no_key() -> None:
    rlm = RLM(
        "openai:gpt-5", api_key=KEY, base_url=f"https://user:{KEY}@example.com/v1", limits=Limits(cost_limit_usd=None)
    )
    assert repr(rlm) == "RLM(model=openai:gpt-5, sandbox=auto, cost_limit_usd=None)"
    other = RLM("openai:gpt-5", sub_model=ScriptedModel(["x"], name="<sub>"), api_key=KeySource(lambda _: KEY))
    assert "sub_model=<sub>" in repr(other)
    assert "&lt;sub&gt;" in other._repr_html_()
    for each in (rlm, other):
        assert KEY not in repr(each) + each._repr_html_()
