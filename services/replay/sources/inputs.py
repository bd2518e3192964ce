"""Names to open files: patterns, checks of what a name stands for, and a fingerprint that tells about changes."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import resource
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from services.replay.sources.errors import UnusableInput
from services.replay.sources.formats import open_rows
from services.replay.sources.growth import GROWING, growing_print, growth_difference, whole_lines
from services.replay.sources.options import HistoricalOptions
from services.replay.sources.row_reader import RawFile, RowFile
from services.replay.sources.text_file import LinesFile

HEAD_BYTES = 64 * 1024
FILES_NAMED_MAX = 64  # beyond, a change is noticed but the file is not named
DESCRIPTORS_SPARE = 64  # what the rest of the process needs beside the files


@dataclass(frozen=True)
class InputFile:
    """One open regular file. Whoever opened it closes `descriptor`; readers share it at offsets of their own."""

    name: str
    descriptor: int
    size: int
    mtime_ns: int
    identity: tuple[int, int, int]
    """Device, inode, and when anything of it changed last: unlike the time of its contents, nobody can set that back."""
    head_digest: str
    content: RowFile

    @property
    def is_unchanged(self) -> bool:
        """Tell whether the file is still as it was when it was opened."""
        status = os.fstat(self.descriptor)
        return (status.st_size, status.st_mtime_ns, _identity(status)) == (self.size, self.mtime_ns, self.identity)

    def has_grown(self) -> bool:
        """Tell whether there are more whole lines than when the file was opened."""
        size = os.fstat(self.descriptor).st_size
        return _is_plain_text(self.content) and size > self.size and whole_lines(self.descriptor, size) > self.size

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)


def expand(patterns: Sequence[str]) -> list[str]:
    """Return the files that `patterns` name, in the order named and sorted within a pattern.

    A pattern that is itself an existing name is taken as that name.
    """
    names: list[str] = []
    for pattern in patterns:
        if not glob.has_magic(pattern) or os.path.lexists(pattern):
            names.append(pattern)
            continue
        found = sorted(glob.glob(pattern, recursive=True))
        if not found:
            raise UnusableInput(f"{pattern}: no file matches; check the pattern and the directory")
        names += found
    if not names:
        raise UnusableInput("no input files; name at least one file or pattern")
    return names


def open_inputs(patterns: Sequence[str], *, growing: bool = False) -> list[InputFile]:
    """Open every file that `patterns` name. All or none: nothing stays open after an error.

    `growing`: of plain text only whole lines are there; what is behind them is still being written.
    """
    names = expand(patterns)
    _allow_descriptors(len(names))
    inputs: list[InputFile] = []
    seen: dict[tuple[int, int], str] = {}
    try:
        for name in names:
            opened = open_input(name, growing=growing)
            inputs.append(opened)
            status = os.fstat(opened.descriptor)
            first = seen.setdefault((status.st_dev, status.st_ino), name)
            if len(seen) < len(inputs):
                same = f"{name} is named twice" if first == name else f"{name} and {first} are the same file"
                raise UnusableInput(f"{same}, which would count every row twice; name it once")
    except BaseException:
        for opened in inputs:
            opened.close()
        raise
    return inputs


def open_input(name: str, *, growing: bool = False) -> InputFile:
    """Open one file, as its format understands it; raises UnusableInput with the fix."""
    try:
        # O_NONBLOCK: opening a FIFO without a writer must not hang.
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise UnusableInput(_cannot_open(name, error)) from error
    try:
        return _examine(name, descriptor, growing=growing)
    except BaseException:
        os.close(descriptor)
        raise


def _examine(name: str, descriptor: int, *, growing: bool = False) -> InputFile:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        write = "; write what comes out of it to a file first" if stat.S_ISFIFO(status.st_mode) else ""
        raise UnusableInput(
            f"{name} is {_kind(status.st_mode)}, not a regular file; name a CSV file, plain or gzipped{write}"
        )
    if status.st_size == 0:
        raise UnusableInput(f"{name} is empty, without even a header; leave it out or write it again")
    try:
        head = os.pread(descriptor, HEAD_BYTES, 0)
    except OSError as error:
        raise UnusableInput(f"{name} cannot be read: {error.strerror}; check the disk") from error
    content, size = open_rows(RawFile(name, descriptor, status.st_size, head)), status.st_size
    if growing and _is_plain_text(content):
        size = whole_lines(descriptor, size)
        content = open_rows(RawFile(name, descriptor, size, head))
    return InputFile(
        name=name,
        descriptor=descriptor,
        size=size,
        mtime_ns=status.st_mtime_ns,
        identity=_identity(status),
        head_digest=hashlib.sha256(head).hexdigest(),
        content=content,
    )


def _is_plain_text(content: RowFile) -> bool:
    return isinstance(content, LinesFile) and not content.compressed


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_dev, status.st_ino, status.st_ctime_ns


def fingerprint(
    inputs: Sequence[InputFile], options: HistoricalOptions, latencies: Sequence[str] = (), *, growing: bool = False
) -> str:
    """Return text that is equal as long as the same files, unchanged, are read in the same way; `growing` ones may be longer by then.

    `latencies` holds the digest of each file's latency model, empty where there is none.
    """
    models = f" latency:{_digest(','.join(latencies))[:32]}" if any(latencies) else ""
    if growing:
        files = growing_print([(opened.name, opened.descriptor, opened.size) for opened in inputs])
        return f"{files} options:{_digest(options.canonical())[:32]}{models}"
    prints = [f"{opened.size}\0{opened.mtime_ns}\0{opened.head_digest}\n" for opened in inputs]
    if len(inputs) <= FILES_NAMED_MAX:
        files = ",".join(
            f"{quote(opened.name, errors='replace')}={_digest(text)[:16]}"
            for opened, text in zip(inputs, prints, strict=True)
        )
    else:
        # The text lies in every checkpoint, so it has to stay short.
        files = _digest("".join(f"{opened.name}\0{text}" for opened, text in zip(inputs, prints, strict=True)))[:32]
    return f"files:{files} options:{_digest(options.canonical())[:32]}{models}"


def fingerprint_difference(before: str, now: str) -> str:
    """Say what differs between two fingerprints; empty when nothing does. Files that are still being written may have grown."""
    if before == now:
        return ""
    old, new = (dict(part.partition(":")[::2] for part in text.split()) for text in (before, now))
    found = []
    if before.startswith(GROWING) and now.startswith(GROWING) and (difference := growth_difference(before, now)):
        found.append(difference)
    if old.get("files") != new.get("files"):
        found.append(_files_difference(old.get("files", ""), new.get("files", "")))
    if old.get("options") != new.get("options"):
        found.append("the options changed")
    if old.get("latency") != new.get("latency"):
        found.append("the latency model changed")
    return " and ".join(found)


def _files_difference(before: str, now: str) -> str:
    old, new = ([tuple(part.partition("=")[::2]) for part in text.split(",")] for text in (before, now))
    if not all(digest for _, digest in old + new):
        return "the input files changed"
    if [name for name, _ in old] == [name for name, _ in new]:
        changed = [f"`{unquote(was[0])}`" for was, is_now in zip(old, new, strict=True) if was != is_now]
        more = f" and {len(changed) - 3} more files" if len(changed) > 3 else ""
        return f"{', '.join(changed[:3])}{more} changed"
    for one, other, what in ((old, new, "is not among the inputs any more"), (new, old, "is a new input")):
        names = {name for name, _ in other}
        for name, _ in one:
            if name not in names:
                return f"`{unquote(name)}` {what}"
    return "the input files come in another order"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")


def _cannot_open(name: str, error: OSError | ValueError) -> str:
    if name == "-":
        return (
            "standard input cannot be replayed: files are read more than once and by several processes; write it to a file "
            "first, like `... > ticks.csv`"
        )
    if isinstance(error, FileNotFoundError):
        fix = f"relative names start at {Path.cwd()}" if not os.path.isabs(name) else "check the name"
        return f"{name} does not exist; {fix}"
    if isinstance(error, PermissionError):
        return f"{name} cannot be read: permission denied; allow it with chmod or run as its owner"
    if isinstance(error, ValueError):
        return f"{name!r} is no file name; check the list of inputs"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"{name} cannot be opened: too many open files; raise `ulimit -n` or name fewer files"
    if error.errno == errno.ENXIO:
        return f"{name} is a socket or a device without a driver, not a regular file; name a CSV file, plain or gzipped"
    return f"{name} cannot be opened: {error.strerror}; check the name and the disk"


def _allow_descriptors(count: int) -> None:
    # The usual soft limit of 1,024 is a default for select(), not a policy; the hard limit is one, and is respected.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = len(os.listdir("/dev/fd")) + count + DESCRIPTORS_SPARE
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise UnusableInput(
            f"{count:,} files are more than the limit of {hard:,} open files allows; raise `ulimit -Hn` or name fewer"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
