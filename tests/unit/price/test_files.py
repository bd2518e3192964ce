"""A disk that refuses to make something durable is heard by everybody up to the acknowledgement."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastpath.midprice import PriceKernel
from services.price.engine.committer import Commit, Committer, Tally
from services.price.engine.files import RESULT, FileSystem, LogLengths, Logs
from services.price.engine.position import Position, PositionFile

pytestmark = pytest.mark.quick


@pytest.fixture
def unsyncable() -> Iterator[int]:
    """A descriptor that takes what is written and cannot be synced: a pipe."""
    reading, writing = os.pipe()
    yield writing
    os.close(reading)
    os.close(writing)


def test_a_sync_that_fails_raises(unsyncable: int) -> None:
    with pytest.raises(OSError) as caught:
        FileSystem().sync(unsyncable)

    assert caught.value.errno == errno.EINVAL


def test_a_directory_that_cannot_be_synced_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileSystem().sync_directory(tmp_path / "gone")


class FailingDisk(FileSystem):
    """Its own operations on real files; the system call below refuses to sync some of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self._refused: set[int] = set()
        self._name = name
        really = os.fdatasync

        def fdatasync(descriptor: int) -> None:
            if descriptor in self._refused:
                raise OSError(errno.EIO, "Input/output error")
            really(descriptor)

        monkeypatch.setattr(os, "fdatasync", fdatasync)

    def open(self, path: Path, mode: int = RESULT) -> int:
        descriptor = super().open(path, mode)
        if path.name == self._name:
            self._refused.add(descriptor)
        return descriptor


@pytest.mark.parametrize("name", ["mid_prices.log", "errors.log", "mid_prices.csv"])
def test_logs_whose_sync_fails_say_so_and_stay_unsynced(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = Logs(tmp_path, mid_bytes=0, error_bytes=0, csv_bytes=0, with_csv=True, files=FailingDisk(monkeypatch, name))
    logs.append(b"mid\n", b"error\n", b"csv\n")

    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            logs.sync(logs.lengths)
    logs.close()


class CountingDisk(FileSystem):
    """Counts what is synced, by the name of the file."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.synced: list[str] = []

    def open(self, path: Path, mode: int = RESULT) -> int:
        descriptor = super().open(path, mode)
        self.names[descriptor] = path.name
        return descriptor

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        self.synced.append(self.names[descriptor])


def test_what_is_written_while_a_commit_is_synced_is_synced_with_the_next(tmp_path: Path) -> None:
    files = CountingDisk()
    logs = Logs(tmp_path, mid_bytes=0, error_bytes=0, csv_bytes=None, with_csv=False, files=files)
    logs.append(b"mid\n", b"", b"")
    first = logs.lengths
    logs.append(b"mid\n", b"error\n", b"")

    logs.sync(first)
    assert files.synced == ["mid_prices.log"]
    logs.sync(LogLengths(mids=8, errors=6, csv=None))
    assert files.synced == ["mid_prices.log", "mid_prices.log", "errors.log"]
    logs.sync(logs.lengths)
    assert len(files.synced) == 3
    logs.close()


def test_what_a_crash_left_behind_is_cut_and_the_cut_is_synced(tmp_path: Path) -> None:
    (tmp_path / "mid_prices.log").write_bytes(b"committed\nnot committed\n")
    files = CountingDisk()
    logs = Logs(tmp_path, mid_bytes=10, error_bytes=0, csv_bytes=None, with_csv=False, files=files)

    logs.cut()
    logs.sync(logs.lengths)

    assert (tmp_path / "mid_prices.log").read_bytes() == b"committed\n"
    assert files.synced == ["mid_prices.log"]
    logs.close()


def test_a_position_whose_sync_fails_is_not_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PositionFile(tmp_path / "position", FileSystem()).commit(Position(sequence=1))
    file = PositionFile(tmp_path / "position", FailingDisk(monkeypatch, "position"))

    with pytest.raises(OSError, match="Input/output error"):
        file.commit(Position(sequence=2))

    assert file.position is not None
    assert file.position.sequence == 1
    file.close()


@pytest.mark.parametrize("name", ["mid_prices.log", "position"])
def test_a_commit_whose_sync_fails_is_no_commit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is collected is what is acknowledged to the queue.
    files = FailingDisk(monkeypatch, name)
    PositionFile(tmp_path / "position", FileSystem()).commit(Position())
    position_file = PositionFile(tmp_path / "position", files)
    logs = Logs(tmp_path, mid_bytes=0, error_bytes=0, csv_bytes=None, with_csv=False, files=files)
    committer = Committer(logs=logs, position_file=position_file, wake=lambda: None)
    kernel = PriceKernel(latency_threshold_ns=0, log_arrival=False, with_csv=False, with_mids=False, state=b"")
    logs.append(b"mid\n", b"", b"")

    committer.submit(
        Commit(
            position=Position(sequence=1, mid_bytes=4),
            records=1,
            entry_ids=(b"0-1",),
            tally=Tally.of(kernel),
            publish_time_ns=0,
        )
    )

    with pytest.raises(OSError, match="Input/output error"):
        committer.collect(wait=True)
    committer.close()
    assert position_file.position == Position()
    position_file.close()
    logs.close()
