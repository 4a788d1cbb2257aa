"""Replies are kept from run to run, for their owner only, and a broken cache never costs a run."""

import logging
import os
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from rlmbox.models.providers import provider_model
from rlmbox.requests.cache import CachedQuestion, ReplyCache, default_folder
from rlmbox.testing import ScriptedModel
from rlmbox.types import Completion, Message, Usage

MODEL = ScriptedModel([], name="m")
ASK = [Message("user", "Well?")]
HI = Completion("hi", Usage(5, 0, 2, 0, 1), "m")
QUESTION = CachedQuestion.of(MODEL, ASK, 100)


@pytest.fixture
def cache(tmp_path: Path) -> ReplyCache:
    return ReplyCache(tmp_path / "replies")


async def test_a_reply_that_was_kept_is_found_again_also_by_another_process(cache: ReplyCache, tmp_path: Path) -> None:
    assert await cache.get(QUESTION) is None
    await cache.put(QUESTION, HI, Decimal("0.001"))
    cache.close()
    kept = await ReplyCache(tmp_path / "replies").get(QUESTION)
    assert kept is not None
    assert (kept.text, kept.cost_usd) == ("hi", Decimal("0.001"))
    assert kept.completion("m").usage == Usage()


@pytest.mark.parametrize(
    "other",
    [
        CachedQuestion.of(ScriptedModel([], name="n"), ASK, 100),
        CachedQuestion.of(MODEL, [Message("user", "Well")], 100),
        CachedQuestion.of(MODEL, [Message("system", "Well?")], 100),
        CachedQuestion.of(MODEL, [*ASK, *ASK], 100),
        CachedQuestion.of(MODEL, ASK, 101),
        CachedQuestion.of(MODEL, ASK, 100, whole=True),
    ],
    ids=["model", "text", "role", "messages", "length", "whole"],
)
async def test_whatever_decides_a_reply_tells_questions_apart(cache: ReplyCache, other: CachedQuestion) -> None:
    await cache.put(QUESTION, HI, Decimal(0))
    assert await cache.get(other) is None


def test_the_address_and_the_temperature_tell_questions_apart() -> None:
    cold = provider_model("openai:m", base_url="http://127.0.0.1:1/v1", temperature=0.0)
    warm = provider_model("openai:m", base_url="http://127.0.0.1:1/v1", temperature=1.0)
    elsewhere = provider_model("openai:m", base_url="http://127.0.0.1:2/v1", temperature=0.0)
    assert len({CachedQuestion.of(model, ASK, 100).text for model in (cold, warm, elsewhere)}) == 3


async def test_a_reply_of_another_policy_is_not_used(tmp_path: Path) -> None:
    await ReplyCache(tmp_path, policy="open").put(QUESTION, HI, Decimal(0))
    assert await ReplyCache(tmp_path, policy="strict").get(QUESTION) is None
    assert await ReplyCache(tmp_path, policy="open").get(QUESTION) is not None


async def test_only_its_owner_can_read_it(cache: ReplyCache, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        await cache.put(QUESTION, HI, Decimal(0))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "replies").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "replies" / "replies.db").stat().st_mode) == 0o600


async def test_neither_prompts_nor_keys_are_in_the_file(cache: ReplyCache, tmp_path: Path) -> None:
    await cache.put(CachedQuestion.of(MODEL, [Message("user", "a very secret question")], 100), HI, Decimal(0))
    cache.close()
    assert b"secret" not in (tmp_path / "replies" / "replies.db").read_bytes()


async def test_it_stays_within_its_bound_and_forgets_what_was_used_longest_ago(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path, max_bytes=20_000)
    questions = [CachedQuestion.of(MODEL, [Message("user", str(n))], 100) for n in range(60)]
    for question in questions:
        await cache.put(question, replace(HI, text="x" * 1_000), Decimal(0))
        await cache.get(questions[0])  # used again and again
    found = [await cache.get(question) is not None for question in questions]
    assert found[0]
    assert found[-1]
    assert 10 <= sum(found) <= 20
    assert not any(found[1:30])


async def test_a_reply_that_would_fill_it_is_not_kept(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path, max_bytes=10_000)
    await cache.put(QUESTION, replace(HI, text="x" * 5_000), Decimal(0))
    assert await cache.get(QUESTION) is None


@pytest.mark.parametrize("content", [b"not a database at all" * 1_000, b"SQLite format 3\0" + b"\xff" * 5_000])
async def test_a_broken_file_is_put_aside(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "replies.db").write_bytes(content)
    cache = ReplyCache(tmp_path)
    with caplog.at_level(logging.WARNING, "rlmbox"):
        assert await cache.get(QUESTION) is None
    await cache.put(QUESTION, HI, Decimal(0))
    assert await cache.get(QUESTION) is not None
    assert "is broken" in caplog.text
    cache.close()


@pytest.mark.parametrize(
    "row", ["{", "[]", '{"text": 3, "cost_usd": "1"}', '{"text": "t", "cost_usd": "-1"}', '{"text": "t"}']
)
async def test_a_row_that_makes_no_sense_is_none(cache: ReplyCache, tmp_path: Path, row: str) -> None:
    await cache.put(QUESTION, HI, Decimal(0))
    with closing(sqlite3.connect(tmp_path / "replies" / "replies.db")) as database, database:
        database.execute("UPDATE replies SET reply = ?", (row,))
    database.close()
    assert await cache.get(QUESTION) is None


async def test_a_place_that_cannot_be_written_is_as_good_as_empty(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = ReplyCache(tmp_path / "file" / "replies")
    for _ in range(3):
        await cache.put(QUESTION, HI, Decimal(0))
        assert await cache.get(QUESTION) is None
    assert caplog.text.count("replies are not kept") == 1


async def test_while_another_process_writes_nothing_is_found_and_afterwards_it_is(
    cache: ReplyCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlmbox.requests.cache._BUSY_S", 0.01)
    await cache.put(QUESTION, HI, Decimal(0))
    other = sqlite3.connect(tmp_path / "replies" / "replies.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert await cache.get(QUESTION) is None
    await cache.put(CachedQuestion.of(MODEL, ASK, 7), HI, Decimal(0))
    other.execute("ROLLBACK")
    other.close()
    assert await cache.get(QUESTION) is not None


async def test_a_file_that_is_broken_later_costs_nothing_but_itself(cache: ReplyCache, tmp_path: Path) -> None:
    await cache.put(QUESTION, replace(HI, text="x" * 100_000), Decimal(0))
    file = tmp_path / "replies" / "replies.db"
    with file.open("r+b") as opened:
        opened.write(b"\xff" * file.stat().st_size)
    for _ in range(2):
        assert await cache.get(QUESTION) is None
        await cache.put(QUESTION, HI, Decimal(0))


async def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "somebody-elses"
    target.write_text("precious")
    (tmp_path / "replies").mkdir()
    (tmp_path / "replies" / "replies.db").symlink_to(target)
    cache = ReplyCache(tmp_path / "replies")
    await cache.put(QUESTION, HI, Decimal(0))
    assert target.read_text() == "precious"


async def test_many_may_use_it_at_once(tmp_path: Path) -> None:
    caches = [ReplyCache(tmp_path) for _ in range(3)]

    async def work(number: int) -> None:
        question = CachedQuestion.of(MODEL, [Message("user", str(number))], 100)
        await caches[number % 3].put(question, replace(HI, text=str(number)), Decimal(0))
        kept = await caches[(number + 1) % 3].get(question)
        assert kept is not None
        assert kept.text == str(number)

    async with anyio.create_task_group() as tasks:
        for number in range(60):
            tasks.start_soon(work, number)
    for cache in caches:
        cache.close()


def test_its_place_follows_the_users_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "rlmbox" / "replies"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "rlmbox" / "replies"
