"""Keep a process alive whose stderr cannot be written: a full disk or a closed pipe there is no reason to stop serving."""

from __future__ import annotations

import io
import os
import sys
from typing import Any, Final

_STDERR: Final = 2


class _Forgiving(io.RawIOBase):
    """Writes to a descriptor what it takes, and lets go of the rest.

    Nothing is kept back for later: a buffer that cannot be emptied would fail again at the end, and change the exit code.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, block: Any) -> int:
        view = memoryview(block).cast("B")
        length = len(view)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            # Whoever reads stderr is gone or has no room, and there is no other place to say so.
            pass
        return length


def forgive_stderr() -> None:
    """Have nothing fail from now on because stderr cannot be written; harmless when repeated.

    Where it is closed altogether it becomes /dev/null: the next file that is opened would take its number, and what libraries
    print would end up in there.
    """
    if sys.stderr is None:
        _fill_descriptor()
    elif sys.stderr is not sys.__stderr__:
        # Somebody put something else in its place: a test, or this function.
        return
    sys.stderr = io.TextIOWrapper(
        _Forgiving(_STDERR),
        encoding=sys.__stderr__.encoding if sys.__stderr__ is not None else "utf-8",
        errors="backslashreplace",
        write_through=True,
    )


def _fill_descriptor() -> None:
    try:
        os.fstat(_STDERR)
    except OSError:
        opened = os.open(os.devnull, os.O_WRONLY)
        if opened != _STDERR:
            os.dup2(opened, _STDERR)
            os.close(opened)
        else:
            os.set_inheritable(_STDERR, True)
