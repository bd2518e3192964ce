"""A signal before a command has handlers of its own."""

from __future__ import annotations

import signal
import sys
import weakref
from collections.abc import Callable, Iterator

import pytest

from services.cli.signals import end


@pytest.fixture(autouse=True)
def _the_timer_is_given_back() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def _code_of(command: Callable[[], None]) -> object:
    try:
        command()
    except SystemExit as exc:
        # Here, where the exit still goes on: after it, it would come again.
        signal.setitimer(signal.ITIMER_REAL, 0)
        return exc.code
    return None


def test_a_signal_inside_a_finalizer_is_not_lost() -> None:
    class Finalized:
        def __del__(self) -> None:
            # As the interpreter runs a handler: with the frame that it interrupts.
            end(signal.SIGINT, sys._getframe())

    def command() -> None:
        Finalized()
        signal.pause()

    assert _code_of(command) == 130


def test_a_signal_that_is_swallowed_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # The runner would write a traceback down, and the exit come again in the midst of that.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)

    class Watched:
        pass

    watching = [Watched()]
    # What raises in a callback is told and forgotten, as in those that libraries of C call.
    callback = weakref.ref(watching[0], lambda _: end(signal.SIGINT, sys._getframe()))

    def command() -> None:
        watching.clear()
        signal.pause()

    assert _code_of(command) == 130
    assert callback() is None


def test_a_command_on_its_way_out_is_not_told_again() -> None:
    cleared_up: list[bool] = []

    def command() -> None:
        try:
            end(signal.SIGTERM, None)
        finally:
            signal.pause()
            cleared_up.append(True)

    assert _code_of(command) == 143
    assert cleared_up == [True]


def test_a_signal_ends_with_its_usual_code() -> None:
    assert _code_of(lambda: end(signal.SIGTERM, None)) == 143
