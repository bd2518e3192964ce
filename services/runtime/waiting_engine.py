"""An engine that was forked with its server and waits for its config, so that it starts without importing anything."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Final

from services.runtime.child_python import run_module
from services.runtime.forked_process import ForkedProcess
from services.runtime.forking import fork, is_alone

__all__ = ["WaitingEngine", "keep_waiting", "take"]


@dataclass(frozen=True)
class WaitingEngine:
    """The process, and the server's ends of its pipes."""

    pid: int
    commands: int
    reports: int

    async def attach(self, limit: int) -> ForkedProcess:
        """Return it as a process of the running loop; a line that it reports has at most `limit` bytes."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader, loop=loop), os.fdopen(self.reports, "rb", buffering=0)
        )
        unread = asyncio.StreamReader(loop=loop)
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(unread, loop=loop), os.fdopen(self.commands, "wb", buffering=0)
        )
        writer = asyncio.StreamWriter(transport, protocol, unread, loop)
        return ForkedProcess(self.pid, stdin=writer, stdout=reader)


_waiting: Final[dict[str, WaitingEngine]] = {}
"""Of this process, by module: filled before its server runs, emptied by the first start of each engine."""


def keep_waiting(module: str) -> None:
    """Fork the engine `module` from this process, which has imported it. Where that cannot be done, it is executed later."""
    if not is_alone():
        return
    commands_read, commands_write = os.pipe()
    reports_read, reports_write = os.pipe()

    def live() -> None:
        # As it is executed otherwise: Ctrl-C in a terminal goes to the server, which drains the engine in order.
        os.setpgid(0, 0)
        os.dup2(commands_read, 0)
        os.dup2(reports_write, 1)
        for number in (commands_read, commands_write, reports_read, reports_write):
            os.close(number)
        run_module(module)

    try:
        pid = fork(live)
    except OSError:
        os.close(commands_write)
        os.close(reports_read)
    else:
        _waiting[module] = WaitingEngine(pid, commands_write, reports_read)
    finally:
        os.close(commands_read)
        os.close(reports_write)


def take(module: str) -> WaitingEngine | None:
    """Return the engine that waits, once; None where it has to be executed."""
    return _waiting.pop(module, None)
