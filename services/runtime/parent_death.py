"""Die with the parent process, where the operating system can arrange it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

from services.runtime.child_python import bare_command

_PR_SET_PDEATHSIG: Final = 1

_libc: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

_LAUNCHER: Final = (
    "import ctypes,os,sys\n"
    f"ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG},{int(signal.SIGKILL)},0,0,0)\n"
    # A parent that died before the call above is not reported by it.
    "os.getppid()==int(sys.argv[1]) or sys.exit(1)\n"
    "os.execv(sys.argv[2],sys.argv[2:])\n"
)


def available() -> bool:
    """Tell whether the kernel delivers a signal when the parent dies."""
    return _libc is not None


def die_with_parent() -> None:
    """Have this process killed when the thread that started it ends; does nothing where that is not known."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def dying_with_parent(command: Sequence[str]) -> list[str]:
    """Return a command that runs another program so that it is killed when the thread that starts it ends.

    The program keeps the process id. A launcher rather than code between fork and exec: a fork runs gRPC's fork handlers,
    which abort the child of a busy server.
    """
    return [*bare_command(_LAUNCHER), str(os.getpid()), *command]
