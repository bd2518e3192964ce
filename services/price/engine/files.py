"""The files that the sink writes: append-only logs, and the few file operations that their durability rests on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

from typing_extensions import Buffer

from services.runtime.errors import StartRefused
from services.runtime.faults import fault

RESULT: Final = 0o644
"""Of logs that users read: as far as their umask lets others read them, too."""
STATE: Final = 0o600
"""Of what the sink keeps for itself."""
INDEX_NAME: Final = "order.idx"
INDEX_HEADER: Final = b"MIDSTIDX" + (2).to_bytes(8, "little")
"""What it is, and the version of its form. The first one had no header, 32 bytes for each record, and was never released."""
CSV_HEADER: Final = b"timestamp,arrival,ticker,sequence,mid\n"


class FileSystem:
    """The operations that the sink needs. Tests put one in its place that loses power."""

    def open(self, path: Path, mode: int = RESULT) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def size(self, descriptor: int) -> int:
        return os.fstat(descriptor).st_size

    def read(self, descriptor: int) -> bytes:
        """Read a whole (small) file."""
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)

    def head(self, descriptor: int, count: int) -> bytes:
        """Read at most so many bytes of the beginning."""
        return os.pread(descriptor, count, 0)

    def write(self, descriptor: int, content: Buffer, offset: int) -> None:
        """Write all of `content` at `offset`; raises OSError when only a part could be written."""
        with memoryview(content) as view:
            done = 0
            while done < len(view):
                with view[done:] as rest:
                    done += os.pwrite(descriptor, rest, offset + done)

    def sync(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def truncate(self, descriptor: int, length: int) -> None:
        os.ftruncate(descriptor, length)

    def replace(self, source: Path, target: Path) -> None:
        os.replace(source, target)

    def sync_directory(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class LogFile:
    """One append-only file. `length` counts what was written; what a crash left behind it is cut off by `cut`.

    One thread appends, another one may sync meanwhile: that is why `sync` is told how much there is.
    """

    def __init__(self, path: Path, length: int, files: FileSystem) -> None:
        self.path = path
        self.length = length
        self._files = files
        self._synced = length
        self._descriptor = files.open(path)

    def check(self) -> None:
        """Refuse a file that lost bytes that were committed."""
        size = self._files.size(self._descriptor)
        if size < self.length:
            raise StartRefused(
                f"`{self.path}` has {size} bytes, but {self.length} bytes of it were committed: it was cut or "
                "replaced. Restore it, or start over with --overwrite or in another directory"
            )

    def check_header(self, header: bytes) -> None:
        """Refuse a file of another form; an empty one gets its header with its first records."""
        if self.length and self._files.head(self._descriptor, len(header)) != header:
            raise unreadable_index(self.path)

    def cut(self) -> None:
        """Cut off what was written and never committed."""
        if self._files.size(self._descriptor) != self.length:
            self._files.truncate(self._descriptor, self.length)
            self._synced = -1

    def append(self, text: Buffer) -> None:
        with memoryview(text) as view:
            if view:
                self._files.write(self._descriptor, view, self.length)
                self.length += len(view)

    def sync(self, length: int) -> None:
        """Make the first `length` bytes durable, which were appended before; nothing to do when nothing was since the last time."""
        if length != self._synced:
            self._files.sync(self._descriptor)
            self._synced = length

    def close(self) -> None:
        self._files.close(self._descriptor)


class LogLengths(NamedTuple):
    """Bytes of the logs."""

    mids: int
    errors: int
    csv: int | None
    """None when no CSV file is kept."""
    order_index: int | None = None
    """None in a session of one partition."""


class Logs:
    """`mid_prices.log`, `errors.log` and, when asked for, `mid_prices.csv` and the index of a partition."""

    def __init__(
        self,
        directory: Path,
        *,
        mid_bytes: int,
        error_bytes: int,
        csv_bytes: int | None,
        with_csv: bool,
        index_bytes: int | None = None,
        files: FileSystem,
    ) -> None:
        """`index_bytes` is None where there is no index."""
        self.mids = LogFile(directory / "mid_prices.log", mid_bytes, files)
        self.errors = LogFile(directory / "errors.log", error_bytes, files)
        self.csv = LogFile(directory / "mid_prices.csv", csv_bytes or 0, files) if with_csv else None
        self.index = LogFile(directory / INDEX_NAME, index_bytes, files) if index_bytes is not None else None
        self._all = [log for log in (self.mids, self.errors, self.csv, self.index) if log is not None]
        for log in self._all:
            log.check()
        if self.index is not None:
            self.index.check_header(INDEX_HEADER)

    def cut(self) -> None:
        for log in self._all:
            log.cut()

    def append(self, mid_text: Buffer, error_text: Buffer, csv_text: Buffer, index: Buffer = b"") -> None:
        self.mids.append(mid_text)
        fault("sink_between_writes")
        self.errors.append(error_text)
        if self.csv is not None:
            if not self.csv.length:
                self.csv.append(CSV_HEADER)
            self.csv.append(csv_text)
        if self.index is not None:
            with memoryview(index) as entries:
                if entries and not self.index.length:
                    self.index.append(INDEX_HEADER)
                self.index.append(entries)

    def sync(self, lengths: LogLengths) -> None:
        """Make durable what these lengths count."""
        self.mids.sync(lengths.mids)
        self.errors.sync(lengths.errors)
        if self.csv is not None and lengths.csv is not None:
            self.csv.sync(lengths.csv)
        if self.index is not None and lengths.order_index is not None:
            self.index.sync(lengths.order_index)

    @property
    def lengths(self) -> LogLengths:
        """How much was appended."""
        csv, index = (None if log is None else log.length for log in (self.csv, self.index))
        return LogLengths(self.mids.length, self.errors.length, csv, index)

    def close(self) -> None:
        for log in self._all:
            log.close()


def unreadable_index(path: Path) -> StartRefused:
    return StartRefused(
        f"`{path}` is no index in the form of this version: an earlier or a later one has written it, or it was replaced. Merge or "
        "continue the logs with the version that wrote them, or start over with --overwrite or in another directory"
    )


def refuse_unknown_logs(directory: Path, names: tuple[str, ...]) -> None:
    """Refuse to append to logs that no position belongs to."""
    for name in names:
        path = directory / name
        if path.exists() and path.stat().st_size:
            raise StartRefused(
                f"`{path}` exists, but no position of Midstream belongs to it, so nothing can be appended exactly "
                "once. Move it away, start over with --overwrite, or write to another directory"
            )
