"""Ports for tests."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager


def free_port() -> int:
    """Return a port on loopback that was free a moment ago; prefer port 0 where the server can be asked afterwards."""
    # Below the range from which the system takes ports for outgoing connections: one of those would be in use again at once.
    while True:
        port = _random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


_random = random.SystemRandom()


@contextmanager
def taken_port() -> Iterator[int]:
    """Hold a listening port on loopback for the length of a block."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield int(listener.getsockname()[1])
