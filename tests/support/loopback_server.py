"""What servers of tests share that treat their connections badly: a port of loopback, and one task per connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class LoopbackServer(ABC):
    """Use as an async context manager. `connections` counts accepted ones; at the end those that are open are cut off."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0)

    @abstractmethod
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Be the other side of one connection, to its end."""

    async def _ended(self) -> None:
        """Close what is left, now that no task serves any more."""
        await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        self._server = await self._listen()
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._ended()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        # A task of ours: asyncio's own would report its cancellation as an error of the test.
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def reset_when_closed(raw: socket.socket) -> None:
    """Have the other side see a reset instead of an end when this socket is closed."""
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
