"""Ports for tests."""

from __future__ import annotations

import os
import random
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

FIRST: Final = 20_000
WORKERS: Final = 8
PORTS: Final = 12_000 // WORKERS


def free_port() -> int:
    """Return a port on loopback that was free a moment ago; prefer port 0 where the server can be asked afterwards."""
    # Below the range from which the system takes ports for outgoing connections: one of those would be in use again at once.
    # A part of it for each process of the suite, and none twice: who asks binds it a while later.
    first = FIRST + PORTS * (_worker() % WORKERS)
    while True:
        port = _random.randrange(first, first + PORTS)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.append(port)
        return port


def _worker() -> int:
    """Return the number of this process of the suite, which what it starts inherits; 0 alone."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


_random = random.SystemRandom()
_given: deque[int] = deque(maxlen=PORTS // 2)


@contextmanager
def taken_port() -> Iterator[int]:
    """Hold a listening port on loopback for the length of a block."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield int(listener.getsockname()[1])
