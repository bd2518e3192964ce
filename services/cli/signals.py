"""What Ctrl-C and SIGTERM do to a command, from its first line to its last. It imports nothing that takes time."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn

from services.runtime.lost_output import forgive_stderr

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_AGAIN_S = 0.005

PIPE_CLOSED = 128 + signal.SIGPIPE
"""How a command ends whose reader has gone, as `midstream tail | head` does."""


def run_command(load: Callable[[], Callable[[Sequence[str]], int]]) -> NoReturn:
    """Run the function that `load` imports; until it has handlers of its own, a signal ends it in order and without a traceback."""
    forgive_stderr()
    for number in _SIGNALS:
        signal.signal(number, end)
    try:
        code = load()(sys.argv[1:])
        # Here, where it can be told: at the interpreter's end nobody would hear of it.
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:
        leave_stdout()
        sys.exit(PIPE_CLOSED)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in _SIGNALS:
            # The command is over and its code stands: a signal while the interpreter clears up would change that.
            signal.signal(number, signal.SIG_IGN)


def leave_stdout() -> None:
    """Have nothing more fail because of a reader that is gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def end(number: int, frame: FrameType | None) -> None:
    """Exit as the signal says.

    An exit raised where nothing can be raised, as in finalizers and in what a library of C calls, is swallowed there, and the signal
    with it. So it is raised again a moment later, until the command is on its way out.
    """
    signal.signal(signal.SIGALRM, lambda _, later: _end_if_going_on(number, later))
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    if not _inside_finalizer(frame):
        sys.exit(128 + number)


def _end_if_going_on(number: int, frame: FrameType | None) -> None:
    if not isinstance(sys.exc_info()[1], SystemExit):
        end(number, frame)


def _inside_finalizer(frame: FrameType | None) -> bool:
    """Tell whether an exit would be swallowed for certain, and told on stderr."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


class Interruption:
    """Signals while a command works in an event loop, and on its way out of it: they raise nothing, they are waited for."""

    def __init__(self) -> None:
        self.number = 0
        """The first signal; 0 while there was none."""
        self._count = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = asyncio.Event()
        self._asked_again = asyncio.Event()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def attach(self) -> None:
        """Wake the running loop from now on."""
        self._loop = asyncio.get_running_loop()
        self._tell()

    async def asked(self) -> None:
        """Return when the end was asked for."""
        await self._asked.wait()

    async def asked_again(self) -> None:
        """Return when it was asked for once more."""
        await self._asked_again.wait()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.number = self.number or number
        self._count += 1
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if self._count > 0:
            self._asked.set()
        if self._count > 1:
            self._asked_again.set()
