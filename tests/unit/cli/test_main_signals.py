"""A signal before a command has handlers of its own."""

from __future__ import annotations

import signal
import sys
import weakref
from collections.abc import Iterator

import pytest

from services.cli.signals import end


@pytest.fixture(autouse=True)
def _the_timer_is_given_back() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_signal_inside_a_finalizer_is_not_lost() -> None:
    class Finalized:
        def __del__(self) -> None:
            # As the interpreter runs a handler: with the frame that it interrupts.
            end(signal.SIGINT, sys._getframe())

    Finalized()
    with pytest.raises(SystemExit) as ended:
        signal.pause()

    assert ended.value.code == 130


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_is_swallowed_comes_again() -> None:
    class Watched:
        pass

    watched = Watched()
    # What raises in a callback is told and forgotten, as in those that libraries of C call.
    callback = weakref.ref(watched, lambda _: end(signal.SIGINT, sys._getframe()))
    del watched
    with pytest.raises(SystemExit) as ended:
        signal.pause()

    assert callback() is None
    assert ended.value.code == 130


def test_a_command_on_its_way_out_is_not_told_again() -> None:
    cleared_up: list[bool] = []

    def command() -> None:
        try:
            end(signal.SIGTERM, None)
        finally:
            signal.pause()
            cleared_up.append(True)

    with pytest.raises(SystemExit):
        command()

    assert cleared_up == [True]


def test_a_signal_ends_with_its_usual_code() -> None:
    with pytest.raises(SystemExit) as ended:
        end(signal.SIGTERM, None)

    assert ended.value.code == 143
