"""The spool: in order, durable, bounded, and what a crash leaves of it."""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.power.deals import Gap, Unusable
from services.power.listener.feed_entry import FeedEntry, Mark
from services.power.listener.spool import Spool, SpoolBusy, SpoolFull, SpoolUnreadable
from tests.support.power_sink import entries_of, made_deal


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "spool")
    yield opened
    opened.close()


def drained(spool: Spool, count: int = 1_000) -> list[FeedEntry]:
    entries: list[FeedEntry] = []
    while not spool.empty:
        batch, token = spool.peek(count)
        spool.forget(len(batch), token)
        entries += batch
    return entries


def some(count: int, first: int = 1) -> list[FeedEntry]:
    return entries_of([made_deal(number) for number in range(first, first + count)], first=first)


@pytest.mark.quick
def test_what_was_put_in_comes_out_in_order(spool: Spool) -> None:
    entries = [
        *some(3),
        FeedEntry(Mark("run", 4), Unusable(5, "because\nof", 'raw "\\ Jörg')),
        FeedEntry(Mark("run", 5), Gap(None, 7, "away")),
        FeedEntry(Mark("run", 6), made_deal(9), moves_cursor=False),
    ]

    spool.append(entries[:2])
    spool.append(entries[2:])

    assert spool.records == 6
    assert spool.last_deal_id == made_deal(3).id
    assert drained(spool) == entries
    assert spool.bytes_waiting == 0


def test_a_batch_can_be_looked_at_again_until_it_is_forgotten(spool: Spool) -> None:
    entries = some(10)
    spool.append(entries)

    first, token = spool.peek(4)
    again, _ = spool.peek(4)
    spool.forget(4, token)

    assert first == again == entries[:4]
    assert drained(spool) == entries[4:]


def test_what_waits_survives_a_restart(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    first.append(some(5))
    _, token = first.peek(2)
    first.forget(2, token)
    first.close()

    second = Spool(tmp_path)
    second.append(some(2, first=6))

    # What was forgotten within a segment is there again; its marks tell that it was committed.
    assert second.last_deal_id == made_deal(7).id
    assert drained(second) == some(7)
    second.close()


def test_committed_segments_leave_the_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=1_000)
    for number in range(1, 31):
        spool.append(some(1, first=number))
    assert len(list(tmp_path.glob("*.spool"))) > 3

    assert drained(spool, 7) == some(30)

    assert list(tmp_path.glob("*.spool")) == []
    spool.append(some(1))
    assert drained(spool) == some(1)
    spool.close()


@pytest.mark.parametrize("cut", [1, 5, 12, 40, 150])
def test_a_torn_end_is_cut_off_and_the_rest_is_kept(tmp_path: Path, cut: int) -> None:
    spool = Spool(tmp_path)
    spool.append(some(4))
    spool.close()
    path = next(tmp_path.glob("*.spool"))
    os.truncate(path, path.stat().st_size - cut)

    again = Spool(tmp_path)
    again.append(some(1, first=4))

    assert drained(again) == some(4)
    again.close()


def test_a_damaged_record_is_told_and_its_neighbours_are_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(some(3))
    spool.close()
    path = next(tmp_path.glob("*.spool"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b'"price_e4":2', b'"price_e4":3') + lines[2])

    again = Spool(tmp_path)
    found = [entry.item for entry in drained(again)]

    assert found[0] == made_deal(1)
    assert found[2] == made_deal(3)
    assert isinstance(found[1], Unusable)
    assert found[1].reason == "damaged in the spool on disk"
    assert made_deal(2).id in found[1].raw
    again.close()


@pytest.mark.parametrize(
    "record",
    [
        {"mark": "m/1", "moves_cursor": True, "kind": "auction", "item": {}},
        {"mark": "m/1", "moves_cursor": True, "kind": "gap", "item": {"of_a_newer_release": 1}},
        {"mark": "m/1", "kind": "gap"},
        [],
        None,
    ],
    ids=["kind", "field", "missing", "list", "null"],
)
def test_a_whole_record_of_a_newer_release_is_refused_and_kept(tmp_path: Path, record: object) -> None:
    spool = Spool(tmp_path)
    spool.append(some(1))
    spool.close()
    [segment] = tmp_path.glob("*.spool")
    text = json.dumps(record).encode()
    with segment.open("ab") as lines:
        lines.write(b"%08x %s\n" % (zlib.crc32(text), text))
    before = segment.read_bytes()

    for _ in range(2):
        with pytest.raises(SpoolUnreadable, match=r"spool, record 2: .*a newer Midstream wrote it; start that one"):
            Spool(tmp_path)

    # It may be the only copy of a deal; and the lock is free again, so that the newer release can have it.
    assert segment.read_bytes() == before


def test_a_full_spool_refuses_and_keeps_nothing_of_the_batch(tmp_path: Path) -> None:
    spool = Spool(tmp_path, bytes_max=2_000)
    spool.append(some(3))

    with pytest.raises(SpoolFull, match="more than 2000 are not kept"):
        spool.append(some(5, first=4))

    assert drained(spool) == some(3)
    spool.append(some(5, first=4))
    assert drained(spool) == some(5, first=4)
    spool.close()


@pytest.mark.parametrize("failing", ["pwrite", "fdatasync"])
def test_a_disk_that_takes_no_more_leaves_the_spool_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    spool = Spool(tmp_path)
    spool.append(some(2))
    real_write = os.pwrite

    def fail(*arguments: object) -> int:
        if failing == "pwrite":
            real_write(arguments[0], bytes(arguments[1])[:100], arguments[2])  # type: ignore[arg-type,call-overload]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        with pytest.raises(SpoolFull, match="No space left"):
            spool.append(some(3, first=3))

    spool.append(some(3, first=3))
    assert drained(spool) == some(5)
    spool.close()


def test_a_failed_cut_after_a_failed_write_loses_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    spool.append(some(2))
    real_write = os.pwrite
    torn = False

    def tear(descriptor: int, block: bytes, offset: int) -> int:
        nonlocal torn
        if not torn:
            torn = True
            real_write(descriptor, bytes(block)[:100], offset)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def refuse(*_: object) -> None:
        if torn:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", tear)
        patch.setattr(os, "ftruncate", refuse)
        with pytest.raises(SpoolFull):
            spool.append(some(3, first=3))

    spool.append(some(3, first=3))
    assert drained(spool) == some(5)
    spool.close()


def test_a_second_listener_cannot_have_the_same_directory(tmp_path: Path) -> None:
    spool = Spool(tmp_path)

    with pytest.raises(SpoolBusy, match="in use by another listener"):
        Spool(tmp_path)

    spool.close()
    Spool(tmp_path).close()


def test_every_append_is_synced_before_it_returns(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)

    spool.append(some(1))
    spool.append(some(1, first=2))

    assert len(synced) == 2
