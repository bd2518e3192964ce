"""What is sent arrives whole, however it was cut and however little goes at once."""

from __future__ import annotations

import socket
import threading
from random import Random

import pytest

from services.replay.queue.wire import Wire, pack


@pytest.mark.parametrize("seed", range(4))
def test_bytes_in_any_number_of_parts_arrive_in_order(redis_url: str, seed: int) -> None:
    random = Random(seed)
    texts = [random.randbytes(random.choice((0, 1, 50, 5_000, 300_000))) for _ in range(60)]
    stream = b"".join(pack("ECHO", text) for text in texts)
    cuts = sorted(random.sample(range(len(stream)), 2_000))
    parts = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    parts.insert(len(parts) // 2, b"")
    wire = Wire(redis_url, client_name="wire-test", stopping=threading.Event())
    wire.open()
    try:
        # So little that a call takes a part of its parts.
        wire._connection._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        read: list[bytes] = []
        # Redis stops to read while nobody takes its answers.
        reader = threading.Thread(target=lambda: read.extend(wire.read(len(texts))))
        reader.start()
        wire.send(parts)
        reader.join(timeout=60)
    finally:
        wire.close()

    assert read == texts
