"""Following the control journal."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from services.replay.engine.journal import JournalEntry, JournalTail, parse_entry
from services.runtime.session.intents import Intent, Pause, Resume, SetMode, SetSpeed
from services.runtime.session.keys import SessionKeys

KEYS = SessionKeys("default")


class FakeRedis:
    """Just the journal."""

    def __init__(self, entries: dict[int, bytes], intended: dict[bytes, bytes] | None = None) -> None:
        self.entries = entries
        self.intended = intended or {}

    def xread(self, streams: dict[str, str], count: int, block: int | None) -> list[Any]:
        (key, after), *_ = streams.items()
        assert key == KEYS.control
        found = [
            (f"0-{revision}".encode(), {b"intent": body})
            for revision, body in sorted(self.entries.items())
            if revision > int(after.partition("-")[2])
        ]
        return [[key.encode(), found[:count]]] if found else []

    def xrevrange(self, key: str, highest: str = "0-1000000", count: int = 1) -> list[Any]:
        revisions = sorted(number for number in self.entries if number <= int(highest.partition("-")[2]))
        return [(f"0-{number}".encode(), {b"intent": self.entries[number]}) for number in reversed(revisions[-count:])]

    def hgetall(self, key: str) -> dict[bytes, bytes]:
        return self.intended


def tail(after: int) -> JournalTail:
    journal = JournalTail(lambda: None, KEYS, wake=lambda: None, random=Random(1))  # type: ignore[arg-type,return-value]
    journal._after = after
    return journal


def test_intents_are_read_behind_the_last_one_applied() -> None:
    stored = {number: json.dumps({"kind": "pause"}).encode() for number in (1, 2, 3)}

    entries = tail(1).read(FakeRedis(stored))  # type: ignore[arg-type]

    assert [(entry.revision, entry.intent) for entry in entries] == [(2, Intent(Pause())), (3, Intent(Pause()))]


@pytest.mark.parametrize(
    "body",
    [b"", None, b"{", b"[]", b"{}", b'{"kind":"speed","speed":"fast"}', b'{"kind":"mode","mode":"x"}', b"\xff"],
)
def test_an_entry_that_cannot_be_read_is_an_intent_with_a_problem(body: bytes | None) -> None:
    intent = parse_entry(7, body)

    assert intent.revision == 7
    assert intent.problem


def test_an_entry_is_understood() -> None:
    body = json.dumps({"kind": "mode", "mode": 2, "request_id": "r", "time_ns": 1, "correlation_id": "c"}).encode()

    entry = parse_entry(3, body)

    assert entry == JournalEntry(3, Intent(SetMode(2), request_id="r", correlation_id="c", time_ns=1))
    assert entry.correlation_id == "c"


def test_an_entry_for_another_partition_counts_and_asks_for_nothing() -> None:
    body = Intent(Pause(), partition=1).encode().encode()

    assert parse_entry(3, body, partition=1) == JournalEntry(3, Intent(Pause(), partition=1))
    assert parse_entry(3, body, partition=0) == JournalEntry(3)
    assert parse_entry(3, Intent(Pause()).encode().encode(), partition=2).intent == Intent(Pause())


def test_an_entry_of_a_newer_version_is_refused_with_the_reason() -> None:
    entry = parse_entry(3, json.dumps({"version": 2, "kind": "pause"}).encode())

    assert entry.intent is None
    assert "version 2" in entry.problem


def test_a_journal_that_starts_over_hands_over_what_it_adds_up_to() -> None:
    journal = tail(5)
    client = FakeRedis({1: b"{}"}, {b"mode": b"2", b"paused": b"0", b"speed": b"4.0", b"revision": b"1"})

    journal._check_continuity(client)  # type: ignore[arg-type]

    entries = journal.take()
    assert [(entry.intent, entry.revision, entry.restarts) for entry in entries] == [
        (None, 1, True),
        (Intent(SetMode(2)), 1, True),
        (Intent(Resume()), 1, True),
        (Intent(SetSpeed(4.0)), 1, True),
    ]
    assert journal.take() == []


def test_a_journal_that_is_gone_starts_at_nothing() -> None:
    journal = tail(5)

    journal._check_continuity(FakeRedis({}))  # type: ignore[arg-type]

    assert [(entry.intent, entry.revision) for entry in journal.take()] == [(None, 0)]
    assert journal.read(FakeRedis({1: b'{"kind":"pause"}'}))[0].revision == 1  # type: ignore[arg-type]


def test_a_journal_that_gave_revisions_again_is_read_from_where_it_differs() -> None:
    first = {1: b'{"kind":"pause"}', 2: b'{"kind":"resume"}', 3: b'{"kind":"speed","speed":2.0}'}
    journal = tail(0)
    journal.read(FakeRedis(first))  # type: ignore[arg-type]
    # A replica without 2 and 3 took over, and Control went on before anybody looked.
    again = {1: first[1], 2: b'{"kind":"seek","revision":1}', 3: first[2], 4: b'{"kind":"speed","speed":4.0}'}
    client = FakeRedis(again, {b"paused": b"0", b"paused_revision": b"3", b"mode": b"2", b"mode_revision": b"1"})

    journal._check_continuity(client)  # type: ignore[arg-type]
    read = journal.read(client)  # type: ignore[arg-type]

    handed_over = [(entry.revision, entry.intent, entry.restarts) for entry in journal.take()]
    assert handed_over == [(1, None, True), (1, Intent(SetMode(2)), True)]
    assert [entry.revision for entry in read] == [2, 3, 4]
    assert (read[1].intent, read[2].intent) == (Intent(Resume()), Intent(SetSpeed(4.0)))
    journal._check_continuity(client)  # type: ignore[arg-type]
    assert journal.take() == []
