"""Nothing that happens to the position file goes unnoticed."""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path

import pytest

from services.price.engine.files import FileSystem
from services.price.engine.position import SLOT_BYTES_MIN, Position, PositionFile
from services.runtime.errors import StartRefused


def position(sequence: int, *, cursor: bytes = b"\x00\xff") -> Position:
    return Position(
        epoch="epoch-1",
        sequence=sequence,
        live_sequence=3,
        gap_next_sequence=9,
        cursor=cursor,
        mid_bytes=sequence * 10,
        error_bytes=7,
        csv_bytes=None,
        kernel_state=bytes(range(256)),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "position"


def write(path: Path, *sequences: int, cursor: bytes = b"\x00\xff") -> bytes:
    file = PositionFile(path, FileSystem())
    for sequence in sequences:
        file.commit(position(sequence, cursor=cursor))
    file.close()
    return path.read_bytes()


def read(path: Path) -> PositionFile:
    file = PositionFile(path, FileSystem())
    file.close()
    return file


def test_missing_file_holds_no_position(path: Path) -> None:
    assert read(path).position is None


@pytest.mark.parametrize("commits", [1, 2, 3, 4, 5])
def test_last_commit_is_read_back(path: Path, commits: int) -> None:
    write(path, *range(100, 100 + commits))

    file = read(path)

    assert file.position == position(99 + commits)
    assert not file.doubtful


@pytest.mark.quick
def test_commit_keeps_the_one_before_in_the_other_slot(path: Path) -> None:
    content = write(path, 1, 2, 3)
    slots = [content[:SLOT_BYTES_MIN], content[SLOT_BYTES_MIN:]]
    for newest, slot in enumerate(slots):
        if b'"sequence":3' in slot:
            slots[newest] = bytes(SLOT_BYTES_MIN)
    path.write_bytes(b"".join(slots))

    file = read(path)

    assert file.position == position(2)
    assert file.doubtful


def test_every_flipped_bit_is_noticed(path: Path) -> None:
    content = write(path, 41, 42)
    silent = []
    for index in range(len(content)):
        damaged = bytearray(content)
        damaged[index] ^= 1 << index % 8
        path.write_bytes(damaged)

        file = read(path)

        if not file.doubtful or file.position not in (position(41), position(42)):
            silent.append(index)
    assert silent == []


def test_every_truncation_is_noticed(path: Path) -> None:
    content = write(path, 41, 42)
    for length in range(0, len(content), 61):
        path.write_bytes(content[:length])
        file = None
        with contextlib.suppress(StartRefused):
            file = read(path)

        assert file is None or (file.doubtful and file.position in (position(41), position(42)))


@pytest.mark.parametrize(
    "content", [b"", b"x", bytes(2 * SLOT_BYTES_MIN), b"\xff" * 8192], ids=["empty", "x", "0", "ff"]
)
def test_file_without_any_slot_is_refused_with_the_fix(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(StartRefused, match="--overwrite"):
        read(path)


@pytest.mark.parametrize("slot", [0, 1])
def test_slot_of_a_future_version_is_refused_and_not_skipped(path: Path, slot: int) -> None:
    content = bytearray(write(path, 41, 42))
    start = slot * SLOT_BYTES_MIN
    struct.pack_into("<I", content, start + 12, 2)
    body = content[start + 4 : start + SLOT_BYTES_MIN]
    struct.pack_into("<I", content, start, zlib.crc32(body))
    path.write_bytes(content)

    with pytest.raises(StartRefused, match="newer Midstream"):
        read(path)


def test_slots_grow_with_the_cursor_and_stay_readable(path: Path) -> None:
    write(path, 1, 2)
    large = bytes(20_000)

    content = write(path, 3, cursor=large)
    assert len(content) > 2 * SLOT_BYTES_MIN
    assert read(path).position == position(3, cursor=large)

    write(path, 4, 5)
    file = read(path)
    assert file.position == position(5)
    assert not file.doubtful


def test_damaged_slot_is_repaired_by_the_next_commit(path: Path) -> None:
    content = bytearray(write(path, 41, 42))
    content[100] ^= 1
    path.write_bytes(content)

    file = PositionFile(path, FileSystem())
    file.commit(position(43))
    file.close()

    file = read(path)
    assert file.position == position(43)
    assert not file.doubtful
