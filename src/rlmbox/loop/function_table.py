"""The REPL's functions as described to a model: the most important ones in prose, the rest in a table.

Both are made from the table that the sandbox is started with, so the description always matches the functions. One
that is not placed here appears in the table's last row.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import lru_cache

from rlmbox.types import HostFunction

FIRST = (
    "ctx.metadata",
    "ctx.search",
    "ctx.find",
    "ctx.rank",
    "ctx.snippet",
    "ctx.slice",
    "ctx.chunk",
    "llm_query",
    "llm_query_batched",
    "rlm_query",
)
"""The ten functions that a model needs first, in the order in which it should read of them."""

_OF_INDEX = ("search", "vector_search", "hybrid_search", "get_document", "document_view", "index_info")
"""Those of an index, which stand before them where there is one."""

_WORDS: Mapping[str, str] = {
    "ctx.metadata": "dict of facts: kind, length, documents, preview",
    "ctx.search": "hits of a regular expression: dicts with start, end, match, snippet, document, line",
    "ctx.find": "hits of a plain text, as search gives them",
    "ctx.rank": "the k passages that fit some words best: start, end, score, document, snippet",
    "ctx.snippet": "the text around a position",
    "ctx.slice": "the text from start up to end",
    "ctx.chunk": "list of pieces of the whole text",
    "llm_query": "str: another model's answer; it sees only the prompt and the chunk",
    "llm_query_batched": "list of str, in order, asked at once; a failed one begins with 'Error:'",
}
"""Words for functions whose own first line is longer than a model needs."""

_ROWS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "read",
        (
            ("peek", ""),
            ("tail", ""),
            ("ctx.read_chunk", ""),
            ("ctx.lines", "from line a, counted from 0"),
            ("ctx.page", ""),
            ("ctx.num_pages", ""),
            ("extract_after", "str or None"),
        ),
    ),
    (
        "count",
        (
            ("ctx.count", "over the whole text"),
            ("ctx.tally", "dict: how often each text occurs that a regex, or its group, matches"),
        ),
    ),
    (
        "documents",
        (
            ("ctx.num_documents", ""),
            ("ctx.document_names", ""),
            ("ctx.document_lengths", ""),
            ("ctx.get_document", "by index or name"),
            ("ctx.chunk_documents", "pieces of n documents"),
            ("ctx.get_schema", "columns, keys, headings"),
        ),
    ),
    (
        "ask models",
        (
            ("ask", "'NOT FOUND' where the text does not say"),
            ("ask_chunks", "list, in order"),
            ("ask_chunks_first", "first answer or None"),
            ("pick_first_answer", ""),
            ("llm_query_json", "the parsed value"),
            ("llm_batch_json", "list"),
            ("rlm_query_batched", "list"),
            ("ctx.slice_view", "a part of the text for rlm_query, without a copy"),
        ),
    ),
    ("yourself", (("budget", "what is left"),)),
)
_UNADVERTISED = ("lenP",)  # equivalent to len(context)
_OTHER_CHARS = 90


def first_functions(functions: Sequence[HostFunction]) -> str:
    """Return the lines on the most important functions, and on the user's own.

    Args:
        functions: The functions in the REPL.
    """
    known = {function.name: function for function in functions}
    lines = [
        f"- `{_call_form(known[name].signature)}`: {_WORDS.get(name, known[name].summary)}"
        for name in (*_OF_INDEX, *FIRST)
        if name in known
    ]
    own = [f"- `{each.signature}`: {each.summary}" for each in functions if each.is_tool]
    return "\n".join([*lines, *(["- Functions of the user, for this question:", *own] if own else [])])


def other_functions(functions: Sequence[HostFunction]) -> str:
    """Return the table of the other functions, a row for each purpose.

    Args:
        functions: The functions in the REPL.
    """
    known = {f.name: f for f in functions if not (f.is_alias or f.is_tool or f.is_answer)}
    known = {name: each for name, each in known.items() if name not in (*FIRST, *_OF_INDEX, *_UNADVERTISED)}
    rows: list[tuple[str, list[str]]] = []
    for purpose, entries in _ROWS:
        cells = [_cell(known.pop(name), words) for name, words in entries if name in known]
        if purpose == "yourself":
            cells.append("`SHOW_VARS()` your variables")
            cells += [_cell(each, each.summary.partition(":")[0][:_OTHER_CHARS]) for each in known.values()]
        rows.append((purpose, cells))
    lines = [f"| {purpose} | {', '.join(cells)} |" for purpose, cells in rows if cells]
    return "\n".join(["| to | call |", "| --- | --- |", *lines])


def _cell(function: HostFunction, words: str) -> str:
    call = f"`{_call_form(function.signature)}`"
    return f"{call} {words}" if words else call


@lru_cache(maxsize=512)
def _call_form(signature: str) -> str:
    """Return a call form without annotations, such as `ctx.find(pattern, regex=False)`."""
    name, bracket, rest = signature.partition("(")
    tree = ast.parse(f"def call({rest}: ...")
    call = tree.body[0]
    assert isinstance(call, ast.FunctionDef)  # noqa: S101 - as written above
    arguments = call.args
    for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
        if each is not None:
            each.annotation = None
    return f"{name}{bracket}{ast.unparse(arguments)})"
