"""The body of an answer: bounded, and decompressed piece by piece so that a bomb stops at the bound too."""

from __future__ import annotations

import zlib
from typing import Protocol

from clients.http.transport import ResponseLost


class Body:
    """What has come of a body so far. Raises ResponseLost as soon as it cannot become a usable one."""

    def __init__(self, encoding: str, bytes_max: int) -> None:
        self._decoder = _decoder(encoding)
        self._bytes_max = bytes_max
        self._room = bytes_max
        self._pieces: list[bytes] = []

    def feed(self, piece: bytes) -> None:
        """Take the next bytes as they came."""
        decoded = self._decoder.feed(piece, self._room + 1)
        self._room -= len(decoded)
        if self._room < 0:
            raise ResponseLost(f"the answer has more than {self._bytes_max} bytes")
        self._pieces.append(decoded)

    def finish(self) -> bytes:
        """Return the whole, once its last byte is there."""
        self._decoder.finish()
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)


class _Decoder(Protocol):
    def feed(self, piece: bytes, limit: int) -> bytes: ...

    def finish(self) -> None: ...


class _Identity:
    def feed(self, piece: bytes, limit: int) -> bytes:
        return piece

    def finish(self) -> None:
        pass


class _Gzip:
    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)

    def feed(self, piece: bytes, limit: int) -> bytes:
        try:
            return self._inflate.decompress(piece, limit)
        except zlib.error as exc:
            raise ResponseLost("the answer is not the gzip it says it is") from exc

    def finish(self) -> None:
        if not self._inflate.eof:
            raise ResponseLost("the answer's gzip stream is cut off")
        if self._inflate.unused_data:
            raise ResponseLost("the answer goes on behind its gzip stream")


def _decoder(encoding: str) -> _Decoder:
    match encoding.strip().lower():
        case "identity" | "":
            return _Identity()
        case "gzip" | "x-gzip":
            return _Gzip()
        case _:
            raise ResponseLost("the answer has a content encoding that was not asked for")
