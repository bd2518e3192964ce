"""Bytes of a file in order, inflated where they are compressed."""

from __future__ import annotations

import os
import zlib
from typing import Any, Protocol

from isal import isal_zlib

from services.replay.sources.errors import SourceFailed

GZIP_MAGIC = b"\x1f\x8b"
INPUT_BYTES = 64 * 1024
CAREFUL_INPUT_BYTES = 4 * 1024  # the step back after an error copies this much per byte
GZIP_WINDOW = 31  # zlib's way to say: a gzip header and trailer around the data


class ByteReader(Protocol):
    """Decompressed bytes, front to back."""

    damage: str
    """Why the bytes end before their end; empty while all is well."""
    tail_is_whole: bool
    """With `damage`: the last line is complete although nothing ends it."""
    doubted_from: int
    """With `damage`: what was given from here on may be wrong although it could be read; -1: nothing is."""

    def readinto(self, view: memoryview) -> int:
        """Fill the front of `view`; 0 means that the end was reached."""

    def unread(self, rest: memoryview) -> None:
        """Give `rest`, the last bytes of what was read last, once more."""

    def skip(self, count: int) -> None:
        """Pass over `count` bytes."""


class PlainReader:
    """Reads a file through a descriptor it does not own, at an offset of its own, up to the size at opening."""

    tail_is_whole = True
    damage = ""
    doubted_from = -1

    def __init__(self, descriptor: int, size: int, name: str) -> None:
        self._descriptor = descriptor
        self._size = size
        self._name = name
        self.position = 0

    def readinto(self, view: memoryview) -> int:
        """Fill the front of `view`."""
        left = self._size - self.position
        if left <= 0 or not view:
            return 0
        try:
            count = os.preadv(self._descriptor, (view if len(view) <= left else view[:left],), self.position)
        except OSError as error:
            raise SourceFailed(f"cannot read {self._name}: {error.strerror}; check the disk and start again") from error
        if count == 0:
            raise SourceFailed(f"{self._name} became shorter while it was read; start again when nobody writes it")
        self.position += count
        return count

    def unread(self, rest: memoryview) -> None:
        """Give the last bytes once more."""
        self.position -= len(rest)

    def skip(self, count: int) -> None:
        """Pass over `count` bytes."""
        self.position += count


class GzipReader:
    """Inflates gzip members behind each other as a stream, in memory of a fixed size.

    ISA-L does the work. It throws away what the failing call had produced, so when it reports an error or the input
    ends too early, zlib inflates the member again, carefully: every byte before the damage counts as read.
    """

    def __init__(self, raw: PlainReader, *, inflater: Any = isal_zlib) -> None:
        self._raw = raw
        self._fast = inflater
        self._inflate: Any = inflater.decompressobj(wbits=GZIP_WINDOW)
        self._input = b""
        self._buffer = bytearray(INPUT_BYTES)
        self._produced = 0  # bytes that this member gave so far
        self._produced_before = 0  # bytes that the members before it gave
        self._member_start = 0
        self._careful: _CarefulInflater | None = None
        self.damage = ""
        self.tail_is_whole = False
        self.doubted_from = -1
        self._ended = False
        self._unread = b""

    def readinto(self, view: memoryview) -> int:
        """Fill the front of `view`."""
        if self._unread:
            count = min(len(view), len(self._unread))
            view[:count] = self._unread[:count]
            self._unread = self._unread[count:]
            return count
        while not self._ended and view:
            piece = self._next_piece(len(view))
            if piece:
                view[: len(piece)] = piece
                return len(piece)
        return 0

    def unread(self, rest: memoryview) -> None:
        """Give the last bytes once more: they are kept, because inflating knows no way back."""
        self._unread = bytes(rest) + self._unread

    def skip(self, count: int) -> None:
        """Inflate `count` bytes and drop them."""
        scratch = memoryview(bytearray(min(count, 256 * 1024)))
        while count > 0:
            got = self.readinto(scratch[:count])
            if got == 0:
                raise SourceFailed("compressed data is shorter than it was; replay from the start with --overwrite")
            count -= got

    def _next_piece(self, limit: int) -> bytes:
        if self._careful is not None:
            piece = self._careful.inflate(limit)
            self._ended, self.damage = self._careful.ended, self._careful.damage
            self.tail_is_whole = self._careful.tail_is_whole
            if self._careful.is_doubted:
                self.doubted_from = self._produced_before + self._careful.member_begin
            return piece
        if self._inflate.eof and not self._open_next_member():
            return b""
        if not self._input:
            self._input = self._read_raw()
        try:
            piece = bytes(self._inflate.decompress(self._input, limit))
        except (self._fast.error, zlib.error):
            return self._start_careful()
        if self._inflate.eof:
            self._input = bytes(self._inflate.unused_data)
        else:
            at_end = not self._input and not piece
            self._input = bytes(self._inflate.unconsumed_tail)
            if at_end:
                return self._start_careful()
        self._produced += len(piece)
        return piece

    def _open_next_member(self) -> bool:
        # Zeros behind a member are padding, as gzip itself has it.
        while True:
            self._input = self._input.lstrip(b"\0")
            if len(self._input) >= len(GZIP_MAGIC):
                break
            more = self._read_raw()
            if not more:
                break
            self._input += more
        if not self._input.startswith(GZIP_MAGIC):
            self._ended = True
            if self._input:
                self.damage, self.tail_is_whole = "compressed data is followed by something else", True
            return False
        self._member_start = self._raw.position - len(self._input)
        self._produced_before += self._produced
        self._produced = 0
        self._inflate = self._fast.decompressobj(wbits=GZIP_WINDOW)
        return True

    def _start_careful(self) -> bytes:
        self._raw.position = self._member_start
        self._careful = _CarefulInflater(self._raw, self._produced)
        self._input = b""
        return b""

    def _read_raw(self) -> bytes:
        count = self._raw.readinto(memoryview(self._buffer))
        return bytes(memoryview(self._buffer)[:count])


class _CarefulInflater:
    """Inflates with zlib up to the very byte at which the data stops making sense."""

    def __init__(self, raw: PlainReader, skip: int) -> None:
        self._raw = raw
        self._skip = skip
        self._inflate = zlib.decompressobj(wbits=GZIP_WINDOW)
        self._input = b""
        self._single_steps = False
        self._produced = 0
        self.member_begin = 0
        """How many bytes the members before this one gave."""
        self.ended = False
        self.damage = ""
        self.tail_is_whole = False
        self.is_doubted = False
        """The member does not have its check sum: any byte of it may be wrong."""

    def inflate(self, limit: int) -> bytes:
        """Return some bytes; none may only mean that more calls are needed, see `ended`."""
        piece = self._step(limit)
        self._produced += len(piece)
        dropped = min(self._skip, len(piece))
        self._skip -= dropped
        return piece[dropped:]

    def _step(self, limit: int) -> bytes:
        if self._inflate.eof and not self._open_next_member():
            return b""
        if not self._input:
            self._input = self._read_raw()
        at_end = not self._input
        before = self._inflate.copy()
        given = self._input[:1] if self._single_steps else self._input
        try:
            piece = self._inflate.decompress(given, limit)
        except zlib.error as error:
            if self._single_steps:
                # The length is looked at behind the check sum, which was right then.
                self.is_doubted = "incorrect length check" not in str(error)
                self._finish("compressed data is corrupt")
            # What this call had produced is gone with its error: repeat it in steps of one byte.
            self._inflate, self._single_steps = before, True
            return b""
        rest = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
        self._input = rest + self._input[len(given) :]
        if at_end and not piece and not self._inflate.eof:
            self._finish("compressed data ends early")
        return piece

    def _open_next_member(self) -> bool:
        while True:
            self._input = self._input.lstrip(b"\0")
            if len(self._input) >= len(GZIP_MAGIC):
                break
            more = self._read_raw()
            if not more:
                break
            self._input += more
        if not self._input.startswith(GZIP_MAGIC):
            self.ended = True
            if self._input:
                self.damage, self.tail_is_whole = "compressed data is followed by something else", True
            return False
        self._inflate = zlib.decompressobj(wbits=GZIP_WINDOW)
        self._single_steps = False
        self.member_begin = self._produced
        return True

    def _finish(self, damage: str) -> None:
        self.ended, self.damage = True, damage

    def _read_raw(self) -> bytes:
        scratch = bytearray(CAREFUL_INPUT_BYTES)
        count = self._raw.readinto(memoryview(scratch))
        return bytes(scratch[:count])


class CutReader:
    """What another reader gives, up to a place behind which nothing can be believed."""

    tail_is_whole = True
    doubted_from = -1

    def __init__(self, whole: ByteReader, end: int, damage: str) -> None:
        self._whole = whole
        self._left = end
        self._reason = damage
        self.damage = ""

    def readinto(self, view: memoryview) -> int:
        """Fill the front of `view`."""
        count = self._whole.readinto(view[: self._left]) if self._left > 0 else 0
        self._left -= count
        if self._left <= 0 or not count:
            self.damage = self._reason
        return count

    def unread(self, rest: memoryview) -> None:
        """Give the last bytes once more."""
        self._whole.unread(rest)
        self._left += len(rest)

    def skip(self, count: int) -> None:
        """Pass over `count` bytes."""
        self._whole.skip(count)
        self._left -= count


def open_reader(descriptor: int, size: int, name: str, *, compressed: bool) -> ByteReader:
    """Return a reader of the decompressed bytes of a file."""
    plain = PlainReader(descriptor, size, name)
    return GzipReader(plain) if compressed else plain
