"""An index in a folder: what it finds, what a build does again, and what a reader sees meanwhile."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from preloaded import python_command
from rlmbox import RLM, Limits
from rlmbox.context import Context
from rlmbox.errors import BudgetExceeded, ConfigError, ModelError, RetrievalError
from rlmbox.retrieval.index import building
from rlmbox.retrieval.index.building import Built, build_index
from rlmbox.retrieval.index.reading import IndexRetriever
from rlmbox.testing import HashEmbedder, check_retriever
from rlmbox.testing.check_retriever import DOCUMENTS
from runs import PENNY, repl, rlm

CORPUS = {
    "law/penalty.txt": "A penalty of 5 % applies to late delivery.",
    "law/term.md": "The contract begins in May and ends in June.",
    "port.txt": "The harbour master records every vessel. " * 200,
}


async def built(folder: Path, texts: dict[str, str], **options: Any) -> Built:
    return await build_index(Context.from_documents(list(texts.items())), folder / "a.idx", **options)


async def ids(retriever: IndexRetriever, query: str, **filters: object) -> list[str]:
    return list(dict.fromkeys(hit.id for hit in await retriever.search(query, k=10, filters=filters)))


@pytest.mark.parametrize("embedder", [None, HashEmbedder()])
async def test_it_keeps_the_contract(tmp_path: Path, embedder: HashEmbedder | None) -> None:
    await built(tmp_path, dict(DOCUMENTS), embedder=embedder)

    async def made() -> IndexRetriever:
        return IndexRetriever(tmp_path / "a.idx", embedder=embedder)

    await check_retriever(made)


async def test_a_long_document_is_found_by_passage_and_read_by_position(tmp_path: Path) -> None:
    text = "".join(f"Line {number} of the long report.\n" for number in range(3_000))
    await built(tmp_path, {"report.txt": text})
    retriever = IndexRetriever(tmp_path / "a.idx")
    (hit, *_) = await retriever.search("2718", k=3, filters={})
    assert "Line 2718 of" in text[hit.start : hit.end]
    assert "Line 2718 of" in hit.snippet
    for start, size in ((0, 10), (1_990, 30), (50_000, 20_000), (len(text) - 5, 100), (0, len(text))):
        part = await retriever.get("report.txt", start=start, size=size)
        assert (part.text, part.start, part.length) == (text[start : start + size], start, len(text))


async def test_small_documents_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {f"d{number}": f"The document {number} is short. " * 40 for number in range(300)}
    context, read = Context.from_documents(list(texts.items())), 0

    def counted(start: int, end: int, whole: Any = context.slice) -> str:
        nonlocal read
        found = str(whole(start, end))
        read += len(found)
        return found

    monkeypatch.setattr(context, "slice", counted)
    await build_index(context, tmp_path / "a.idx")
    assert read <= 2 * context.length
    retriever = IndexRetriever(tmp_path / "a.idx")
    for name in ("d0", "d171", "d299"):
        assert (await retriever.get(name, start=0, size=10_000)).text == texts[name]


async def test_filters_are_over_the_name_the_folder_and_the_suffix(tmp_path: Path) -> None:
    await built(tmp_path, CORPUS)
    retriever = IndexRetriever(tmp_path / "a.idx")
    words = "penalty contract harbour"
    assert sorted(await ids(retriever, words)) == sorted(CORPUS)
    assert sorted(await ids(retriever, words, folder="law")) == ["law/penalty.txt", "law/term.md"]
    assert await ids(retriever, words, suffix=[".md", ".rst"]) == ["law/term.md"]
    assert await ids(retriever, words, suffix=[]) == []
    assert await ids(retriever, words, document="port.txt") == ["port.txt"]
    with pytest.raises(ValueError, match="has no bounds here"):
        await ids(retriever, words, document={"gte": "law/q"})


async def test_only_what_changed_is_indexed_again(tmp_path: Path) -> None:
    first = await built(tmp_path, CORPUS)
    assert (first.documents, first.added, first.unchanged) == (3, 3, 0)
    changed = {**CORPUS, "law/term.md": "The contract ends in July.", "new.txt": "A vessel of glass."}
    del changed["law/penalty.txt"]
    second = await built(tmp_path, changed)
    assert (second.documents, second.added, second.removed, second.unchanged) == (3, 2, 1, 1)
    retriever = IndexRetriever(tmp_path / "a.idx")
    assert await ids(retriever, "July") == ["law/term.md"]
    assert await ids(retriever, "June penalty") == []
    assert sorted(await ids(retriever, "vessel")) == ["new.txt", "port.txt"]
    assert (await retriever.info()).documents == 3
    again = await built(tmp_path, changed)
    assert (again.added, again.removed, again.unchanged) == (0, 0, 3)


async def test_a_reader_sees_the_old_index_until_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await built(tmp_path, CORPUS)
    retriever = IndexRetriever(tmp_path / "a.idx")
    await retriever.search("June", k=1, filters={})
    seen: list[list[str]] = []
    finish = building._Work.finish

    def look(self: Any, *arguments: Any) -> None:
        seen.append([hit.id for hit in retriever._search("June July", 5, {})])
        seen.append([hit.id for hit in IndexRetriever(tmp_path / "a.idx")._search("June July", 5, {})])
        finish(self, *arguments)

    monkeypatch.setattr(building._Work, "finish", look)
    await built(tmp_path, {"july.txt": "July it is."})
    assert seen == [["law/term.md"], ["law/term.md"]]
    assert await ids(retriever, "June July") == ["july.txt"]


PROGRAM = """
import asyncio, sys
from rlmbox.context import Context
from rlmbox.retrieval.index import building
building.CHECKPOINT_PASSAGES = 50
def progress(now):
    print(now.phase, now.done, flush=True)
    sys.stdin.readline()
texts = [(f"d{n}.txt", f"Document {n} speaks of thing{n}.") for n in range(400)]
asyncio.run(building.build_index(Context.from_documents(texts), sys.argv[1], progress=progress))
"""


def kill_a_build(folder: Path) -> None:
    """Begins a build in a process of its own, and kills that some steps later."""
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert program.stdin is not None
    assert program.stdout is not None
    for _ in range(3):
        assert program.stdout.readline().startswith("words")
        program.stdin.write("\n")
        program.stdin.flush()
    time.sleep(0.05)
    os.kill(program.pid, signal.SIGKILL)
    program.communicate()


async def test_a_build_that_was_killed_goes_on_and_misses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "a.idx"
    await anyio.to_thread.run_sync(kill_a_build, folder)
    with pytest.raises(RetrievalError, match="there is no index"):
        IndexRetriever(folder)
    texts = {f"d{n}.txt": f"Document {n} speaks of thing{n}." for n in range(400)}
    resumed = await built(tmp_path, texts)
    assert resumed.resumed
    assert resumed.unchanged >= 150
    assert resumed.documents == resumed.passages == 400
    retriever = IndexRetriever(folder)
    for number in (0, 60, 149, 151, 250, 399):
        assert await ids(retriever, f"thing{number}") == [f"d{number}.txt"]
    assert len(await retriever.search("speaks", k=1_000, filters={})) == 400


async def test_vectors_are_made_once_for_each_text(tmp_path: Path) -> None:
    embedder = HashEmbedder(price=PENNY, is_local=False)
    texts = {**CORPUS, "copy.txt": CORPUS["law/penalty.txt"]}
    first = await built(tmp_path, texts, embedder=embedder, limits=Limits(cost_limit_usd="100000"))
    assert first.embedded == first.passages - 2  # the copy, and a passage of the harbour's that is the same again
    assert first.cost_usd > 0
    second = await built(
        tmp_path, {**texts, "new.txt": "A new text."}, embedder=embedder, limits=Limits(cost_limit_usd="100000")
    )
    assert second.embedded == 1
    retriever = IndexRetriever(tmp_path / "a.idx", embedder=embedder)
    query = (await embedder.embed(["a penalty for late delivery"], role="query", timeout_s=1)).vectors[0]
    found = await retriever.vector(query, k=2, filters={})
    assert sorted(hit.id for hit in found) == ["copy.txt", "law/penalty.txt"]
    only = await retriever.vector(query, k=3, filters={"folder": "law"})
    assert [hit.id for hit in only] == ["law/penalty.txt", "law/term.md"]


async def test_vectors_that_were_paid_for_survive_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "_QUEUE_BATCHES", 1)

    class Failing(HashEmbedder):
        async def embed(self, *arguments: Any, **options: Any) -> Any:
            if len(self.requests) == 2:
                raise ModelError("HTTP 400")
            return await super().embed(*arguments, **options)

    texts = {f"d{number}": f"text {number} of many" for number in range(60)}
    failing = Failing()
    with pytest.raises(ModelError):
        await built(tmp_path, texts, embedder=failing)
    embedder = HashEmbedder()
    assert (await built(tmp_path, texts, embedder=embedder)).embedded == 60 - 32
    assert IndexRetriever(tmp_path / "a.idx", embedder=embedder).embedder is embedder


async def test_vectors_cost_no_more_than_they_may(tmp_path: Path) -> None:
    embedder = HashEmbedder(price=PENNY, is_local=False)
    with pytest.raises(BudgetExceeded):
        await built(tmp_path, CORPUS, embedder=embedder, limits=Limits(cost_limit_usd="0.50"))
    assert not embedder.requests


async def test_another_embedder_makes_all_vectors_anew(tmp_path: Path) -> None:
    await built(tmp_path, CORPUS, embedder=HashEmbedder(name="one"))
    second = await built(tmp_path, CORPUS, embedder=HashEmbedder(name="two"))
    assert second.embedded == second.passages - 1  # of the harbour's passages two are the same
    with pytest.raises(RetrievalError, match="was made with two, not with one"):
        IndexRetriever(tmp_path / "a.idx", embedder=HashEmbedder(name="one"))


async def test_a_folder_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.idx").mkdir()
    (tmp_path / "a.idx" / "thesis.txt").write_text("years of work")
    with pytest.raises(RetrievalError, match=r"has other files, such as thesis\.txt"):
        await built(tmp_path, CORPUS)
    assert (tmp_path / "a.idx" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("damaged", ["*.store", "*.term", "*.idx", "*.pos", "meta.json", "documents.jsonl"])
@pytest.mark.parametrize("how", ["cut", "changed"])
async def test_a_damaged_file_is_one_line_wherever_it_is_met(tmp_path: Path, damaged: str, how: str) -> None:
    texts = [(f"{number}.txt", f"zebra {number} walrus " * 50) for number in range(30)]
    place = tmp_path / "a.idx"
    await build_index(Context.from_documents(texts), place)
    for path in place.rglob(damaged):
        data = path.read_bytes()
        path.unlink()  # what a build goes on with is linked to it
        path.write_bytes(data[: len(data) // 2] if how == "cut" else bytes(byte ^ 0x55 for byte in data))
    with contextlib.suppress(RetrievalError):
        reader = IndexRetriever(place)
        await reader.search("zebra", k=5, filters={})
        await reader.get("3.txt", start=0, size=10)
    with contextlib.suppress(RetrievalError):
        await build_index(Context.from_documents([*texts[1:], ("new.txt", "fresh")]), place)


async def test_a_build_that_was_cut_off_and_damaged_is_begun_anew(tmp_path: Path) -> None:
    place = tmp_path / "a.idx"
    await build_index(Context.from_documents([("a.txt", "zebra")]), place)
    current = (place / "current").read_text().strip()
    shutil.copytree(place / current, place / "building")
    (place / "building" / "base").write_text(current)
    for path in (place / "building" / "words").glob("*.term"):
        path.write_bytes(b"")
    again = await build_index(Context.from_documents([("a.txt", "zebra"), ("b.txt", "walrus")]), place)
    assert (again.documents, again.added, again.resumed) == (2, 1, False)
    assert [hit.id for hit in await IndexRetriever(place).search("walrus", k=5, filters={})] == ["b.txt"]


@pytest.mark.parametrize("broken", ["current", "manifest.json", "words/meta.json"])
async def test_a_broken_index_is_one_line_with_the_remedy(tmp_path: Path, broken: str) -> None:
    await built(tmp_path, CORPUS)
    (path,) = [each for each in (tmp_path / "a.idx").rglob(broken.rpartition("/")[2]) if each.is_file()]
    path.write_text("\x00 nonsense")
    with pytest.raises(RetrievalError, match="build"):
        IndexRetriever(tmp_path / "a.idx")


@pytest.mark.parametrize("missing", ["documents.jsonl", "words", "words/meta.json", "manifest.json", "."])
async def test_half_an_index_is_not_built_upon(tmp_path: Path, missing: str) -> None:
    await built(tmp_path, CORPUS)
    (generation,) = (tmp_path / "a.idx").glob("generation-*")
    path = generation / missing
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    with pytest.raises(RetrievalError, match=r"a\.idx is broken; delete it, and rebuild it"):
        await built(tmp_path, CORPUS)
    shutil.rmtree(tmp_path / "a.idx")
    assert (await built(tmp_path, CORPUS)).added == 3


async def test_an_index_of_a_later_version_is_read_by_that_version_only(tmp_path: Path) -> None:
    await built(tmp_path, CORPUS)
    (manifest,) = (tmp_path / "a.idx").rglob("manifest.json")
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 7, "shards": 3'))
    before = manifest.read_bytes()
    for attempt in (lambda: IndexRetriever(tmp_path / "a.idx"), lambda: asyncio.run(built(tmp_path, CORPUS))):
        with pytest.raises(RetrievalError, match="has format 7, which a later version of rlmbox wrote"):
            await anyio.to_thread.run_sync(attempt)
    assert manifest.read_bytes() == before


async def test_of_two_builds_one_waits_for_nothing_and_says_so(tmp_path: Path) -> None:
    await built(tmp_path, CORPUS)
    refused: list[str] = []

    def other(progress: building.Progress) -> None:
        if not refused:
            code = (
                "import asyncio, sys; from rlmbox.context import Context; from rlmbox.retrieval.index import building"
            )
            code += "\nasyncio.run(building.build_index(Context.from_text('x'), sys.argv[1]))"
            command = [*python_command(), "-c", code, str(tmp_path / "a.idx")]
            refused.append(subprocess.run(command, capture_output=True, text=True, check=False).stderr)

    assert (await built(tmp_path, {"new.txt": "other text"}, progress=other)).added == 1
    assert "another build of" in refused[0]


@pytest.mark.parametrize("place", ["corpus.idx", "index:", "mysql://x", "index"])
def test_a_place_that_is_none_says_what_one_looks_like(place: str) -> None:
    with pytest.raises(ConfigError, match=r"index:\./corpus\.idx"):
        RLM(retriever=place)


async def test_a_session_searches_it_by_its_place(tmp_path: Path) -> None:
    await built(tmp_path, CORPUS)
    code = "h = search('late delivery')\nFINAL(get_document(h[0]['id'], 13, 3), sources=h[:1])"
    asked = rlm(repl(code), retriever=f"index:{tmp_path / 'a.idx'}")
    answer = await asked.aask("Which penalty?")
    assert answer.text == "5 %"
    assert [source.document for source in answer.sources] == ["law/penalty.txt"]
    await asked.aclose()
