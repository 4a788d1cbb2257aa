"""What a model thought is told from what it replied, as each family of models writes the two into one text."""

# ruff: noqa: RUF001 - some tokens are spelled with look-alikes

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parse_cases import Q, cases
from rlmbox.reply.parse import parse_reply
from rlmbox.reply.thoughts import split_thought

# name: (what the model wrote, where that was reported or specified, its thought, its reply)
MODELS = {
    "DeepSeek-R1": ("<think>\n6*7\n</think>\n\n42", "lobehub/lobehub #5834", "6*7", "42"),
    "DeepSeek-R1 with the opening in the prompt": (
        "I think 6*7... a number.\n</think>\n\n42",
        "vllm-project/vllm #17144",
        "I think 6*7... a number.",
        "42",
    ),
    "Qwen3 without thinking": ("<think>\n\n</think>\n\n42", "its chat template", "", "42"),
    "Qwen3 cut off in its thought": (
        "<think>\nMaybe\nFINAL(WRONG)\nlet me",
        "RooCodeInc/Roo-Code #1087",
        "Maybe\nFINAL(WRONG)\nlet me",
        "",
    ),
    "GLM with the closing on the line of the reply": (
        'hm</think>{"a": 1}',
        "QwenLM/qwen-code PR6033",
        "hm",
        '{"a": 1}',
    ),
    "a thought that ends in the middle of a line": ("<think>so it is </think> 42", "own", "so it is", "42"),
    "a thought in a thought": (
        "<think>\na\n<think>\nb\n</think>\nc\n</think>\n42",
        "own",
        "a\n<think>\nb\n</think>\nc",
        "42",
    ),
    "a thought in a thought, closed once": ("<think>\na\n<think>\nb</think>\n42", "own", "a\n<think>\nb", "42"),
    "thoughts between words": (
        "One.\n<think>a</think>\nTwo.\n<think>b</think>\nThree.",
        "MiniMax M2's interleaved thinking",
        "a\nb",
        "One.\nTwo.\nThree.",
    ),
    "two endings of one thought": ("a\n</think>\nb\n</think>\n42", "own", "a\n\nb", "42"),
    "a stray ending after the reply": ("<think>a</think>\n42\n</think>", "own", "a", "42"),
    "Claude as prompted": ("<thinking>\na\n</thinking>\n\n42", "its prompting guide", "a", "42"),
    "Reflection": (
        "<thinking>a<reflection>b</reflection>c</thinking>\n<output>\n42\n</output>",
        "its chat template",
        "a<reflection>b</reflection>c",
        "42",
    ),
    "fine-tunes that say reasoning": ("<reasoning>a</reasoning>42", "open-webui's table of tags", "a", "42"),
    "fine-tunes with a monologue": ("<internal_monologue>a</internal_monologue>42", "own", "a", "42"),
    "agents that plan": ("<planning>\na\n</planning>\n\n42", "own", "a", "42"),
    "EXAONE Deep": ("<thought>\na\n</thought>\n\n42", "open-webui's table of tags", "a", "42"),
    "capitals": ("<Think>a</THINK>\n42", "own", "a", "42"),
    "blanks in the tag": ("<think >a</ think >\n42", "ggml-org/llama.cpp #27661", "a", "42"),
    "Hunyuan": ("<think>\na\n</think>\n<answer>\n42\n</answer>", "its chat template", "a", "42"),
    "Sky-T1": (
        "<|begin_of_thought|>\n\na\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\n42\n\n<|end_of_solution|>",
        "its system prompt",
        "a",
        "42",
    ),
    "Magistral": (
        "Let me see.[THINK]2+2 = 4[/THINK]It is 4.</s>",
        "mistral-common's tests",
        "2+2 = 4",
        "Let me see.\nIt is 4.",
    ),
    "Seed-OSS": ("<seed:think>a</seed:think>42<seed:eos>", "its chat template", "a", "42"),
    "MiniMax M3": ("<mm:think>a</mm:think>42", "NousResearch/hermes-agent #8878", "a", "42"),
    "Kimi-VL": ("◁think▷a◁/think▷42", "open-compass/VLMEvalKit", "a", "42"),
    "Kimi K3": (
        "<|open|>think<|sep|>a<|close|>think<|sep|><|open|>response<|sep|>42<|close|>response<|sep|><|end_of_msg|>",
        "its chat template",
        "a",
        "42",
    ),
    "Command A": (
        "<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>42<|END_RESPONSE|>",
        "its chat template",
        "a",
        "42",
    ),
    "MedGemma": ("<unused94>thought\na<unused95>42", "its model card", "thought\na", "42"),
    "Gemma 4": ("<|channel>thought\na\n<channel|>42<turn|>", "transformers' tests of it", "a", "42"),
    "Apertus": ("<|inner_prefix|>a<|inner_suffix|>42", "its chat template", "a", "42"),
    "Granite 3.2": (
        "Here is my thought process:\n\na\n\nHere is my response:\n\n42",
        "vLLM's parser of it",
        "a",
        "42",
    ),
    "gpt-oss": (
        "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>42<|return|>",
        "scouzi1966/maclocal-api #121",
        "a",
        "42",
    ),
    "gpt-oss with the opening in the prompt": (
        "a<|end|><|start|>assistant<|channel|>final<|message|>42",
        "own",
        "a",
        "42",
    ),
    "gpt-oss without a start": (
        "<|channel|>analysis<|message|>a<|end|><|channel|>final<|message|>42",
        "cuga-project/cuga-agent PR558",
        "a",
        "42",
    ),
    "gpt-oss asked for JSON": (
        '<|channel|>final <|constrain|>json<|message|>{"a": 1}<|return|>',
        "openai/harmony's format",
        "",
        '{"a": 1}',
    ),
    "gpt-oss with a preamble": (
        "<|channel|>commentary<|message|>I will count.<|end|><|start|>assistant<|channel|>final<|message|>42",
        "openai/harmony's format",
        "I will count.",
        "42",
    ),
    "gpt-oss cut off in its thought": ("<|channel|>analysis<|message|>a FINAL(1)", "own", "a FINAL(1)", ""),
    "gpt-oss without special tokens": (
        'analysisThe answer is "four".assistantfinalfour',
        "Augustas11/macprovider #743",
        'The answer is "four".',
        "four",
    ),
    "gpt-oss without special tokens, with the opening in the prompt": (
        "We add. assistantfinal42",
        "own",
        "We add.",
        "42",
    ),
    "gpt-oss with its role": ("assistantanalysis\nWe add.\nassistantfinal\n42", "own", "We add.", "42"),
    "blanks after the bracket": ("< think>a< / think>\n42", "own", "a", "42"),
    "escaped as HTML": ("&lt;thought&gt;a&lt;/thought&gt;\n42", "own", "a", "42"),
    "escaped as HTML with the opening in the prompt": ("a\n&lt;/think&gt;\n42", "own", "a", "42"),
    "escaped as Markdown": ("\\<think\\>a\\</think\\>\n42", "own", "a", "42"),
    "in bold": ("**<think>**\na\n**</think>**\n42", "own", "a", "42"),
    "ended in another family's word": ("<thought>\na\n</think>\n42", "own", "a", "42"),
    "bars of other spellings": ("<|begin_thought|>a<|end_thought|>42", "own", "a", "42"),
    "bars with the word first": ("<|think_start|>a<|think_end|>42", "own", "a", "42"),
    "bars within the slash": ("<|thought|>a</|thought|>42", "own", "a", "42"),
    "LongCat": ("<longcat_think>\na\n</longcat_think>\n42", "its chat template", "a", "42"),
    "fine-tunes that name a process": ("<thinking_process>a</thinking_process>42", "own", "a", "42"),
    "square brackets in small letters": ("[think]\na\n[/think]\n42", "own", "a", "42"),
    "square brackets with the opening in the prompt": ("FINAL(9)\n[/THINK]\n42", "own", "FINAL(9)", "42"),
    "s1": ("<|im_start|>think\na\n<|im_start|>answer\n42", "its evaluation harness", "a", "42"),
    "Open WebUI's element": ('<details type="reasoning" done="true">\na\n</details>\n42', "its export", "a", "42"),
    "an element that folds": ("<details>\n<summary>Thinking</summary>\na\n</details>\n42", "own", "a", "42"),
    "Ollama's command": ("Thinking...\na\n...done thinking.\n\n42", "ollama run", "a", "42"),
    "gpt-oss without special tokens, cut off": ("analysisWe need to", "own", "We need to", ""),
    "gpt-oss without special tokens or thought": ('assistantfinal{"x": 1}', "own", "", '{"x": 1}'),
}


@pytest.mark.parametrize(("text", "source", "thought", "reply"), cases(MODELS))
def test_a_thought_is_told_from_the_reply(text: str, source: str, thought: str, reply: str) -> None:
    assert split_thought(text) == (thought, reply)


TOKENS = {
    "ChatML": ("42<|im_end|>", "42"),
    "Llama 3": ("42<|eot_id|>\n", "42"),
    "Gemma": ("42<end_of_turn>\n", "42"),
    "Mistral": ("42</s>", "42"),
    "DeepSeek": ("42<｜end▁of▁sentence｜>", "42"),
    "smolagents": ("```py\nx = 1\n```<end_code>", "```py\nx = 1\n```"),
    "several": ("42<|im_end|><|endoftext|>\n", "42"),
    "the header of its own turn": ("<|im_start|>assistant\n42<|im_end|>", "42"),
    "the header of its own turn in Llama": ("<|start_header_id|>assistant<|end_header_id|>\n\n42<|eot_id|>", "\n42"),
    "a second turn of its own": ("One.<|im_end|>\n<|im_start|>assistant\n42<|im_end|>", "One.\n42"),
    "the next question made up": ("42<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n49", "42"),
    "the next question made up by Llama": ("42<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAnd?", "42"),
    "the next question made up by Gemma": ("42<end_of_turn>\n<start_of_turn>user\nAnd?", "42"),
    "the next question made up by Mistral": ("42</s>[INST] And? [/INST] 49", "42"),
    "the output made up by GLM": ("```repl\nx = 1\nx\n```\n<|observation|>\n1", "```repl\nx = 1\nx\n```"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reply"), cases(TOKENS))
def test_the_tokens_of_a_chat_template_are_no_part_of_a_reply(text: str, reply: str) -> None:
    assert split_thought(text)[1].strip() == reply.strip()


MENTIONS = [
    "The tags `<think>` and `</think>` matter.",
    "Models write <think> before they answer.",
    "I split at </think>, so 3 are left.",
    "```python\nprint('<think>')\nt = s.split('</think>')[-1]\n```",
    f"```repl\ns = {Q}\n<think>\n</think>\n{Q}\n```\nFINAL_VAR(s)",
    "```json\n{\"a\": \"</think>\"}\n```",
    "```text\n<think>\na\n</think>\n```\nThat is a log.",
    'FINAL("The tag is </think>")',
    "```repl\nllm_query('Say <|im_end|>')\n```",
    f"```repl\np = {Q}<|im_start|>user\nhi<|im_end|>\n{Q}\n```",
    "The token is <|im_end|>, as in ChatML.",
    "The channel is called '<|channel|>analysis' there.",
    "Use [brackets] and <b>bold</b>, as in a < b.",
    "They are\n- <|im_end|>\n- <|eot_id|>\n- and so on",
    "<s>old</s>\nnew",
    "new <s>old</s>",
    "<answer>42</answer>",
    "[Reasoning]\nIt follows.",
    "<details>\n<summary>Log</summary>\na\n</details>",
    "x</details>\n42",
    "The word assistantfinal is a marker.",
    "Thinking...\nIt takes a while.",
    "An analysis of the text follows.\n\nanalysis",
    "",
    "  two blanks, kept  ",
]  # fmt: skip


@pytest.mark.parametrize("text", MENTIONS)
def test_what_is_only_mentioned_cuts_nothing(text: str) -> None:
    assert split_thought(text) == ("", text)


DRAFTS = {
    "a draft before an ending without a beginning": (
        "Draft:\n```repl\nr = undefined + 1\n```\nno.\n</think>\n```repl\nx = 1\n```",
        "huggingface/smolagents PR1915",
        ["x = 1"],
    ),
    "a draft that is not closed": ("```repl\nr = f(\n</think>\n```repl\nx = 1\n```", "own", ["x = 1"]),
    "a draft in a thought that is not closed": ("<think>\n```repl\nFINAL('WRONG')\n```\nbut wait", "own", []),
    "a draft in a channel": (
        "<|channel|>analysis<|message|>```repl\nr\n```<|end|><|channel|>final<|message|>```repl\nx = 1\n```",
        "scouzi1966/maclocal-api #121",
        ["x = 1"],
    ),
    "a draft in a thought with a blank in its tag": ("< think >\n```repl\nx = 0\n```\nbut wait", "own", []),
    "a draft in a thought that has other tags in it": (
        "<thought>\n<think>a</think>\n```repl\nx = 0\n```\nbut wait",
        "own",
        [],
    ),
    "code on the line of the ending": ("a\n</think>```repl\nx = 1\n```", "own", ["x = 1"]),
}


@pytest.mark.parametrize(("reply", "source", "cells"), cases(DRAFTS))
def test_a_draft_in_a_thought_never_runs(reply: str, source: str, cells: list[str]) -> None:
    found = parse_reply(reply)
    assert list(found.cells) == cells
    assert found.final is None
    assert found.reasoning


@pytest.mark.parametrize(
    "reply", ["<think>\nI think FINAL(3)", "FINAL(3)\n</think>", "<|channel|>analysis<|message|>FINAL(3)"]
)
def test_a_reply_that_is_only_thought_is_told_so(reply: str) -> None:
    found = parse_reply(reply)
    assert (found.cells, found.final, found.draft) == ((), None, None)
    assert len(found.problems) == 1
    assert "Your whole reply was reasoning" in found.problems[0]


def test_a_thought_is_reported_beside_the_prose() -> None:
    found = parse_reply("<think>\nhm\n</think>\nSo:\n```repl\nx = 1\n```")
    assert (found.reasoning, found.thought, found.cells) == ("hm", "So:", ("x = 1",))


PIECES = [
    "<think>", "</think>", "<thinking>", "</thinking>", "[THINK]", "[/THINK]", "◁think▷", "◁/think▷", "<|im_end|>",
    "\n", "<|im_start|>assistant\n", "<|im_start|>user\n", "<|channel|>analysis", "<|channel|>final", "<|message|>",
    "<|end|>",
    "<|start|>assistant", "```", "```repl\n", "```<|im_end|>", " ", "'", '"', "`", "x", "words.",
    "analysis", "</s>",
    "assistantfinal", "A", "<answer>", "</answer>", "<|call|>", " to=python", "<unused94>", "<unused95>", "\ud800",
]  # fmt: skip
mixtures = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


@given(mixtures)
def test_no_mixture_makes_it_raise_and_nothing_is_invented(text: str) -> None:
    thought, rest = split_thought(text)
    assert len(thought) + len(rest) <= 2 * len(text) + 200
    parse_reply(text)


@given(
    st.text(st.characters(exclude_characters="<[◁`~|", exclude_categories=["Cs"])).filter(
        lambda text: "analysis" not in text.lower() and "thought process" not in text and "assistantfinal" not in text
    )
)
def test_text_without_tokens_comes_back_as_it_is(text: str) -> None:
    assert split_thought(text) == ("", text)


@given(
    st.text(st.characters(exclude_characters="<[◁`~'\"|", exclude_categories=["Cs", "Cc"]), min_size=1).filter(
        str.strip
    )
)
def test_any_words_between_the_tags_are_the_thought(words: str) -> None:
    assert split_thought(f"<think>\n{words}\n</think>\n\n42") == (words.strip(), "42")


DRAFT_PIECES = [
    "```", "```repl\n", "```python\n", "~~~\n", "\n", "    ", "> ", "- ", "`", "FINAL(", "FINAL_VAR(x)", "SUBMIT(1)",
    ")", '"', "'", "x = 1", "print(x)", Q, "<code>", "</code>", "<tool_call>", "<!--", "[", "](", "Output:", "{", "}",
    "\\",
    "<|im_end|>", "<|im_start|>user", "words", "<reflection>", "[TOOL_CALLS]", "<|python_tag|>",
]  # fmt: skip
drafts = st.lists(st.sampled_from(DRAFT_PIECES), max_size=25).map("".join)


@given(drafts, st.sampled_from(["```repl\nn = 1\n```", 'FINAL("Paris")', "Words only.", "n = f(1)", "FINAL_VAR(n)"]))
def test_no_draft_in_a_thought_changes_how_the_reply_is_read(draft: str, reply: str) -> None:
    alone = parse_reply(reply)
    for thinking in (f"<think>\n{draft}\n</think>\n\n", f"<|START_THINKING|>{draft}\n<|END_THINKING|>"):
        found = parse_reply(thinking + reply)
        assert replace(found, reasoning="") == alone
        assert replace(parse_reply(f"{thinking}{reply}<|im_end|>"), reasoning="") == alone


@given(drafts)
def test_no_draft_in_a_thought_that_is_not_closed_runs_or_answers(draft: str) -> None:
    found = parse_reply(f"<think>\n{draft}")
    assert (found.cells, found.final, found.draft) == ((), None, None)
    assert found.problems
