"""A proxy before Redis that loses chosen replies: the command was executed, the client never hears of it."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path


class ReplyDropper:
    """Listens on a unix socket; after a command that contains `needle` was passed on, its connection is cut before the reply."""

    def __init__(self, upstream: str, path: Path) -> None:
        self.url = f"unix://{path}"
        self._upstream = upstream.removeprefix("unix://")
        self._lock = threading.Lock()
        self._needle = b""
        self._skip = 0
        self.dropped = 0
        self._sockets: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self, needle: bytes, *, nth: int = 1) -> None:
        """Lose the reply to the n-th command from now on that contains `needle`."""
        with self._lock:
            self._needle, self._skip = needle, nth - 1

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._upstream)
            cut = threading.Event()
            self._sockets += [client, server]
            threading.Thread(target=self._forward, args=(client, server, cut), daemon=True).start()
            threading.Thread(target=self._return, args=(server, client, cut), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while piece := client.recv(1 << 16):
                if self._matches(piece):
                    cut.set()
                server.sendall(piece)
        _shut(client, server)

    def _return(self, server: socket.socket, client: socket.socket, cut: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while piece := server.recv(1 << 16):
                if cut.is_set():
                    self.dropped += 1
                    break
                client.sendall(piece)
        _shut(client, server)

    def _matches(self, piece: bytes) -> bool:
        with self._lock:
            if not self._needle or self._needle not in piece:
                return False
            if self._skip:
                self._skip -= 1
                return False
            self._needle = b""
            return True

    def close(self) -> None:
        self._listener.close()
        _shut(*self._sockets)
        for each in self._sockets:
            each.close()


def _shut(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
