"""What goes over the wire in one transaction, and how its answers are read."""

from __future__ import annotations

import pytest
from redis.exceptions import ExecAbortError, OutOfMemoryError, ResponseError

from services.replay.queue.backlog import BacklogEntry
from services.replay.queue.errors import RedisRefused
from services.replay.queue.transaction import Batch, Transaction, refuse_unless_temporary
from services.replay.queue.wire import pack
from tests.support.resp import RespSplitter


def batch(first: int, encoded: bytes) -> Batch:
    return Batch(BacklogEntry(first, first, len(encoded), 0), encoded)


def commands(transaction: Transaction, *, create: bool) -> list[bytes]:
    return RespSplitter().feed(b"".join(transaction.chunks("t", pack("WATCH", "f"), create=create)))


def test_only_the_very_first_entry_may_create_the_stream() -> None:
    transaction = Transaction([batch(1, b"one"), batch(2, b"\r\n$3\r\n")], commands={"lease": pack("PEXPIRE", "l", 1)})

    sent = commands(transaction, create=True)

    assert sent == [
        pack("MULTI"),
        pack("XADD", "t", "0-1", "b", b"one"),
        pack("XADD", "t", "NOMKSTREAM", "0-2", "b", b"\r\n$3\r\n"),
        pack("PEXPIRE", "l", 1),
        pack("EXEC"),
        pack("WATCH", "f"),
    ]
    assert commands(transaction, create=False)[1] == pack("XADD", "t", "NOMKSTREAM", "0-1", "b", b"one")


def test_payloads_are_sent_without_a_copy() -> None:
    payload = b"x" * 1000

    chunks = list(Transaction([batch(1, payload)]).chunks("t", b"", create=True))

    assert any(chunk is payload for chunk in chunks)


def test_a_refused_command_is_the_reason_not_the_discarded_exec() -> None:
    refusal = OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")

    outcome = Transaction([batch(1, b"x")]).outcome([b"OK", refusal, ExecAbortError("Transaction discarded")])

    assert outcome.error is refusal


def test_an_exec_without_answer_was_touched() -> None:
    assert Transaction([batch(1, b"x")]).outcome([b"OK", b"QUEUED", None]).touched


def test_results_are_told_apart_by_name() -> None:
    transaction = Transaction([batch(1, b"x")], commands={"lease": b"", "trim": b""})

    outcome = transaction.outcome([b"OK", b"QUEUED", b"QUEUED", b"QUEUED", [b"0-1", 0, [3, b"0-9"]]])

    assert (outcome.added, outcome.results) == ([b"0-1"], {"lease": 0, "trim": [3, b"0-9"]})


def test_waiting_helps_against_memory_but_not_against_a_missing_right() -> None:
    refuse_unless_temporary(OutOfMemoryError("command not allowed"))
    with pytest.raises(RedisRefused, match="WRONGTYPE"):
        refuse_unless_temporary(ResponseError("WRONGTYPE Operation against a key"))
