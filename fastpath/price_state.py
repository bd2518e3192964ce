"""The state of a PriceKernel as bytes, to store beside the logs."""

from __future__ import annotations

import struct
import zlib
from typing import Final, NamedTuple

DIGEST_OF_RECORDS: Final = 1
"""Versions of the state are those of the order digest in it. This one hashed every byte of every record."""
DIGEST_OF_BLOCKS: Final = 2

_MAGIC: Final = b"MSPK"
_HEAD: Final = struct.Struct("<4sI")
_CRC_BYTES: Final = 4
_TAIL_BYTES_MAX: Final = 63
# Counts, first and last arrival, words of the SHA-256, bytes compressed, length of the tail, tail.
_BODY: Final = struct.Struct(f"<7Q2q8IQB{_TAIL_BYTES_MAX}s")
# Lanes of the block that is not full, and records in all.
_BLOCK: Final = struct.Struct("<5QQ")
_BODY_BYTES: Final = {DIGEST_OF_RECORDS: _BODY.size, DIGEST_OF_BLOCKS: _BODY.size + _BLOCK.size}


class PriceState(NamedTuple):
    """Everything that makes a kernel continue where another one stopped."""

    digest_version: int
    counts: tuple[int, ...]
    first_arrival_time_ns: int
    last_arrival_time_ns: int
    words: tuple[int, ...]
    """Of the SHA-256, as are the next two."""
    compressed: int
    tail: bytes
    lanes: tuple[int, ...] = (0,) * 5
    records: int = 0

    def pack(self) -> bytes:
        """Return the bytes to store."""
        packed = _HEAD.pack(_MAGIC, self.digest_version) + _BODY.pack(
            *self.counts,
            self.first_arrival_time_ns,
            self.last_arrival_time_ns,
            *self.words,
            self.compressed,
            len(self.tail),
            self.tail,
        )
        if self.digest_version == DIGEST_OF_BLOCKS:
            packed += _BLOCK.pack(*self.lanes, self.records)
        return packed + zlib.crc32(packed).to_bytes(_CRC_BYTES, "little")

    @classmethod
    def unpack(cls, state: bytes) -> PriceState:
        """Read stored bytes. Raises ValueError when they are damaged, or of a version that this program does not know."""
        packed, crc = state[:-_CRC_BYTES], state[-_CRC_BYTES:]
        if len(packed) < _HEAD.size or zlib.crc32(packed).to_bytes(_CRC_BYTES, "little") != crc:
            raise _damaged(state)
        magic, version = _HEAD.unpack_from(packed)
        if magic != _MAGIC or version not in _BODY_BYTES:
            raise ValueError(
                f"`state` is of version {version}, this program reads {DIGEST_OF_RECORDS} and {DIGEST_OF_BLOCKS}; "
                "start over without it"
            )
        if len(packed) != _HEAD.size + _BODY_BYTES[version]:
            raise _damaged(state)
        fields = _BODY.unpack_from(packed, _HEAD.size)
        block: tuple[int, ...] = (0,) * 6
        if version == DIGEST_OF_BLOCKS:
            block = _BLOCK.unpack_from(packed, _HEAD.size + _BODY.size)
        return cls(
            digest_version=version,
            counts=fields[:7],
            first_arrival_time_ns=fields[7],
            last_arrival_time_ns=fields[8],
            words=fields[9:17],
            compressed=fields[17],
            tail=fields[19][: fields[18]],
            lanes=block[:5],
            records=block[5],
        )


def _damaged(state: bytes) -> ValueError:
    return ValueError(f"`state` ({len(state)} bytes) is damaged; start over without it")
