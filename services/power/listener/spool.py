"""Keep what the database cannot take now: on disk, in order, in numbered segments, synced before `append` returns.

A record is one line: the CRC-32 of the rest, a space, JSON. What has been committed is forgotten segment by segment; a
record that is read again after a crash is recognised by its mark (`FeedEntry.mark`), so no read position has to be kept.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import logging
import os
import zlib
from collections.abc import Sequence
from dataclasses import MISSING, asdict
from pathlib import Path
from typing import Any, Final

from clients.power.deals.model import Deal, Gap, Item, Unusable, capped
from services.power.listener.feed_entry import FeedEntry, Mark
from services.runtime.log_fields import fields
from services.runtime.private_files import make_private_below, private_directory

__all__ = ["Spool", "SpoolBusy", "SpoolFull", "SpoolUnreadable"]

logger = logging.getLogger(__name__)

SEGMENT_BYTES: Final = 16 << 20
BYTES_MAX: Final = 1 << 30
"""Some three million deals."""

_KINDS: Final[dict[str, type[Deal] | type[Unusable] | type[Gap]]] = {"deal": Deal, "unusable": Unusable, "gap": Gap}
# What a deal usually is stays unwritten: most of the spool's room is for deals, and versions before revisions can read it.
_USUAL: Final = {field.name: field.default for field in dataclasses.fields(Deal) if field.default is not MISSING}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


class SpoolBusy(Exception):
    """Another process uses the directory."""


class SpoolUnreadable(Exception):
    """The directory holds a whole record that this version does not know. It may be the only copy of a deal: nothing is dropped."""


class SpoolFull(Exception):
    """The bound is reached or the disk takes no more; nothing of the batch was kept. Stop reading until there is room."""


class Spool:
    """One directory, one process (a lock says so). Its methods block: call them from a thread, one at a time.

    Opening it recovers what an earlier process left: a torn end is cut off, a damaged record becomes an unusable message.
    """

    def __init__(self, directory: Path, *, bytes_max: int = BYTES_MAX, segment_bytes: int = SEGMENT_BYTES) -> None:
        make_private_below(private_directory(directory))
        self._directory = directory
        self._bytes_max = bytes_max
        self._segment_bytes = segment_bytes
        self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(self._lock)
            raise SpoolBusy(f"{directory} is in use by another listener; stop it or name another directory") from exc
        self._segments = sorted(directory.glob("*.spool"))
        self._offset = 0
        """Behind what has been forgotten, in the first segment."""
        self._writer: int | None = None
        self._written = 0
        """Good bytes in the segment being written."""
        self.bytes_waiting = 0
        self.records = 0
        self.last_deal_id: str | None = None
        """Of the newest deal that waits here: the feed goes on behind it."""
        try:
            self._recover()
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return self.records == 0

    def append(self, entries: Sequence[FeedEntry]) -> None:
        """Keep a batch durably, or raise SpoolFull and keep nothing of it."""
        block = b"".join(_encode(entry) for entry in entries)
        if self.bytes_waiting + len(block) > self._bytes_max:
            raise SpoolFull(
                f"{self._directory} holds {self.bytes_waiting} bytes; more than {self._bytes_max} are not kept"
            )
        try:
            if self._writer is None or self._written >= self._segment_bytes:
                self._next_segment()
            assert self._writer is not None
            _write_all(self._writer, block, self._written)
            os.fdatasync(self._writer)
        except OSError as exc:
            # After a failed sync nobody knows what the disk holds of this segment: the next batch gets a fresh one.
            self._abandon()
            raise SpoolFull(f"{self._directory} cannot be written: {exc.strerror or exc}") from exc
        self._written += len(block)
        self.bytes_waiting += len(block)
        self.records += len(entries)
        for entry in reversed(entries):
            if isinstance(entry.item, Deal) and entry.moves_cursor:
                self.last_deal_id = entry.item.key
                break

    def peek(self, count: int) -> tuple[list[FeedEntry], int]:
        """Return up to `count` of the oldest entries and the token with which they are forgotten."""
        entries: list[FeedEntry] = []
        length = 0
        # One segment at a time: a batch that ends with it is only a little smaller.
        while self._segments and not entries:
            with self._segments[0].open("rb") as lines:
                lines.seek(self._offset)
                while len(entries) < count and (line := lines.readline()).endswith(b"\n"):
                    length += len(line)
                    entries.append(_decode(line))
            if not entries and self._written_segment(self._segments[0]):
                break
            if not entries:
                # What a failed write left behind was never acknowledged.
                self._drop_first()
        return entries, length

    def forget(self, count: int, token: int) -> None:
        """Let go of the entries that `peek` returned: they are committed."""
        self._offset += token
        self.bytes_waiting -= token
        self.records -= count
        if self._offset >= self._size(self._segments[0]):
            self._drop_first()

    def close(self) -> None:
        """Let go of files and lock; what waits stays on disk."""
        self._close_writer()
        os.close(self._lock)

    def _recover(self) -> None:
        kept: list[Path] = []
        for path in self._segments:
            good = 0
            with path.open("rb") as lines:
                for line in lines:
                    if not line.endswith(b"\n"):
                        logger.warning(
                            "spool ends in a torn record, which was never acknowledged", extra=fields(file=path.name)
                        )
                        break
                    good += len(line)
                    self.records += 1
                    entry = self._known(path, line)
                    if isinstance(entry.item, Deal) and entry.moves_cursor:
                        self.last_deal_id = entry.item.key
            if not good:
                path.unlink()
                continue
            os.truncate(path, good)
            self.bytes_waiting += good
            kept.append(path)
        self._segments = kept
        if self.records:
            logger.info("spool recovered", extra=fields(records=self.records, bytes=self.bytes_waiting))

    def _known(self, path: Path, line: bytes) -> FeedEntry:
        try:
            return _decode(line)
        except SpoolUnreadable as exc:
            raise SpoolUnreadable(f"{path}, record {self.records}: {exc}") from exc.__cause__

    def _next_segment(self) -> None:
        self._close_writer()
        number = int(self._segments[-1].stem) + 1 if self._segments else 1
        path = self._directory / f"{number:08d}.spool"
        self._writer = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._written = 0
        self._segments.append(path)
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _abandon(self) -> None:
        """Give up the segment being written; what is good of it stays."""
        if self._writer is None:
            return
        path, written = self._segments[-1], self._written
        try:
            os.ftruncate(self._writer, written)
        except OSError:
            logger.warning("spool segment could not be cut back", extra=fields(file=path.name, good_bytes=written))
        self._close_writer()
        if written == 0:
            self._segments.pop()
            path.unlink(missing_ok=True)

    def _drop_first(self) -> None:
        first = self._segments[0]
        if self._written_segment(first):
            self._close_writer()
        first.unlink()
        self._segments.pop(0)
        self._offset = 0

    def _size(self, path: Path) -> int:
        return self._written if self._written_segment(path) else path.stat().st_size

    def _written_segment(self, path: Path) -> bool:
        return self._writer is not None and path == self._segments[-1]

    def _close_writer(self) -> None:
        if self._writer is not None:
            os.close(self._writer)
            self._writer = None


def _write_all(descriptor: int, block: bytes, offset: int) -> None:
    view = memoryview(block)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _encode(entry: FeedEntry) -> bytes:
    record = {
        "mark": entry.mark.spelt(),
        "moves_cursor": entry.moves_cursor,
        "kind": _NAMES[type(entry.item)],
        "item": {
            name: value for name, value in asdict(entry.item).items() if name not in _USUAL or value != _USUAL[name]
        },
    }
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _decode(line: bytes) -> FeedEntry:
    """Return the entry of a line. A damaged one is told, not dropped: it becomes an unusable message with a mark of its own."""
    crc, _, text = line.rstrip(b"\n").partition(b" ")
    if crc == b"%08x" % zlib.crc32(text):
        try:
            record: dict[str, Any] = json.loads(text)
            item: Item = _KINDS[record["kind"]](**record["item"])
            return FeedEntry(Mark.parse(record["mark"]), item, record["moves_cursor"])
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise SpoolUnreadable(
                f"a record is whole and of no known kind ({exc!r}): a newer Midstream wrote it; start that one until it is empty"
            ) from exc
    mark = Mark(f"damaged-{zlib.crc32(line):08x}", 1)
    return FeedEntry(mark, Unusable(0, "damaged in the spool on disk", capped(line)), moves_cursor=False)
