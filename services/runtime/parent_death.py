"""Die with the parent process, where the operating system can arrange it."""

from __future__ import annotations

import ctypes
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1

# Loaded once: dlopen must not happen between fork and exec.
_libc: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def available() -> bool:
    """Tell whether the kernel delivers a signal when the parent dies."""
    return _libc is not None


def die_with_parent() -> None:
    """Have this process killed when the thread that started it ends; does nothing where that is not known.

    Safe between fork and exec. The caller sees to it that the thread which forks lives as long as the child shall.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
