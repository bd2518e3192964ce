"""Compressed files: what is there is played, what is not there is reported once."""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import pytest

from services.replay.sources import SourceFailed
from services.replay.sources.readers import ByteReader, CutReader, open_reader
from tests.reference.history import expected_outputs
from tests.reference.history import read_bytes as slow_read_bytes
from tests.support.history_files import Quirks, history_text
from tests.support.replayed import comparable_records, replay

TEXT = history_text(random.Random(1), Quirks(rows=400, bad=0.02))


def read_all(content: bytes, tmp_path: Path, *, step: int = 65_536) -> tuple[bytes, str]:
    path = tmp_path / "content.gz"
    path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        reader = open_reader(descriptor, len(content), "content.gz", compressed=True)
        out = bytearray()
        view = memoryview(bytearray(step))
        while count := reader.readinto(view):
            out += view[:count]
        assert reader.readinto(view) == 0
        return bytes(out), reader.damage
    finally:
        os.close(descriptor)


def damaged_files() -> dict[str, bytes]:
    packed = gzip.compress(TEXT)
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 0xFF
    checksum = bytearray(packed)
    checksum[-6] ^= 1
    length = bytearray(packed)
    length[-1] ^= 1
    return {
        "cut in the data": packed[: len(packed) * 2 // 3],
        "cut in the trailer": packed[:-3],
        "cut before the trailer": packed[:-8],
        "bits flipped": bytes(flipped),
        "wrong checksum": bytes(checksum),
        "wrong length": bytes(length),
        "text behind": packed + b"garbage",
        "one byte behind": packed + b"\x1f",
        "second member cut": gzip.compress(TEXT[:9000]) + gzip.compress(TEXT[9000:])[:-100],
        "second member without data": packed + packed[:4],
    }


@pytest.mark.quick
@pytest.mark.parametrize("step", [1, 100, 65_536])
@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(TEXT),
        gzip.compress(TEXT[:1000]) + gzip.compress(b"") + gzip.compress(TEXT[1000:]),
        gzip.compress(TEXT) + bytes(100_000),
        gzip.compress(TEXT[:10]) + bytes(3) + gzip.compress(TEXT[10:]),
        gzip.compress(bytes(3_000_000)),
        gzip.compress(TEXT, compresslevel=0),
    ],
    ids=["one member", "three members", "padded with zeros", "padded between", "dense", "stored"],
)
def test_whole_gzip_comes_out_whole(tmp_path: Path, content: bytes, step: int) -> None:
    if step == 1 and len(content) < len(gzip.decompress(content)) / 100:
        step = 1000

    assert read_all(content, tmp_path, step=step) == (gzip.decompress(content), "")


@pytest.mark.quick
@pytest.mark.parametrize("name", damaged_files())
def test_damaged_gzip_keeps_every_byte_before_the_damage(tmp_path: Path, name: str) -> None:
    content = damaged_files()[name]
    expected = slow_read_bytes(content)
    assert expected[1]

    assert read_all(content, tmp_path) == expected
    assert read_all(content, tmp_path, step=777) == expected


@pytest.mark.parametrize("seed", range(30))
def test_gzip_cut_or_flipped_anywhere_reads_like_the_slow_reader(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(seed)
    content = bytearray(gzip.compress(TEXT[:20_000]) + gzip.compress(TEXT[20_000:]))
    if random_.random() < 0.5:
        del content[random_.randrange(20, len(content)) :]
    else:
        content[random_.randrange(20, len(content))] ^= 1 << random_.randrange(8)

    assert read_all(bytes(content), tmp_path) == slow_read_bytes(bytes(content))


@pytest.mark.parametrize("name", damaged_files())
def test_loss_becomes_one_rejection_behind_the_last_whole_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "damaged.csv.gz"
    path.write_bytes(damaged_files()[name])
    expected = expected_outputs([path])

    replayed = replay([str(path)])

    assert replayed.rows == comparable_records(expected.sequence)
    assert replayed.damaged == (str(path),)
    assert sum("compressed data" in str(row[1]) for row in replayed.rows) == 1


def test_file_that_becomes_shorter_while_it_is_read_fails_loudly(tmp_path: Path) -> None:
    path = tmp_path / "shrinking"
    path.write_bytes(bytes(1000))
    descriptor = os.open(path, os.O_RDONLY)
    reader = open_reader(descriptor, 1000, str(path), compressed=False)
    view = memoryview(bytearray(100))
    assert reader.readinto(view) == 100
    os.truncate(path, 100)

    with pytest.raises(SourceFailed, match="became shorter"):
        reader.readinto(view)
    os.close(descriptor)


def test_file_that_grows_is_read_up_to_the_size_it_had(tmp_path: Path) -> None:
    path = tmp_path / "growing"
    path.write_bytes(bytes(150))
    descriptor = os.open(path, os.O_RDONLY)
    reader = open_reader(descriptor, 100, str(path), compressed=False)
    view = memoryview(bytearray(1000))

    assert reader.readinto(view) == 100
    assert reader.readinto(view) == 0
    os.close(descriptor)


@pytest.mark.parametrize("kind", ["plain", "gzip", "cut"])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_given_back_comes_again(tmp_path: Path, kind: str, seed: int) -> None:
    random_ = random.Random(seed)
    path = tmp_path / "content"
    path.write_bytes(gzip.compress(TEXT) if kind == "gzip" else TEXT)
    descriptor = os.open(path, os.O_RDONLY)
    reader: ByteReader = open_reader(descriptor, path.stat().st_size, str(path), compressed=kind == "gzip")
    expected = TEXT
    if kind == "cut":
        expected = TEXT[:5000]
        reader = CutReader(reader, len(expected), "nothing more can be believed")
    view = memoryview(bytearray(1000))

    read = b""
    while count := reader.readinto(view[: random_.randrange(1, 1001)]):
        used = random_.randrange(count + 1)
        read += view[:used]
        reader.unread(view[used:count])

    assert read == expected
    assert (reader.damage != "") is (kind == "cut")
    os.close(descriptor)
