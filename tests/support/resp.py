"""Cut a byte stream of the Redis protocol (RESP2 and RESP3) into whole messages, without interpreting them."""

from __future__ import annotations


class RespSplitter:
    """Feed chunks, get whole messages as the bytes they were; what is incomplete stays buffered."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        self._buffer += chunk
        messages: list[bytes] = []
        start = 0
        while (end := _end_of_message(self._buffer, start)) is not None:
            messages.append(bytes(self._buffer[start:end]))
            start = end
        del self._buffer[:start]
        return messages


def command_name(request: bytes) -> bytes:
    """Return the upper-case name of a request (an array of bulk strings, or an inline command)."""
    if request[:1] != b"*":
        return request.split()[0].upper() if request.split() else b""
    return request.split(b"\r\n", 3)[2].upper()


def _end_of_message(buffer: bytearray, start: int) -> int | None:
    """Return where the message that begins at `start` ends; None when it is not all there."""
    pending = 1
    at = start
    while pending:
        line_end = buffer.find(b"\r\n", at)
        if line_end < 0:
            return None
        kind = bytes(buffer[at : at + 1])
        after = line_end + 2
        if kind in (b"$", b"=", b"!"):
            length = int(buffer[at + 1 : line_end])
            after += length + 2 if length >= 0 else 0
            if after > len(buffer):
                return None
        elif kind in (b"*", b"~", b">", b"%"):
            count = int(buffer[at + 1 : line_end])
            pending += max(count, 0) * (2 if kind == b"%" else 1)
        pending -= 1
        at = after
    return at
