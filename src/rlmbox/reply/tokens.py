"""Special tokens of chat templates, spelled as models and servers leave them in the text of a reply."""

# ruff: noqa: RUF001 - the look-alikes are what this file is about

from __future__ import annotations

import re

THOUGHT_PAIRS = (
    ("[THINK]", "[/THINK]"),  # Magistral, Ministral
    ("[REASONING]", "[/REASONING]"),
    ("◁think▷", "◁/think▷"),  # Kimi
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),  # Kimi K3
    ("<|im_start|>think", "<|im_start|>answer"),  # s1
    ("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    ("<|channel>thought", "<channel|>"),  # Gemma 4
    ("<unused94>", "<unused95>"),  # MedGemma
)
"""Tokens around a thought that are no XML element; each has one spelling."""

_NAMES = (
    "reason|analysis|monologue|cot|planning|deliberation|pondering|ponder|brainstorm"
    r"|(?:\w{1,20}[_-]?)?(?:think(?:ing)?|thoughts?|reasoning|reflection|scratchpad|monologue)"
    "(?:[_-](?:process|steps?|block|content|trace|mode))?"
)
_WORDS = "thinking|think|thoughts?|reasoning|reason|cot|scratchpad"
_OF = r"[_▁ ]?(?:of)?[_▁ ]?"
# Command A: `<|START_THINKING|>`; OpenThoughts, Sky-T1: `<|begin_of_thought|>`; others `<|startthink|>`, `<|think|>`.
_BARRED_OPEN = rf"<[|｜](?i:(?:begin|start|open){_OF}(?:{_WORDS})|(?:{_WORDS})(?:[_▁](?:begin|start))?)[|｜]>"
_BARRED_CLOSE = (
    rf"</?[|｜]/?(?i:(?:end|close|stop){_OF}(?:{_WORDS})|(?:{_WORDS})[_▁](?:end|stop))[|｜]>"
    rf"|(?:</[|｜]|<[|｜]/)(?i:{_WORDS})[|｜]>"
)
_SPECIAL_OPEN = "|".join([*(re.escape(opening) for opening, _ in THOUGHT_PAIRS), _BARRED_OPEN])
_SPECIAL_CLOSE = "|".join([*(re.escape(closing) for _, closing in THOUGHT_PAIRS), _BARRED_CLOSE])
_NAME = rf"(?:[a-z]{{1,12}}:)?(?i:{_NAMES})(?::\w{{1,40}})?"
_LESS, _MORE = r"(?:<|&lt;|\\<)", r"(?:>|&gt;|\\>)(?:\*\*)?"  # taken for HTML by a gateway, escaped by a model, in bold

# A pair that has one spelling is a family of its own.
_FAMILY = {token: closing for opening, closing in THOUGHT_PAIRS for token in (opening, closing)}
_STEM = re.compile(r"think|thought|reason|reflect|scratchpad|monologue|cot|analysis|plan|deliber|ponder|brainstorm")


def family_of(token: str) -> str:
    """Return what the tokens have in common that may begin and end one thought.

    Args:
        token: A token that opens or closes a thought.
    """
    stem = None if "details" in token else _STEM.search(token.lower())
    return _FAMILY.get(token) or (stem.group() if stem else "details")


_ENDS = (
    "im_end|eot_id|eom_id|eom|eot|end|return|call|eos|endoftext|end_of_text|end_of_turn|end_of_msg|end_of_response"
    "|END_OF_TURN_TOKEN|END_RESPONSE|END_ACTION|fim_pad|file_separator|end▁of▁sentence"
)
_STARTS = (
    "im_start|im_user|im_system|im_assistant|start|start_header_id|START_OF_TURN_TOKEN|user|observation|system"
    "|assistant|User|Assistant|start_of_role"
)
END_OF_TURN = rf"<[|｜](?:{_ENDS})[|｜]>|<end_of_turn>|<turn\|>|<eos>|<seed:eos>|\[EOS\]|</s>|<end_code>"
"""Tokens after which the model has said all that it had to say, as a pattern."""

START_OF_TURN = rf"<[|｜](?:{_STARTS})[|｜]>|<start_of_turn>|<\|turn>|<seed:bos>|\[INST\]"
"""Tokens that begin somebody's turn, as a pattern."""

OWN_HEADER = re.compile(
    r"\s*+(?:(?:<[|｜](?:im_start|start|start_header_id|start_of_role)[|｜]>|<start_of_turn>|<\|turn>|<seed:bos>)"
    r"[ \t]*(?:assistant|model)\b[ \t]*(?:<[|｜](?:end_header_id|end_of_role|im_middle|message)[|｜]>)?\n?"
    r"|<[|｜](?:assistant|Assistant|im_assistant)[|｜]>(?:assistant)?(?:<\|im_middle\|>)?\n?)"
)
"""The beginning of the model's own turn: what follows goes on with its reply."""

FIRST_TOKENS = re.compile(
    rf"\s*+(?:<s>(?=[\s<\[])|<bos>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>)?(?:{OWN_HEADER.pattern})"
    r"|\s*+(?:<s>(?=[\s<\[])|<bos>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>)"
)
"""Tokens before the first word of a reply."""

LAST_TOKEN = re.compile(rf"(?:{END_OF_TURN}|{START_OF_TURN})\Z")
"""A token after the last word of a reply."""

TOKEN = re.compile(
    rf"(?P<special_open>{_SPECIAL_OPEN})|(?P<special_close>{_SPECIAL_CLOSE})"
    rf"|(?P<open>{_LESS}[ \t]?{_NAME}(?:[ \t][^<>\n]{{0,200}})?\n?{_MORE})"
    rf"|(?P<close>{_LESS}[ \t]?/[ \t]?{_NAME}[ \t]?{_MORE})"
    rf"|(?P<paired>\[(?i:{_WORDS})\]|<details type=\"reasoning\"[^<>\n]{{0,200}}>"
    r"|<details>\s{0,4}<summary>(?i:thinking|thought|reasoning)[^<>\n]{0,80}</summary>)"
    rf"|(?P<paired_close>\[/(?i:{_WORDS})\]|(?P<details></details>))"
    rf"|(?P<end>{END_OF_TURN})|(?P<start>{START_OF_TURN})"
    r"|(?P<fence>`{3,}|~{3,})(?P<info>[^\n<`]*)",
)
"""A token of a thought or a turn, or a fence; begins with a `TOKEN_START`."""

TOKEN_START = re.compile(r"[<\[◁`~&\\]")
"""The characters that a token may begin with; to look for them alone is many times faster than for the tokens."""

CODE_NAMES = frozenset(
    {
        "code", "code_interpreter", "exec", "execute", "execute_code", "execute_python", "interpreter", "ipython",
        "jupyter", "py", "python", "python3", "python_interpreter", "python_repl", "repl", "run_cell", "run_code",
        "run_python", "tool_code",
    }
)  # fmt: skip
"""Names of a tool that runs Python, as models call one that nobody has offered to them."""
