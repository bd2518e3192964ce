"""The files of a recording: whole records only, whatever happens, and a new file now and then."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.replay.recording.records import FrameRecord, Head, NotAHead, frame_of, is_record, parse_head
from services.runtime.errors import MidstreamError, StartRefused
from services.runtime.private_files import private_directory

SEGMENT: Final = re.compile(r"(\d{6,})\.rec")
MODE: Final = 0o600


class RecordingFailed(MidstreamError):
    """A recording cannot be written on; what was written before is whole."""

    written = 0
    """Bytes of the last append that were written: whole records."""


class Disk:
    """What a recording asks of a disk. Tests put one in its place that is full."""

    def create(self, path: Path) -> int:
        """Open a file that must not exist."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, MODE)

    def write(self, descriptor: int, chunk: memoryview) -> int:
        """Append; may write less."""
        return os.write(descriptor, chunk)

    def sync(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def sync_directory(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class SegmentLimits:
    """When a file is closed and the next one begun."""

    size: int = 256 << 20
    seconds: float = 3600.0


@dataclass(frozen=True)
class Place:
    """Where a recording goes: a folder of segments, or one file that is never rotated."""

    path: Path
    is_file: bool

    @property
    def folder(self) -> Path:
        return self.path.parent if self.is_file else self.path

    def segments(self) -> list[tuple[int, Path]]:
        """Return the segments that are there, in their order."""
        if self.is_file or not self.path.is_dir():
            return []
        found = ((SEGMENT.fullmatch(entry.name), entry) for entry in self.path.iterdir())
        return sorted((int(match[1]), entry) for match, entry in found if match is not None)

    def segment(self, number: int) -> Path:
        return self.path if self.is_file else self.path / f"{number:06d}.rec"

    def prepare(self) -> None:
        """Make the folder, private; one that is there is its owner's, and stays as it is. Raises StartRefused."""
        if self.is_file:
            if not self.folder.is_dir():
                raise StartRefused(f"--out: the folder {self.folder} does not exist; create it")
            return
        if os.path.lexists(self.path):
            if not self.path.is_dir():
                raise StartRefused(f"--out: {self.path} is no folder; choose another place")
            return
        try:
            private_directory(self.path)
        except OSError as exc:
            raise StartRefused(f"--out: {self.path} cannot be made: {exc.strerror}; choose another place") from exc

    def lock(self) -> int:
        """Keep other recorders out of the folder for as long as the descriptor is open; raises StartRefused."""
        try:
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise StartRefused(f"--out: {self.folder} cannot be opened: {exc.strerror}; choose another place") from exc
        if self.is_file:
            return descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StartRefused(
                f"--out: another recorder writes to {self.path}; stop it, or choose another folder"
            ) from None
        return descriptor


def place_of(out: Path) -> Place:
    """Understand `--out`: a name that ends in .rec is a file, any other one a folder."""
    return Place(out, is_file=out.suffix == ".rec")


@dataclass(frozen=True)
class Ending:
    """Where a recording stands that is to be continued."""

    head: Head
    """Of its next segment."""
    cut_bytes: int
    """What was cut off: a record that was being written when its recorder died."""
    latest: FrameRecord | None
    """Its last frame; None: it has none."""


def find_ending(place: Place, source: str) -> Ending:
    """Cut what is no whole record off the last segment, and say where to go on. Raises StartRefused."""
    cut = 0
    for number, path in reversed(place.segments()):
        head, end, latest = _read_through(path)
        size = path.stat().st_size
        if head is None:
            # It was begun and nothing more; its number is used again.
            cut += size
            path.unlink()
            continue
        if head.source != source:
            raise StartRefused(f"--append: {path} records {head.source}, not {source}; choose another folder")
        if end < size:
            os.truncate(path, end)
            cut += size - end
        frames, latest_ns = (
            (head.frames_before, head.latest_ns) if latest is None else (latest.number, latest.receive_time_ns)
        )
        known = latest or (FrameRecord(latest_ns, frames) if frames else None)
        return Ending(Head(source, number + 1, frames, latest_ns), cut, known)
    return Ending(Head(source, 1, 0, 0), cut, None)


def _read_through(path: Path) -> tuple[Head | None, int, FrameRecord | None]:
    """Return the head, where the last whole record ends, and the last frame."""
    latest: FrameRecord | None = None
    with path.open("rb") as file:
        line = file.readline()
        if not line.endswith(b"\n"):
            return None, 0, None
        try:
            head = parse_head(line)
        except NotAHead as exc:
            raise StartRefused(
                f"--append: {path} is no segment that can be continued: {exc}; choose another folder"
            ) from exc
        end = at = len(line)
        for line in file:
            at += len(line)
            if line.endswith(b"\n") and is_record(line):
                end = at
                latest = frame_of(line) or latest
    return head, end, latest


class SegmentWriter:
    """Appends records. What it has told to be written is whole records, in files that are whole but for the last one."""

    def __init__(
        self,
        place: Place,
        head: Head,
        limits: SegmentLimits,
        *,
        sync_s: float,
        monotonic_ns: Callable[[], int],
        disk: Disk | None = None,
    ) -> None:
        """Begin with the segment that `head` describes."""
        self._place = place
        self._limits = limits
        self._sync_ns = round(sync_s * 1e9)
        self._monotonic_ns = monotonic_ns
        self._disk = Disk() if disk is None else disk
        self._head = head
        self._descriptor = -1
        self._size = 0
        self._opened_ns = self._synced_ns = 0
        self._is_synced = True
        self.segments = 0
        self.bytes = 0
        """Of all segments, their heads included."""
        self._open(head)

    @property
    def path(self) -> Path:
        """Return the file in use."""
        return self._place.segment(self._head.segment)

    def append(self, records: bytes) -> None:
        """Write whole records; raises RecordingFailed, with as many of them in the file as there was room for."""
        view = memoryview(records)
        done = 0
        try:
            while done < len(view):
                done += self._disk.write(self._descriptor, view[done:])
        except OSError as exc:
            whole = records.rfind(b"\n", 0, done) + 1
            self._cut(self._size + whole)
            self.bytes += whole
            failed = self._failed("written", exc)
            failed.written = whole
            raise failed from exc
        self._size += done
        self.bytes += done
        self._is_synced = False

    def tend(self, *, frames: int, latest_ns: int) -> None:
        """Sync when that is due, and begin another segment when this one is large or old enough."""
        now_ns = self._monotonic_ns()
        if not self._place.is_file and (
            self._size >= self._limits.size or now_ns - self._opened_ns >= self._limits.seconds * 1e9
        ):
            head = self._head
            self.close()
            self._open(Head(head.source, head.segment + 1, frames, latest_ns))
        elif not self._is_synced and now_ns - self._synced_ns >= self._sync_ns:
            self._sync()

    def close(self) -> None:
        """Sync and close; again does nothing."""
        if self._descriptor < 0:
            return
        try:
            if not self._is_synced:
                self._sync()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close without another word, where `close` was not reached."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self, head: Head) -> None:
        self._head = head
        line = head.line()
        try:
            self._descriptor = self._disk.create(self.path)
            self._size = 0
            self.append(line)
            self._sync()
            # The name has to last as well.
            self._disk.sync_directory(self._place.folder)
        except FileExistsError as exc:
            raise RecordingFailed(
                f"{self.path} exists; a recording never replaces anything, choose another place"
            ) from exc
        except OSError as exc:
            raise self._failed("made", exc) from exc
        self.segments += 1
        self._opened_ns = self._monotonic_ns()

    def _sync(self) -> None:
        try:
            self._disk.sync(self._descriptor)
        except OSError as exc:
            # What of it is on the disk is not known; asking again would be answered with success.
            raise self._failed("written to the disk", exc) from exc
        self._is_synced = True
        self._synced_ns = self._monotonic_ns()

    def _cut(self, size: int) -> None:
        self._disk.truncate(self._descriptor, size)
        self._size = size

    def _failed(self, what: str, exc: OSError) -> RecordingFailed:
        on = "record to another file" if self._place.is_file else "go on with --append"
        return RecordingFailed(f"{self.path} cannot be {what}: {exc.strerror}; make room or mend the disk, then {on}")
