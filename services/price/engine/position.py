"""The position file: what the sink has committed, in two slots of one file that are overwritten in turn.

A commit overwrites the older slot in place and syncs once; the newer one stays whole whatever happens meanwhile.
Each slot is `CRC-32 | magic | version | generation | capacity | length | payload | zeros`, and the sum covers
everything behind it, zeros included, so that no bit of the file can change unnoticed.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import struct
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from services.price.engine.files import STATE, FileSystem
from services.price.engine.order_proofs import OrderProofs
from services.runtime.errors import StartRefused
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

MAGIC: Final = b"MIDSTPOS"
VERSION: Final = 1
SLOT_BYTES_MIN: Final = 4096
NO_PROOFS: Final = OrderProofs()
_OF_PARTITIONS: Final = ("index_bytes", "partition", "partitions")
_SUM: Final = struct.Struct("<I")
_HEAD: Final = struct.Struct("<8sIQII")
_HEAD_BYTES: Final = _SUM.size + _HEAD.size


@dataclass(frozen=True, kw_only=True)
class Position:
    """Everything that a sink needs in order to continue where it stopped."""

    epoch: str = ""
    sequence: int = 0
    live_sequence: int = 0
    """Last sequence seen that is not published again: of a live record, or of a discontinuity; 0 means none."""
    gap_next_sequence: int = 0
    """The sequence with which a gap marker said the numbering goes on; 0 means none."""
    cursor: bytes = b""
    mid_bytes: int = 0
    error_bytes: int = 0
    csv_bytes: int | None = None
    """None when no CSV file was kept."""
    index_bytes: int | None = None
    """None for a session of one partition: its logs need no index."""
    partition: int | None = None
    """The partition whose logs these are, of `partitions`; None in a session of one."""
    partitions: int | None = None
    kernel_state: bytes = b""
    proofs: OrderProofs = NO_PROOFS

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written to its logs."""
        return not (self.mid_bytes or self.error_bytes or self.index_bytes)


@dataclass(frozen=True)
class _Slot:
    generation: int
    position: Position


class PositionFile:
    """The position file of one directory. Only the holder of the directory's lock may open it."""

    def __init__(self, path: Path, files: FileSystem) -> None:
        """Read the last position; raises StartRefused when the file is there and no slot of it can be trusted."""
        self._path = path
        self._files = files
        self._descriptor = -1
        self._capacity = SLOT_BYTES_MIN
        self._generation = 0
        self.position: Position | None = None
        self.doubtful = False
        """One slot is damaged: `position` is valid, and it may be the one before the last."""
        if path.exists():
            self._descriptor = files.open(path, STATE)
            try:
                self._load(files.read(self._descriptor))
            except BaseException:
                self.close()
                raise

    def _load(self, content: bytes) -> None:
        slots, self._capacity = _read_slots(content, self._path)
        good = [slot for slot in slots if slot is not None]
        if not good:
            raise StartRefused(
                f"`{self._path}` is damaged in both of its copies, so the place to continue is unknown. "
                "Restore it together with the logs, or start over with --overwrite or in another directory"
            )
        last = max(good, key=lambda slot: slot.generation)
        self._generation = last.generation
        self.position = last.position
        if len(good) < 2 or abs(good[0].generation - good[1].generation) != 1:
            self.doubtful = True
            logger.warning(
                "position slot damaged", extra=fields(path=self._path, using_sequence=last.position.sequence)
            )

    def commit(self, position: Position) -> None:
        """Make `position` durable. After an OSError the file must not be used again."""
        payload = _encode(position)
        generation = self._generation + 1
        capacity = self._capacity
        while len(payload) > capacity - _HEAD_BYTES:
            capacity *= 2
        if self._descriptor < 0 or self.doubtful or capacity != self._capacity:
            self._rewrite(position, generation, capacity)
        else:
            slot = _pack(payload, generation, capacity)
            self._files.write(self._descriptor, slot, generation % 2 * capacity)
            self._files.sync(self._descriptor)
        self._generation = generation
        self.position = position

    def _rewrite(self, position: Position, generation: int, capacity: int) -> None:
        # The older of the two slots is what was committed before; a new file gets the beginning of everything instead.
        slots = [b"", b""]
        older = self.position if self.position is not None else Position()
        older_payload = _encode(older)
        if len(older_payload) > capacity - _HEAD_BYTES:
            older_payload = _encode(position)
        slots[generation % 2] = _pack(_encode(position), generation, capacity)
        slots[(generation - 1) % 2] = _pack(older_payload, generation - 1, capacity)
        temporary = self._path.with_name(self._path.name + ".new")
        descriptor = self._files.open(temporary, STATE)
        try:
            self._files.truncate(descriptor, 0)
            self._files.write(descriptor, slots[0] + slots[1], 0)
            self._files.sync(descriptor)
            self._files.replace(temporary, self._path)
            self._files.sync_directory(self._path.parent)
        except BaseException:
            self._files.close(descriptor)
            raise
        self.close()
        self._descriptor = descriptor
        self._capacity = capacity
        self.doubtful = False

    def close(self) -> None:
        if self._descriptor >= 0:
            self._files.close(self._descriptor)
            self._descriptor = -1


def _read_slots(content: bytes, path: Path) -> tuple[list[_Slot | None], int]:
    # The first slot says how large slots are; when it is damaged, the second one begins in the middle.
    capacity = len(content) // 2
    if len(content) >= _HEAD_BYTES:
        claimed = _HEAD.unpack_from(content, _SUM.size)[3]
        if SLOT_BYTES_MIN <= claimed <= len(content) and _is_whole(content[:claimed]):
            capacity = claimed
    slots = [_read_slot(content[start : start + capacity], path) for start in (0, capacity)]
    return slots, max(capacity, SLOT_BYTES_MIN)


def _is_whole(slot: bytes) -> bool:
    return len(slot) >= _HEAD_BYTES and _SUM.unpack_from(slot)[0] == zlib.crc32(memoryview(slot)[_SUM.size :])


def _read_slot(slot: bytes, path: Path) -> _Slot | None:
    if not _is_whole(slot):
        return None
    magic, version, generation, capacity, length = _HEAD.unpack_from(slot, _SUM.size)
    if magic != MAGIC:
        return None
    if version > VERSION:
        raise StartRefused(
            f"`{path}` was written by a newer Midstream (format {version}, this one knows {VERSION}). "
            "Continue with that version, or start over with --overwrite or in another directory"
        )
    if capacity != len(slot) or length > capacity - _HEAD_BYTES:
        return None
    try:
        return _Slot(generation, _decode(slot[_HEAD_BYTES : _HEAD_BYTES + length]))
    except (ValueError, TypeError, KeyError):
        return None


def _pack(payload: bytes, generation: int, capacity: int) -> bytes:
    body = _HEAD.pack(MAGIC, VERSION, generation, capacity, len(payload)) + payload
    body = body.ljust(capacity - _SUM.size, b"\0")
    return _SUM.pack(zlib.crc32(body)) + body


def _encode(position: Position) -> bytes:
    fields = asdict(position)
    fields["cursor"] = base64.b64encode(position.cursor).decode()
    fields["kernel_state"] = base64.b64encode(position.kernel_state).decode()
    if not position.proofs.digests:
        # As it was before there were proofs, so that an earlier release reads what it could have written.
        del fields["proofs"]
    for name in _OF_PARTITIONS:
        # The same for sessions of one partition.
        if fields[name] is None:
            del fields[name]
    return json.dumps(fields, separators=(",", ":")).encode()


def _decode(payload: bytes) -> Position:
    fields = json.loads(payload)
    try:
        for name in ("cursor", "kernel_state"):
            fields[name] = base64.b64decode(fields[name], validate=True)
    except binascii.Error as exc:
        raise ValueError(str(exc)) from exc
    if "proofs" in fields:
        proofs = fields["proofs"]
        fields["proofs"] = OrderProofs(int(proofs["every"]), tuple(str(digest) for digest in proofs["digests"]))
    return replace(Position(), **fields)
