"""Which indexes of texts stay when their runs are over."""

import gc

import pytest

from rlmbox import RLM
from rlmbox.context import Context
from rlmbox.guard import copying
from rlmbox.guard.copy_index import CopyIndex
from rlmbox.guard.kept_indexes import KeptIndexes
from rlmbox.testing import ScriptedModel

TEXT = "".join(f"{number} is a number of many. " for number in range(2_000))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the texts that indexes are built of."""
    built: list[int] = []
    of = CopyIndex.of

    def watched(context: Context) -> CopyIndex:
        built.append(context.length)
        return of(context)

    monkeypatch.setattr(CopyIndex, "of", watched)
    return built


async def test_a_text_that_is_asked_about_again_has_its_index_built_no_third_time(
    built: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_INDEXES", KeptIndexes())
    context = Context.from_text(TEXT)
    for _ in range(4):
        model = ScriptedModel(["```repl\nprint(context[500:700])\n```", "FINAL(ok)"])
        assert (await RLM(model, guard="redact", sandbox="monty").aask("?", context)).text == "ok"
    assert built == [len(TEXT)] * 2


def test_what_is_kept_ends_with_its_context_and_stays_within_its_bound(built: list[int]) -> None:
    size = KeptIndexes().of(Context.from_text(TEXT)).size_bytes
    kept = KeptIndexes(most_bytes=2 * size)
    contexts = [Context.from_text(TEXT) for _ in range(3)]
    for context in contexts:
        assert kept.of(context) is not kept.of(context) is kept.of(context)
    assert kept.size_bytes == 2 * size
    built.clear()
    for context in contexts[1:]:
        kept.of(context)
    assert built == []
    kept.of(contexts[0])
    assert built == [len(TEXT)]
    del contexts, context
    gc.collect()
    assert kept.size_bytes == 0


def test_an_index_larger_than_the_bound_is_built_each_time(built: list[int]) -> None:
    kept, context = KeptIndexes(most_bytes=1_000), Context.from_text(TEXT)
    assert all(kept.of(context).copies(TEXT[300:500]) for _ in range(3))
    assert built == [len(TEXT)] * 3
    assert kept.size_bytes == 0
