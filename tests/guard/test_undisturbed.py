"""Sessions of the kind that models do: with the guard as it is by default, they run as if there were none."""

import inspect
import json
import textwrap
from collections.abc import Sequence

import pytest

from guard.conftest import prose
from rlmbox import RLM
from rlmbox.testing import ScriptedModel
from runs import repl

PROSE = "".join(f"## Chapter {n}\n\n{prose(9_000, seed=n)}\n\n" for n in range(1, 25))
TABLE = "id,date,customer,city,amount\n" + "".join(
    f"{n},2026-{n % 12 + 1:02}-{n % 28 + 1:02},Customer {n * 7 % 311},{('Lisboa', 'Köln', 'Kyōto', '上海')[n % 4]},"
    f"{n * 17 % 9973}.{n % 100:02}\n"
    for n in range(6_000)
)
LOG = "".join(
    f"2026-03-14T09:{n // 60 % 60:02}:{n % 60:02}Z {('INFO', 'INFO', 'WARN', 'ERROR')[n * 13 % 4]} worker-{n % 7} "
    f"job {n} took {n * 31 % 977} ms\n"
    for n in range(5_000)
)
RECORDS = json.dumps(
    [{"id": n, "title": f"Part {n}", "tags": ["blue", "steel"][: n % 3], "price": n * 3.5} for n in range(4_000)],
    indent=1,
)
CODE = inspect.getsource(textwrap) * 12

SESSIONS: dict[str, tuple[str, Sequence[str]]] = {
    "the first 2,000 characters, then the last": (
        PROSE,
        ["print(len(context))\nprint(context[:2000])", "print(context[-1500:])", "FINAL(context[100:160])"],
    ),
    "twenty snippets of 200": (
        PROSE,
        [
            (
                "hits = ctx.search(r'\\bno\\w+', max_matches=20)\n"
                "for h in hits:\n    print(h['start'], ctx.slice(max(0, h['start'] - 100), h['start'] + 100))"
            ),
            "FINAL(str(len(hits)))",
        ],
    ),
    "a table of fifty rows": (
        TABLE,
        [
            "rows = context.splitlines()\nprint('\\n'.join(rows[:50]))",
            "total = sum(float(r.split(',')[4]) for r in rows[1:])\nprint(total)",
            "FINAL(f'{total:.2f}')",
        ],
    ),
    "head and tail by the functions for it": (
        PROSE,
        ["print(ctx.metadata())\nprint(peek())", "print(tail(800))", "FINAL(tail(30))"],
    ),
    "counts and the outline": (
        PROSE,
        [
            "import re\nheads = re.findall(r'(?m)^## .*$', context)\nprint(len(heads), heads)\nprint(ctx.get_schema())",
            "print({w: context.count(w) for w in ('ba', 'code', 'the')})",
            "FINAL(heads)",
        ],
    ),
    "passages by rank, then one read": (
        PROSE,
        [
            "best = ctx.rank('lame node sa', 8)\nfor b in best:\n    print(b['start'], b['snippet'][:200])",
            "print(ctx.slice(best[0]['start'], best[0]['start'] + 1200))",
            "FINAL('read')",
        ],
    ),
    "chunks given to another model": (
        PROSE,
        [
            "answers = llm_query_batched(['What is it about?'] * 6, ctx.chunk(40000)[:6])\nprint(answers)",
            "FINAL(' '.join(answers))",
        ],
    ),
    "the last lines of a log and its errors": (
        LOG,
        [
            "lines = context.splitlines()\nprint('\\n'.join(lines[-30:]))",
            "errors = [line for line in lines if ' ERROR ' in line]\nprint(len(errors), errors[:15])",
            "from collections import Counter\nprint(Counter(l.split()[2] for l in errors).most_common(3))",
            "FINAL(errors[0])",
        ],
    ),
    "records of JSON": (
        RECORDS,
        [
            "rows = json.loads(context)\nprint(type(rows), len(rows))\nprint(json.dumps(rows[:3], indent=2))",
            "print(sorted(rows, key=lambda r: -r['price'])[:10])",
            "FINAL({'dearest': max(r['price'] for r in rows)})",
        ],
    ),
    "the definition of a function": (
        CODE,
        [
            "at = context.find('def fill(')\nprint(context[at:at + 1500])",
            "print([l for l in context.splitlines() if l.lstrip().startswith('def ')][:40])",
            "FINAL(context[at:at + 40])",
        ],
    ),
    "mistakes and their mending": (
        TABLE,
        [
            "rows = contxt.splitlines()",
            "rows = context.splitlines()\nprint(rows[0].split(',')['id'])",
            "rows[:5]",
            "FINAL(rows[1])",
        ],
    ),
}


@pytest.mark.parametrize(("text", "cells"), SESSIONS.values(), ids=SESSIONS)
async def test_a_session_runs_as_if_there_were_no_guard(text: str, cells: Sequence[str]) -> None:
    async def run(guard: str | None) -> tuple[object, list[list[str]]]:
        root = ScriptedModel([repl(cell) for cell in cells], name="root")
        sub = ScriptedModel([f"It is about clause {n}." for n in range(6)], name="sub")
        options = {} if guard is None else {"guard": guard}
        answer = await RLM(root, sub_model=sub, **options).aask("What is in it?", text, run_id="same")  # type: ignore[arg-type]
        told = [[m.content for m in messages[2:]] for messages in (*root.requests, *sub.requests)]
        return (answer.text, answer.value, answer.sources), sorted(told)

    assert await run(None) == await run("off")


async def test_placeholders_are_values_again_in_what_the_user_reads() -> None:
    text = f"{prose(30_000)}\nContact: ana.souza@empresa.com.br, card 4111 1111 1111 1111.\n"
    cells = [
        "print(context[-80:])",
        "mail = re.findall(r'\\S+@\\S+\\w', context)\nprint(mail)",
        "FINAL({'mail': mail[0], 'said': 'write to <REDACTED: email>'}, sources=[(len(context) - 80, len(context))])",
    ]
    root = ScriptedModel([repl(cell) for cell in cells], name="root")
    answer = await RLM(root).aask("Which address is in it?", text)
    assert answer.value == {"mail": "ana.souza@empresa.com.br", "said": "write to ana.souza@empresa.com.br"}
    assert "ana.souza@empresa.com.br" in answer.text
    assert "4111 1111 1111 1111" in answer.sources[0].quote
    sent = "".join(message.content for messages in root.requests for message in messages)
    assert "ana.souza" not in sent
    assert "4111" not in sent
