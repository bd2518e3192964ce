"""A forked child in an event loop, with the part of `asyncio.subprocess.Process` that is used here."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Protocol

__all__ = ["ForkedProcess", "Running"]


class Running(Protocol):
    """A child process, however it was started."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    @property
    def stdin(self) -> asyncio.StreamWriter | None: ...
    @property
    def stdout(self) -> asyncio.StreamReader | None: ...
    async def wait(self) -> int: ...
    def send_signal(self, signal: int) -> None: ...
    def kill(self) -> None: ...


class ForkedProcess:
    """Knows when the child ends, and takes its exit code; made once for each, in a running loop.

    Nobody else may wait for it, so that its process id is its own until then.
    """

    def __init__(
        self, pid: int, *, stdin: asyncio.StreamWriter | None = None, stdout: asyncio.StreamReader | None = None
    ) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin = stdin
        self.stdout = stdout
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._watched = os.pidfd_open(pid)
        self._loop.add_reader(self._watched, self._take_end)

    async def wait(self) -> int:
        """Return the exit code once it has ended; negative: killed by that signal."""
        await self._ended.wait()
        assert self.returncode is not None  # set with the event
        return self.returncode

    def send_signal(self, signal: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _take_end(self) -> None:
        self._loop.remove_reader(self._watched)
        os.close(self._watched)
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        self._ended.set()
