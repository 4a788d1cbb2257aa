"""docs/replies.md is true: each of its replies is read, and comes to what the page says."""

import json
import re
from pathlib import Path

import pytest

from rlmbox.reply.json_value import read_json
from rlmbox.reply.parse import ParsedReply, parse_reply

PAGE = (Path(__file__).parents[2] / "docs" / "replies.md").read_text("utf-8")
EXAMPLES = re.findall(r"^~~~~(text|json-reply)\n(.*?)\n~~~~\n\n((?:- \w+: [^\n]*\n)+)", PAGE, re.MULTILINE | re.DOTALL)
REPLIES = [(reply, results) for kind, reply, results in EXAMPLES if kind == "text"]
JSON_REPLIES = [(reply, results) for kind, reply, results in EXAMPLES if kind == "json-reply"]


def test_every_example_of_the_page_says_what_comes_of_it() -> None:
    assert len(EXAMPLES) == PAGE.count("\n~~~~text\n") + PAGE.count("\n~~~~json-reply\n") == 16


def claims(results: str) -> list[tuple[str, str]]:
    return re.findall(r"^- (\w+): `?(.*?)`?$", results, re.MULTILINE)


def holds(found: ParsedReply, kind: str, value: str) -> bool:
    match kind:
        case "runs":
            return any(cell.startswith(value) for cell in found.cells)
        case "note":
            return any(value in note for note in found.notes)
        case "problem":
            return any(value in problem for problem in found.problems)
        case "reasoning":
            return found.reasoning.startswith(value)
        case "answers":
            return found.final is not None and (found.final.kind, found.final.text) == ("text", value)
        case "evaluates":
            return found.final is not None and (found.final.kind, found.final.text) == ("expression", value)
    return False


@pytest.mark.parametrize(("reply", "results"), REPLIES)
def test_a_reply_comes_to_what_the_page_says(reply: str, results: str) -> None:
    found, said = parse_reply(reply), claims(results)
    for kind, value in said:
        assert holds(found, kind, value), (kind, value, found)
    kinds = {kind for kind, _ in said}
    assert bool(found.cells) is ("runs" in kinds)
    assert (found.final is not None) is bool(kinds & {"answers", "evaluates"})
    assert bool(found.notes) is ("note" in kinds)


@pytest.mark.parametrize(("reply", "results"), JSON_REPLIES)
def test_json_comes_to_what_the_page_says(reply: str, results: str) -> None:
    ((kind, value),) = claims(results)
    if kind == "value":
        assert read_json(reply) == json.loads(value)
    else:
        with pytest.raises(ValueError, match=re.escape(value)):
            read_json(reply)


@pytest.mark.parametrize("name", re.findall(r"`<(\w+)>`", PAGE.partition("## Reasoning")[0]))
def test_each_element_that_the_page_names_is_a_block(name: str) -> None:
    assert parse_reply(f"<{name}>\nx = 1\n</{name}>").cells == ("x = 1",)


@pytest.mark.parametrize("name", ["think", "thinking", "reasoning"])
def test_each_element_of_a_thought_that_the_page_names_is_one(name: str) -> None:
    assert f"`<{name}>`" in PAGE
    assert parse_reply(f"<{name}>\nFINAL(1)\n</{name}>\nFINAL(2)").final is not None
    assert parse_reply(f"<{name}>\nFINAL(1)\n</{name}>").final is None


def test_strict_mode_is_as_the_page_says() -> None:
    counting = re.findall(r"`(FINAL\w*\([^`]*)`", PAGE.partition("## Strict\n")[2].partition("\n## ")[0])
    assert counting == ['FINAL("a string")', "FINAL_VAR(name)"]
    assert all(parse_reply(tag, strict=True).final for tag in counting)
    assert not any(parse_reply(reply, strict=True).final for reply in ("FINAL(a string)", "SUBMIT(1)", "FINAL: x"))
    assert parse_reply('n = context.count("x")', strict=True).cells == ()


def test_a_name_may_be_a_variable_or_a_word_as_the_page_says() -> None:
    found = parse_reply("FINAL(result)").final
    assert found is not None
    assert (found.text, found.names) == ("result", ("result",))
