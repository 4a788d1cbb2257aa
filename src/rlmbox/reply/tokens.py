"""Special tokens of chat templates, spelled as models and servers leave them in the text of a reply."""

# ruff: noqa: RUF001 - the look-alikes are what this file is about

from __future__ import annotations

import re

THOUGHT_PAIRS = (
    ("[THINK]", "[/THINK]"),  # Magistral, Ministral
    ("[REASONING]", "[/REASONING]"),
    ("◁think▷", "◁/think▷"),  # Kimi
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),  # Kimi K3
    ("<|begin_of_thought|>", "<|end_of_thought|>"),  # OpenThoughts, Sky-T1
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A, Command R7B
    ("<|start_thinking|>", "<|end_thinking|>"),
    ("<|start_think|>", "<|end_think|>"),
    ("<|begin_of_thinking|>", "<|end_of_thinking|>"),
    ("<|startthink|>", "<|endthink|>"),
    ("<|think|>", "<|/think|>"),
    ("<|thinking|>", "<|/thinking|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    ("<|channel>thought", "<channel|>"),  # Gemma 4
    ("<unused94>", "<unused95>"),  # MedGemma
)
"""Tokens around a thought that are no XML element; each has one spelling."""

_NAMES = (
    "think|thinking|thought|thoughts|reason|reasoning|reflection|scratchpad|analysis|antthinking|inner_monologue"
    "|internal_monologue|monologue|inner_thoughts?|internal_thoughts?|chain_of_thought|cot|planning|deliberation"
)
_SPECIAL_OPEN = "|".join(re.escape(opening) for opening, _ in THOUGHT_PAIRS)
_SPECIAL_CLOSE = "|".join(re.escape(closing) for _, closing in THOUGHT_PAIRS)

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
    rf"(?P<open><(?:[a-z]{{1,12}}:)?(?P<name>(?i:{_NAMES}))(?::\w{{1,40}})?(?:[ \t][^<>\n]{{0,200}})?>)"
    rf"|(?P<close></[ \t]?(?:[a-z]{{1,12}}:)?(?P<closed>(?i:{_NAMES}))(?::\w{{1,40}})?[ \t]?>)"
    rf"|(?P<special_open>{_SPECIAL_OPEN})|(?P<special_close>{_SPECIAL_CLOSE})"
    rf"|(?P<end>{END_OF_TURN})|(?P<start>{START_OF_TURN})"
    r"|(?P<fence>`{3,}|~{3,})(?P<info>[^\n<`]*)",
)
"""A token of a thought or a turn, or a fence; begins with a `TOKEN_START`."""

TOKEN_START = re.compile(r"[<\[◁`~]")
"""The characters that a token may begin with; to look for them alone is many times faster than for the tokens."""

CODE_NAMES = frozenset(
    {
        "code", "code_interpreter", "exec", "execute", "execute_code", "execute_python", "interpreter", "ipython",
        "jupyter", "py", "python", "python3", "python_interpreter", "python_repl", "repl", "run_cell", "run_code",
        "run_python", "tool_code",
    }
)  # fmt: skip
"""Names of a tool that runs Python, as models call one that nobody has offered to them."""
