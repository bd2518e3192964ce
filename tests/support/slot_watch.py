"""Watch every command that reaches the nodes of a cluster, and find those whose keys are in more than one slot."""

from __future__ import annotations

import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.crc import key_slot

from services.runtime.cluster.slots import keys_of
from services.runtime.errors import Bug
from tests.support.redis_cluster import Node, RedisClusterForTests

_LINE = re.compile(rb"^\+[\d.]+ \[\d+ (\S+)\] (.*)$")
_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_WORDS_MAX = 64
"""Of one command; what follows are values."""


class SlotWatch:
    """What MONITOR said on each node: how many commands and transactions there were, and which crossed slots."""

    def __init__(self) -> None:
        self.commands: Counter[str] = Counter()
        self.transactions = 0
        self.crossing: list[str] = []
        self._open: dict[tuple[int, bytes], set[int]] = {}

    def take(self, port: int, line: bytes) -> None:
        """Judge one line of MONITOR."""
        found = _LINE.match(line)
        if found is None or found[1].startswith(b"lua"):
            return
        client = (port, found[1])
        words: list[Any] = [_plain(word) for _, word in zip(range(_WORDS_MAX), _WORD.findall(found[2]), strict=False)]
        name = words[0].decode().upper()
        self.commands[name] += 1
        if name == "MULTI":
            self._open[client] = set()
            return
        if name in ("EXEC", "DISCARD"):
            slots = self._open.pop(client, set())
            self.transactions += 1
            if len(slots) > 1:
                self.crossing.append(f"transaction over slots {sorted(slots)}")
            return
        try:
            slots = {int(key_slot(key)) for key in keys_of(words)}
        except Bug:
            return
        if len(slots) > 1:
            self.crossing.append(f"{name} over slots {sorted(slots)}")
        if client in self._open:
            self._open[client] |= slots


def _plain(word: bytes) -> bytes:
    return word.decode("ascii", "replace").encode().decode("unicode_escape").encode("latin-1", "replace")


@contextmanager
def slots_watched(cluster: RedisClusterForTests) -> Iterator[SlotWatch]:
    """Watch all nodes for a block; everything sent before its end has been judged behind it."""
    watch = SlotWatch()
    channels, threads = [], []
    for node in cluster.nodes:
        channel = socket.create_connection(("127.0.0.1", node.port), 5.0)
        channel.sendall(b"MONITOR\r\n")
        assert channel.recv(5) == b"+OK\r\n"
        channel.settimeout(_SILENT_S)
        channels.append(channel)
        threads.append(threading.Thread(target=_follow, args=(watch, node, channel), daemon=True))
        threads[-1].start()
    try:
        yield watch
    finally:
        for node in cluster.nodes:
            node.ask("ECHO", _LAST)
        for thread in threads:
            thread.join(30.0)
        for channel in channels:
            channel.close()


_LAST = "that was all"
_SILENT_S = 120.0


def _follow(watch: SlotWatch, node: Node, channel: socket.socket) -> None:
    rest = b""
    while received := channel.recv(1 << 16):
        *lines, rest = (rest + received).split(b"\r\n")
        for line in lines:
            if _LAST.encode() in line:
                return
            watch.take(node.port, line)
