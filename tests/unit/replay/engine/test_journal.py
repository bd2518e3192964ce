"""Following the control journal."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from services.replay.engine.journal import Intent, JournalTail, parse_intent
from services.runtime.keys import SessionKeys

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

    def xrevrange(self, key: str, count: int) -> list[Any]:
        return [(f"0-{max(self.entries)}".encode(), {})] if self.entries else []

    def hgetall(self, key: str) -> dict[bytes, bytes]:
        return self.intended


def tail(after: int) -> JournalTail:
    journal = JournalTail(lambda: None, KEYS, wake=lambda: None, random=Random(1))  # type: ignore[arg-type,return-value]
    journal._after = after
    return journal


def test_intents_are_read_behind_the_last_one_applied() -> None:
    entries = {number: json.dumps({"kind": "pause"}).encode() for number in (1, 2, 3)}

    intents = tail(1).read(FakeRedis(entries))  # type: ignore[arg-type]

    assert [(intent.revision, intent.kind) for intent in intents] == [(2, "pause"), (3, "pause")]


@pytest.mark.parametrize(
    "body",
    [b"", None, b"{", b"[]", b"{}", b'{"kind":"speed","speed":"fast"}', b'{"kind":"mode","mode":"x"}', b"\xff"],
)
def test_an_entry_that_cannot_be_read_is_an_intent_with_a_problem(body: bytes | None) -> None:
    intent = parse_intent(7, body)

    assert intent.revision == 7
    assert intent.problem


def test_an_entry_is_understood() -> None:
    body = json.dumps({"kind": "mode", "mode": 2, "request_id": "r", "time_ns": 1, "correlation_id": "c"}).encode()

    assert parse_intent(3, body) == Intent(3, "mode", mode=2, correlation_id="c")


def test_a_journal_that_starts_over_hands_over_what_it_adds_up_to() -> None:
    journal = tail(5)
    client = FakeRedis({1: b"{}"}, {b"mode": b"2", b"paused": b"0", b"speed": b"4.0", b"revision": b"1"})

    journal._check_continuity(client)  # type: ignore[arg-type]

    intents = journal.take()
    assert [(intent.kind, intent.revision, intent.restarts) for intent in intents] == [
        ("none", 1, True),
        ("mode", 1, True),
        ("resume", 1, True),
        ("speed", 1, True),
    ]
    assert journal.take() == []


def test_a_journal_that_is_gone_starts_at_nothing() -> None:
    journal = tail(5)

    journal._check_continuity(FakeRedis({}))  # type: ignore[arg-type]

    assert [(intent.kind, intent.revision) for intent in journal.take()] == [("none", 0)]
    assert journal.read(FakeRedis({1: b'{"kind":"pause"}'}))[0].revision == 1  # type: ignore[arg-type]
