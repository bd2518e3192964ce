"""HTTP/2 by hand, for clients that do what no library would."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, CONTINUATION = 0, 1, 3, 4, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
FRAME_BYTES_MAX: Final = 16_000


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _text(value: bytes) -> bytes:
    rest = len(value) - 127
    if rest < 0:
        return bytes((len(value),)) + value
    length = bytearray((127,))
    while rest >= 128:
        length.append(rest % 128 | 128)
        rest //= 128
    length.append(rest)
    return bytes(length) + value


def field(name: bytes, value: bytes) -> bytes:
    """Return a header that stays out of the table."""
    return b"\0" + _text(name) + _text(value)


def call_headers(path: str, more: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """Return the headers that begin a gRPC call."""
    always = (
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode()), (b":authority", b"localhost"),
        (b"te", b"trailers"), (b"content-type", b"application/grpc"),
    )  # fmt: skip
    return b"".join(field(name, value) for name, value in (*always, *more))


def header_frames(stream: int, headers: bytes, flags: int = 0) -> bytes:
    """Return the frames that carry headers of any length."""
    parts = [headers[at : at + FRAME_BYTES_MAX] for at in range(0, len(headers), FRAME_BYTES_MAX)]
    made = [frame(HEADERS if at == 0 else CONTINUATION, 0, stream, part) for at, part in enumerate(parts)]
    last = HEADERS if len(parts) == 1 else CONTINUATION
    made[-1] = frame(last, END_HEADERS, stream, parts[-1])
    first = made[0]
    made[0] = first[:4] + bytes((first[4] | flags,)) + first[5:]
    return b"".join(made)


def message_frames(stream: int, message: bytes, *, compressed: bool = False) -> bytes:
    """Return the frames of a gRPC message that ends the request."""
    whole = bytes((compressed,)) + struct.pack(">I", len(message)) + message
    parts = [whole[at : at + FRAME_BYTES_MAX] for at in range(0, len(whole), FRAME_BYTES_MAX)]
    return b"".join(
        frame(DATA, END_STREAM if at == len(parts) - 1 else 0, stream, part) for at, part in enumerate(parts)
    )


class Http2Client:
    """One connection; nothing is answered unless it is told to."""

    def __init__(self, port: int, *, preface: bool = True, timeout_s: float = 10.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.received = bytearray()
        if preface:
            self.send(PREFACE + frame(SETTINGS, 0, 0))

    def send(self, content: bytes) -> bool:
        """Send; False when the server has closed."""
        try:
            self.socket.sendall(content)
        except (ConnectionError, TimeoutError):
            return False
        return True

    def acknowledge(self) -> None:
        """Accept the server's settings."""
        self.send(frame(SETTINGS, ACK, 0))

    def read_until(self, wanted: bytes, *, timeout_s: float) -> bool:
        """Read until the bytes were seen, the connection has ended, or time is up; return whether they were."""
        deadline_s = time.monotonic() + timeout_s
        while wanted not in self.received and time.monotonic() < deadline_s:
            self.socket.settimeout(max(deadline_s - time.monotonic(), 0.001))
            try:
                part = self.socket.recv(1 << 16)
            except (ConnectionError, TimeoutError):
                break
            if not part:
                break
            self.received += part
        return wanted in self.received

    def is_closed(self) -> bool:
        """Whether the server has closed; what it has sent is read."""
        self.socket.setblocking(False)
        try:
            while part := self.socket.recv(1 << 16):
                self.received += part
        except BlockingIOError:
            return False
        except ConnectionError:
            return True
        finally:
            self.socket.setblocking(True)
        return True

    def calls_ended(self) -> int:
        """How many calls the server has ended, by what was read so far."""
        at = ended = 0
        while at + 9 <= len(self.received):
            kind, flags = self.received[at + 3], self.received[at + 4]
            ended += kind == HEADERS and bool(flags & END_STREAM)
            at += 9 + int.from_bytes(self.received[at : at + 3], "big")
        return ended

    def close(self) -> None:
        """Close at once."""
        self.socket.close()
