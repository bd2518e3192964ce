"""What Ctrl-C and SIGTERM do to a command, from its first line to its last. Nothing is imported here that takes time."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn

from services.runtime.lost_output import forgive_stderr

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_AGAIN_S = 0.005

PIPE_CLOSED = 128 + signal.SIGPIPE
"""How a command ends whose reader has gone, as `midstream tail | head` does."""


def run_command(load: Callable[[], Callable[[Sequence[str]], int]]) -> NoReturn:
    """Run the function that `load` imports; until it has handlers of its own, a signal ends it in order and without a traceback."""
    forgive_stderr()
    for number in SIGNALS:
        signal.signal(number, end)
    try:
        code = load()(sys.argv[1:])
        # Here, where it can be told: at the interpreter's end nobody would hear of it.
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:
        leave_stdout()
        sys.exit(PIPE_CLOSED)
    except Exception as error:
        # Before Python 3.12 an exit in the midst of a class being made comes out as a RuntimeError of that.
        wanted = _exit_behind(error)
        if wanted is None:
            raise
        sys.exit(wanted.code)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in SIGNALS:
            # The command is over and its code stands: a signal while the interpreter clears up would change that.
            signal.signal(number, signal.SIG_IGN)


def _exit_behind(error: BaseException) -> SystemExit | None:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, SystemExit):
        cause = cause.__cause__
    return cause


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
    if isinstance(sys.exc_info()[1], GeneratorExit):
        # Mostly because nobody wants the generator any more, as on the way out.
        return True
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
