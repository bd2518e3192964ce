"""Servers that were forked from a command which has imported what they share, and that wait for what they are to serve with.

Seven processes that import for themselves cost seven times what one does. What only one of them needs it imports itself, beside the
others, while the command starts Redis. Only the first start is forked, before there is an event loop, a thread or an open file:
what is started again later is executed.
"""

from __future__ import annotations

import array
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import signal
import socket
import sys
from collections.abc import Iterable, Mapping
from typing import IO, Final

from services.runtime.child_python import module_command, run_module
from services.runtime.forked_process import ForkedProcess
from services.runtime.forking import can_fork, close_inherited, fork, is_alone, leave_folder_out
from services.runtime.process_title import show_as
from services.runtime.waiting_engine import keep_waiting

_SHARED: Final = (
    "services.runtime.server",
    "services.runtime.engine_host",
    "services.runtime.session.stream_tail",
    "services.runtime.web",
)
"""What nearly every server imports, and what takes nearly all of the time that importing takes."""
_PARTS: Final = ("server", "__main__", "engine.main")
"""What of a server's package its process will import, where it has that."""
_SEND_S: Final = 5.0
_BLOCK: Final = 64 * 1024


class Waiting:
    """One server that waits."""

    def __init__(self, pid: int, line: socket.socket) -> None:
        self.pid = pid
        self._line = line

    def begin(self, environment: Mapping[str, str], log: IO[bytes] | None) -> ForkedProcess:
        """Have it serve with that environment, its output in `log` or where this command's is; in a running loop.

        Raises OSError where there is no room for it; it has ended then.
        """
        try:
            process = ForkedProcess(self.pid)
        except OSError:
            self.end()
            raise
        descriptors = array.array("i", [] if log is None else [log.fileno()])
        with self._line as line:
            try:
                line.sendmsg([b"\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)] if descriptors else [])
                line.sendall(json.dumps(dict(environment)).encode())
            except ConnectionError:
                # It was killed meanwhile, as whoever waits for its end is told.
                pass
        return process

    def end(self) -> None:
        """End it; it has done nothing yet."""
        self._line.close()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class Nursery:
    """The servers that wait, by module; each is taken once, and those that nobody took end with the block."""

    def __init__(self, modules: Iterable[str] = ()) -> None:
        """Import what servers share and fork one process for each of `modules`, where that can be done; nothing otherwise."""
        self._waiting: dict[str, Waiting] = {}
        wanted = tuple(dict.fromkeys(modules))
        # One alone would gain nothing.
        if len(wanted) > 1 and can_fork():
            leave_folder_out()
            for name in _SHARED:
                importlib.import_module(name)
            # What is there now stays as it is: no collection has to look at it again, and so no page of it is copied.
            gc.freeze()
            # A library may have started a thread by being imported.
            for module in wanted if is_alone() else ():
                self._add(module)

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        while self._waiting:
            self._waiting.popitem()[1].end()

    def take(self, module: str) -> Waiting | None:
        """Return the process that waits to be the server `module`; None where it has to be executed."""
        return self._waiting.pop(module, None)

    def _add(self, module: str) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(_SEND_S)

        def live() -> None:
            ours.close()
            for other in self._waiting.values():
                other._line.close()
            _live(module, theirs)

        try:
            self._waiting[module] = Waiting(fork(live), ours)
        except OSError:
            # No room for it now: whoever starts it waits until there is.
            ours.close()
        finally:
            theirs.close()


def import_parts(module: str) -> None:
    """Import what the process of a server will import, as far as that can be."""
    # What is missing is said when it is run, as it would be by one that was executed.
    with contextlib.suppress(ImportError):
        importlib.import_module(module)
        for name in _parts_of(module):
            importlib.import_module(name)


def _parts_of(module: str) -> Iterable[str]:
    for part in _PARTS:
        try:
            found = importlib.util.find_spec(f"{module}.{part}")
        except ModuleNotFoundError:
            continue
        if found is not None:
            yield f"{module}.{part}"


def _live(module: str, line: socket.socket) -> None:
    """Be the process of a server: wait for what to serve with, then run it as if it had been executed."""
    # Ctrl-C reaches the whole foreground group; the servers wait for their SIGTERM so that they drain in order.
    os.setsid()
    close_inherited()
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    show_as(module_command(module), os.environ)
    import_parts(module)
    environment = _told(line)
    os.environ.clear()
    os.environ.update(environment)
    engine = f"{module}.engine"
    if f"{engine}.main" in sys.modules:
        gc.freeze()
        keep_waiting(engine)
    run_module(module)


def _told(line: socket.socket) -> dict[str, str]:
    with line:
        _, descriptors, _, _ = socket.recv_fds(line, 1, 1)
        for number in descriptors:
            os.dup2(number, 1)
            os.dup2(number, 2)
            os.close(number)
        text = b"".join(iter(lambda: line.recv(_BLOCK), b""))
    if not text:
        # The command is gone, or did without it.
        raise SystemExit(1)
    return {str(name): str(value) for name, value in json.loads(text).items()}
