"""Fork a process that has imported everything: what a child may share with it, and what it must not.

A fork copies one thread only, shares every open file, and runs on with the handlers, the buffers and the words of its parent. So
it is done where none of that is in the way, and the rest is put as a new interpreter would have it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from importlib.machinery import PathFinder
from typing import Final, NoReturn

from services.runtime import parent_death
from services.runtime.process_title import can_be_shown

_STANDARD: Final = (0, 1, 2)
_EXIT_FAILED: Final = 1
_PACKAGE: Final = __name__.partition(".")[0]


def can_fork() -> bool:
    """Tell whether children of this process may be forked, and not executed.

    It has one thread and no open files but the standard ones; children are shown by their own names; and they would load this very
    code, which is not so where it was found in the folder one stands in.
    """
    return can_be_shown() and _can_be_watched() and is_alone() and _is_installed()


def is_alone() -> bool:
    """Tell whether this process has one thread, and no files of its own; those that it was started with are closed in children."""
    try:
        if len(os.listdir("/proc/self/task")) != 1:
            return False
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return False
    for number in numbers:
        with contextlib.suppress(OSError):  # gone: the listing's own
            if number not in _STANDARD and not os.get_inheritable(number):
                return False
    return True


def leave_folder_out() -> None:
    """Import nothing more from where one stands, as `-P` has it."""
    if not sys.flags.safe_path:
        del sys.path[0]


def fork(child: Callable[[], object]) -> int:
    """Run `child` in a new process, which dies with this one and ends with the exit code that `child` raises or returns.

    Returns the process id. Raises OSError where there is no room for another process.
    """
    parent = os.getpid()
    _flush()
    # Before it has handlers of its own, a signal in the child would unwind what its parent was doing.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _live(child, parent, before)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _live(child: Callable[[], object], parent: int, mask: set[int | signal.Signals]) -> NoReturn:
    code = _EXIT_FAILED
    try:
        _forget_handlers()
        parent_death.die_with_parent()
        if os.getppid() == parent:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            code = _code_of(child)
            # What an interpreter does at its end; the stack below is the parent's and must not be unwound.
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            _flush()
    finally:
        os._exit(code & 0xFF)


def _code_of(child: Callable[[], object]) -> int:
    try:
        ended = child()
    except SystemExit as exc:
        ended = exc.code
    except BaseException:  # noqa: BLE001  (everything: this is where the process ends)
        sys.excepthook(*sys.exc_info())
        return _EXIT_FAILED
    if ended is None or isinstance(ended, int):
        return ended or 0
    print(ended, file=sys.stderr)  # noqa: T201  (as an interpreter does)
    return _EXIT_FAILED


def _forget_handlers() -> None:
    """Handle signals as after an exec: what is ignored stays so, what has a handler gets the default."""
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def close_inherited() -> None:
    """Close what this process was started with beyond the standard files: a child that is executed has none of it either."""
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        with contextlib.suppress(OSError):
            if number not in _STANDARD and os.get_inheritable(number):
                os.close(number)


def _can_be_watched() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        # Linux before 5.3, and what forbids the call.
        return False
    return True


def _is_installed() -> bool:
    if sys.flags.safe_path:
        return True
    found = PathFinder.find_spec(_PACKAGE, sys.path[1:])
    return found is not None and list(found.submodule_search_locations or ()) == list(sys.modules[_PACKAGE].__path__)
