"""The journal beyond 10,000 intents, in memory trouble, and with two servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from services.control import journal as journal_module
from services.control.journal import ControlJournal, InEffect
from services.runtime.clock import SystemClock
from services.runtime.connection import connect_async
from services.runtime.errors import ResourceExhausted, Unavailable
from services.runtime.session.intents import Intent, SetSpeed
from services.runtime.session.keys import SessionKeys

KEPT, STEP = 100, 20
judge = journal_module._judge


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same at a size that takes no time."""
    assert journal_module.JOURNAL_LENGTH_MAX == 10_000
    monkeypatch.setattr(journal_module, "JOURNAL_LENGTH_MAX", KEPT)
    monkeypatch.setattr(journal_module, "ARCHIVE_STEP", STEP)
    monkeypatch.setattr(journal_module, "PENDING_MAX", 50)


@pytest.fixture
def keys(session_name: str) -> SessionKeys:
    return SessionKeys(session_name)


@pytest.fixture
async def make_journal(redis_url: str) -> AsyncIterator[Callable[[Path], ControlJournal]]:
    clients = []

    def make(directory: Path) -> ControlJournal:
        clients.append(connect_async(redis_url, client_name="test-control"))
        return ControlJournal(clients[-1], clock=SystemClock(), archive_directory=directory)

    yield make
    for client in clients:
        await client.aclose()


async def set_speeds(journal: ControlJournal, keys: SessionKeys, speeds: range, *, applied: int | None = None) -> None:
    """Journal a speed each; the engine has applied everything before, or up to `applied`."""
    for speed in speeds:
        effect = InEffect(repr(float(speed - 1)), speed - 1 if applied is None else applied)
        await journal.append(keys, Intent(SetSpeed(speed), correlation_id="c"), effect=effect)


def archived(directory: Path, keys: SessionKeys) -> list[dict[str, Any]]:
    path = directory / f"control-{keys.session}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def kept(client: redis.Redis, keys: SessionKeys) -> dict[int, dict[str, Any]]:
    entries: Any = client.xrange(keys.control)
    return {int(entry_id.split(b"-")[1]): json.loads(fields[b"intent"]) for entry_id, fields in entries}


async def test_intents_beyond_the_newest_move_to_the_file_and_none_is_lost(
    make_journal: Callable[[Path], ControlJournal], redis_client: redis.Redis, keys: SessionKeys, tmp_path: Path
) -> None:
    await set_speeds(make_journal(tmp_path), keys, range(1, 251))

    lines = archived(tmp_path, keys)
    rest = kept(redis_client, keys)
    assert [line["revision"] for line in lines] + list(rest) == list(range(1, 251))
    assert KEPT <= len(rest) < KEPT + STEP
    assert [line["intent"]["speed"] for line in lines] == [float(line["revision"]) for line in lines]


async def test_crash_between_file_and_trim_archives_twice_and_loses_nothing(
    make_journal: Callable[[Path], ControlJournal],
    redis_client: redis.Redis,
    keys: SessionKeys,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dying, after = make_journal(tmp_path), make_journal(tmp_path)

    async def die(*_: object, **__: object) -> None:
        raise redis.ConnectionError("the process died here")

    monkeypatch.setattr(dying._client, "xtrim", die)
    await set_speeds(dying, keys, range(1, KEPT + STEP + 1))
    assert len(archived(tmp_path, keys)) == STEP
    assert len(kept(redis_client, keys)) == KEPT + STEP

    await set_speeds(after, keys, range(KEPT + STEP + 1, KEPT + STEP + 2))

    assert {line["revision"] for line in archived(tmp_path, keys)} | set(kept(redis_client, keys)) == set(
        range(1, KEPT + STEP + 2)
    )
    assert len(kept(redis_client, keys)) == KEPT


async def test_file_that_cannot_be_written_does_not_fail_the_intent(
    make_journal: Callable[[Path], ControlJournal], redis_client: redis.Redis, keys: SessionKeys, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a directory")

    await set_speeds(make_journal(tmp_path / "file"), keys, range(1, KEPT + STEP + 11))

    assert list(kept(redis_client, keys)) == list(range(1, KEPT + STEP + 11))


async def test_intents_that_no_engine_has_read_are_not_archived_and_more_are_refused(
    make_journal: Callable[[Path], ControlJournal], redis_client: redis.Redis, keys: SessionKeys, tmp_path: Path
) -> None:
    journal = make_journal(tmp_path)

    with pytest.raises(ResourceExhausted, match="start its replay server"):
        await set_speeds(journal, keys, range(1, 1_000), applied=0)

    assert archived(tmp_path, keys) == []
    assert list(kept(redis_client, keys)) == list(range(1, KEPT + 51))


async def test_request_ids_are_forgotten_with_the_oldest_intents_only(
    make_journal: Callable[[Path], ControlJournal], redis_client: redis.Redis, keys: SessionKeys, tmp_path: Path
) -> None:
    journal = make_journal(tmp_path)
    for speed in range(1, 151):
        intent = Intent(SetSpeed(speed), f"request-{speed}")
        await journal.append(keys, intent, effect=InEffect("0.5", speed - 1))

    assert redis_client.zcard(keys.requests) == KEPT
    again = Intent(SetSpeed(60), "request-60")
    assert (await journal.append(keys, again, effect=InEffect("150.0", 150))).revision == 60


async def test_two_servers_number_intents_in_one_order(
    make_journal: Callable[[Path], ControlJournal], redis_client: redis.Redis, keys: SessionKeys, tmp_path: Path
) -> None:
    journals = [make_journal(tmp_path), make_journal(tmp_path)]

    async def append(number: int) -> int:
        intent = Intent(SetSpeed(number + 1), correlation_id="c", request_id=f"r{number // 2}")
        return (await journals[number % 2].append(keys, intent, effect=InEffect())).revision

    # Each request is made twice, by way of either server.
    revisions = await asyncio.gather(*(append(number) for number in range(40)))

    assert sorted(revisions) == [revision for revision in range(1, 21) for _ in range(2)]
    assert sorted(kept(redis_client, keys)) == list(range(1, 21))


@pytest.mark.parametrize("also_the_sum", [False, True], ids=["entry", "entry and sum"])
async def test_newest_entry_that_somebody_deleted_does_not_end_the_numbering(
    make_journal: Callable[[Path], ControlJournal],
    redis_client: redis.Redis,
    keys: SessionKeys,
    tmp_path: Path,
    also_the_sum: bool,
) -> None:
    journal = make_journal(tmp_path)
    await set_speeds(journal, keys, range(1, 4))
    redis_client.xdel(keys.control, "0-3")
    if also_the_sum:
        redis_client.delete(keys.intended)

    await set_speeds(journal, keys, range(7, 8), applied=0)

    # No engine takes 0-3 again.
    assert sorted(kept(redis_client, keys)) == [1, 2, 4]


async def test_race_that_is_lost_again_and_again_is_given_up(
    make_journal: Callable[[Path], ControlJournal],
    redis_client: redis.Redis,
    keys: SessionKeys,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal = make_journal(tmp_path)
    monkeypatch.setattr(
        journal_module, "_judge", lambda *read: redis_client.hincrby(keys.intended, "x") and judge(*read)
    )

    with pytest.raises(Unavailable, match=f"50 attempts lost their race for the journal of `{keys.session}`"):
        await set_speeds(journal, keys, range(1, 2))

    assert kept(redis_client, keys) == {}


@pytest.mark.parametrize("again", ["the same server", "another server, and a checkpoint that says it"])
async def test_a_revision_is_not_given_again_by_a_journal_that_came_back_without_it(
    again: str,
    make_journal: Callable[[Path], ControlJournal],
    keys: SessionKeys,
    redis_client: redis.Redis,
    tmp_path: Path,
) -> None:
    journal = make_journal(tmp_path)
    for speed in (1, 2, 3):
        await journal.append(keys, Intent(SetSpeed(speed)), effect=InEffect())
    redis_client.delete(keys.control, keys.intended, keys.requests)
    if again != "the same server":
        journal = make_journal(tmp_path)
        redis_client.hset(keys.checkpoint, "revision", "3")

    given = await journal.append(keys, Intent(SetSpeed(4)), effect=InEffect())

    assert given.revision == 4
