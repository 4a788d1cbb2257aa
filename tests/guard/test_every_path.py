"""A secret of the text goes down every path that leaves the sandbox, those of functions added later included."""

import json
from collections.abc import Sequence
from pathlib import Path

from rlmbox import RLM, Context, Limits, Run, Tool
from rlmbox.events import Event, to_json
from rlmbox.loop.children import Children
from rlmbox.loop.subcalls import Subcalls
from rlmbox.record.export import FORMATS, write_evidence
from rlmbox.record.journal import MemoryStore
from rlmbox.testing import ScriptedModel
from rlmbox.types import HostFunction, Message
from runs import repl

KEY = "sk-proj-" + "Ab3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5" + "T3BlbkFJ" + "kL7nP9rS1tU3wX5zA7cE9gI1kM3oQ5sU7w"
NAME = "AKIA5QZ7RWXK3JYPLM2N"  # a key that could be the name of a variable
MAIL = "ada.lovelace@example.org"
TEXT = f"The contract begins in May.\nThe keys are {KEY} and {NAME}; {MAIL} wrote it.\n"
SECRETS = (KEY, NAME, MAIL)

VALUES = {
    "str": "context",
    "list[str]": "[context, context[::-1]]",
    "list[Any]": "[context]",
    "Any": "{'a': [context]}",
}


def call(function: HostFunction) -> str:
    """Return a call of a function with the text in every argument that takes one."""
    given = []
    for parameter in function.signature.partition("(")[2].rpartition(")")[0].split(", "):
        name, _, kind = parameter.partition(": ")
        kind = kind.partition(" = ")[0].partition(" | ")[0]
        if name and name not in ("model", "*", "/") and kind in VALUES:
            given.append(f"{name}={VALUES[kind]}")
    called = f"{function.name}({', '.join(given)})"
    return f"try:\n    print({function.name!r}, {called})\nexcept Exception as error:\n    print(repr(error), context)"


OWN = (
    "print(context)",
    "context",
    "import sys\nprint(context, file=sys.stderr)",
    "raise ValueError(context)",
    'raise NameError("name \'" + context + "\' is not defined")',
    "globals()[context.split('and ')[1].split(';')[0]] = 1",
    "{context: context}",
    "class E(Exception):\n    def __repr__(self):\n        return context\nE()",
    "int(context)",
    "n = [4111111111111111, 4e15 + 111111111111111, 41]\nprint(note(context, {context: 1, 'n': n}, more=context))",
    "FINAL_VAR(context)",
    "SUBMIT(answer={'wrong': context})",
)


def spoken(models: Sequence[ScriptedModel]) -> str:
    return "\n".join(message.content for model in models for messages in model.requests for message in messages)


async def test_no_path_out_of_the_sandbox_takes_a_secret_along(tmp_path: Path) -> None:
    noted: list[object] = []
    approved: list[str] = []
    seen: list[Event] = []

    def note(what: str, all_of: dict[str, object], more: str = "") -> str:
        """Keep a note."""
        noted.extend([what, all_of, more])
        return "kept"

    def approve(proposal: object) -> bool:
        approved.append(repr(proposal))
        return True

    def as_it_was_shown(messages: Sequence[Message]) -> str:
        return repl(f"shown = {messages[-1].content!r}\nprint(shown)")

    def sub_reply(messages: Sequence[Message]) -> str:
        return messages[-1].content if len(messages) == 1 else repl("FINAL(query + str(context))")

    cells = [*OWN, *map(call, functions())]
    replies = [step for cell in cells for step in (repl(cell), as_it_was_shown)]
    root = ScriptedModel([*replies, "FINAL(ok)"], name="root")
    sub = ScriptedModel([sub_reply] * 200, name="sub")
    store = MemoryStore()
    rlm = RLM(
        root,
        sub_model=sub,
        tools=[Tool(note)],
        approve=approve,
        hooks=[seen.append],
        store=store,
        validate=lambda answer: None if answer.text == "ok" else f"it is wrong: {answer.text}",
        limits=limits(len(replies) + 2),
    )
    answer = await rlm.aask("Which keys are in it?", TEXT, run_id="r")
    assert answer.text == "ok"
    run = Run(tuple(await store.read("r")))
    out = {
        "models": spoken([root, sub]),
        "tools": repr(noted),
        "approvals": "\n".join(approved),
        "events": "\n".join(str(to_json(event)) for event in seen),
        "the report": json.dumps(to_json(answer.report)),
        **{f"export {form}": "\n".join(lines(run)) for form, lines in FORMATS.items()},
    }
    assert len(sub.requests) > 10
    assert noted[1]["n"] == ["<REDACTED: card>", "<REDACTED: card>", 41]  # type: ignore[index]
    write_evidence(run, tmp_path)
    out["evidence"] = "\n".join(path.read_text() for path in tmp_path.iterdir())
    for path, text in out.items():
        assert "<REDACTED: email>" in text or path == "the report", path
        assert "4111111111111111" not in text or path in ("models", "approvals"), path  # of the model itself
        for secret in SECRETS:
            assert secret not in text, path
            assert secret[::-1] not in text or secret is not KEY, path
    assert answer.report.guard["different_values"]


def limits(turns: int) -> Limits:
    return Limits(max_turns=turns, max_subcalls=1_000)


def functions() -> list[HostFunction]:
    """Return the host functions that are not pure, as a session has them."""
    from rlmbox.budget.budget import Budget
    from rlmbox.loop.scope import RunContext, Scope

    async def nobody(*_: object) -> object:
        raise AssertionError

    model = ScriptedModel([])
    run = RunContext(model, model, Budget(Limits()), lambda: None)  # type: ignore[arg-type,return-value]
    scope = Scope.root(run)
    subcalls = Subcalls(scope)
    children = Children(scope, subcalls, Context.from_text("text"), {}, nobody)  # type: ignore[arg-type]
    found = [*subcalls.functions(), *children.functions()]
    assert len(found) > 8
    return [each for each in found if not each.pure]
