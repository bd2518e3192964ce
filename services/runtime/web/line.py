"""One accepted connection from the socket to the protocol that speaks on it."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Protocol

from services.runtime.web.table import Connection, Phase

__all__ = ["CountedTransport", "Line"]


class Speaker(Protocol):
    """The protocol on a line."""

    def end(self, phase: Phase) -> None:
        """End the connection in order, with a word to the peer where one fits."""


class Line:
    """What the table holds of a connection; there before any protocol, which TLS's handshake comes before.

    Without a socket, whoever made the line has a transport at once.
    """

    def __init__(self, connection: socket.socket | None) -> None:
        self._socket: socket.socket | None = connection
        self._task: asyncio.Task[Any] | None = None
        self._transport: asyncio.Transport | None = None
        self._speaker: Speaker | None = None
        self._written = 0
        self._cut = False
        self.row: Connection

    def wait_for(self, task: asyncio.Task[Any]) -> None:
        """Take the task that makes the transport."""
        self._task = task

    def speak(self, transport: asyncio.Transport, speaker: Speaker) -> None:
        """Take the transport, which owns the socket from here on, and who uses it."""
        self._socket = None
        self._transport = transport
        self._speaker = speaker
        if self._cut:
            transport.abort()

    def wrote(self, size: int) -> None:
        """Count what was given to the transport."""
        self._written += size

    def unsent(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def sent(self) -> int:
        return self._written - self.unsent()

    def end(self, phase: Phase) -> None:
        if self._speaker is None:
            self.cut()
        else:
            self._speaker.end(phase)

    def cut(self) -> None:
        self._cut = True
        if self._transport is not None:
            self._transport.abort()
        elif self._task is not None:
            # A transport may have the socket already, though nobody speaks yet: it closes it when the task ends, or we do then.
            self._task.cancel()
        else:
            self.release()

    def release(self) -> None:
        """Close the socket where no transport has taken it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class CountedTransport:
    """A transport that tells how much was written: what a slow reader has taken cannot be seen otherwise."""

    def __init__(self, transport: asyncio.Transport, line: Line) -> None:
        self._transport = transport
        self._line = line

    def write(self, payload: bytes) -> None:
        """Write, and count."""
        self._line.wrote(len(payload))
        self._transport.write(payload)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
