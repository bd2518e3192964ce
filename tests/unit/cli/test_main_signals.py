"""A signal before a command has handlers of its own."""

from __future__ import annotations

import signal

import pytest

from services.cli.signals import end


def test_a_signal_inside_a_finalizer_is_not_lost() -> None:
    class Finalized:
        def __del__(self) -> None:
            # As the interpreter runs a handler: with the frame that it interrupts.
            import sys

            end(signal.SIGINT, sys._getframe())

    before = signal.getsignal(signal.SIGALRM)
    try:
        Finalized()
        with pytest.raises(SystemExit) as ended:
            signal.pause()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert ended.value.code == 130


def test_a_signal_ends_with_its_usual_code() -> None:
    with pytest.raises(SystemExit) as ended:
        end(signal.SIGTERM, None)

    assert ended.value.code == 143
