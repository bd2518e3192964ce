"""A websocket that sends a prepared feed as fast as the socket takes it: `python -m benchmarks.firehose FRAMES`.

Prints its port, and for every client the monotonic time at which it began to send to it. Afterwards the connection stays
open and silent. No websocket library: sending must cost next to nothing.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
import sys
import time
from typing import Final

import numpy as np

HANDSHAKE_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT_FRAME: Final = 0x81
LENGTH_IN_TWO_BYTES: Final = 126
START_US: Final = 1_759_449_600_000_000
STEP_US: Final = 3_597
PRICE: Final = 120_584.6
SEND_BYTES: Final = 1 << 16


def event_times_us(frames: int) -> list[int]:
    """The event times of the feed."""
    return [START_US + STEP_US * number for number in range(frames)]


def messages(frames: int) -> list[bytes]:
    """The feed: one object of the live layout per frame."""
    times = np.array(event_times_us(frames), dtype="datetime64[us]").astype(str)
    return [
        (
            f'{{"index":{number},"timestamp":"{text.replace("T", " ")}","ticker":"BTC-USDT-SWAP@BINANCE","ask_amount":{number % 97}.5,'
            f'"ask_price":{PRICE + number % 89:.1f},"bid_price":{PRICE - 1 + number % 89:.1f},"bid_amount":{number % 83}.25}}'
        ).encode()
        for number, text in enumerate(times)
    ]


def framed(payload: bytes) -> bytes:
    """Put a message into a frame, as servers send it."""
    if len(payload) < LENGTH_IN_TWO_BYTES:
        return bytes((TEXT_FRAME, len(payload))) + payload
    return struct.pack(">BBH", TEXT_FRAME, LENGTH_IN_TWO_BYTES, len(payload)) + payload


def main() -> None:
    """Serve one client after the other until killed."""
    feed = memoryview(b"".join(map(framed, messages(int(sys.argv[1])))))
    open_connections = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            client, _ = listener.accept()
            open_connections.append(client)
            try:
                _shake_hands(client)
                print(time.monotonic(), flush=True)
                for start in range(0, len(feed), SEND_BYTES):
                    client.sendall(feed[start : start + SEND_BYTES])
            except OSError:
                client.close()


def _shake_hands(client: socket.socket) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        piece = client.recv(4096)
        if not piece:
            raise OSError("the client left")
        request += piece
    lines = request.split(b"\r\n")
    key = next(line.split(b":", 1)[1].strip() for line in lines if line.lower().startswith(b"sec-websocket-key:"))
    accept = base64.b64encode(hashlib.sha1(key + HANDSHAKE_GUID).digest())
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


if __name__ == "__main__":
    main()
