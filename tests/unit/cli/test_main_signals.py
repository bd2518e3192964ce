"""A signal before a command has handlers of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator

import pytest

from services.cli.signals import end
from tests.support.cli import ROOT, clean_environment


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


def _python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of these lines to its end."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_signal_inside_a_finalizer_is_not_lost() -> None:
    class Finalized:
        def __del__(self) -> None:
            # As the interpreter runs a handler: with the frame that it interrupts.
            end(signal.SIGINT, sys._getframe())

    def command() -> None:
        Finalized()
        signal.pause()

    assert _code_of(command) == 130


def test_a_signal_while_a_generator_is_given_up_is_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    def numbers() -> Iterator[int]:
        try:
            yield 1
        finally:
            (lambda: end(signal.SIGINT, sys._getframe()))()

    def command() -> None:
        assert next(numbers()) == 1
        signal.pause()

    assert _code_of(command) == 130
    assert capsys.readouterr().err == ""


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


@pytest.mark.parametrize("module", ["asyncio", "typer", "services.cli.commands.replaying"])
def test_a_signal_while_the_command_is_still_imported_ends_it_without_a_traceback(module: str) -> None:
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from services.cli import entry\n"
        "entry.main()\n"
    )

    done = _python(code, "replay", "no such.csv")

    assert (done.returncode, done.stderr) == (130, "")


def test_a_signal_while_a_class_is_made_ends_in_order() -> None:
    """Before Python 3.12 what a descriptor raises in there is told as an error of the class."""
    command = """if True:
        import os, signal
        from services.cli.signals import run_command
        class Named:
            def __set_name__(self, owner, name):
                os.kill(os.getpid(), signal.SIGINT)
        def load():
            class Made:
                named = Named()
        run_command(load)
    """
    ended = _python(command)

    assert (ended.returncode, ended.stderr) == (130, "")


def test_an_error_with_another_cause_stays_one() -> None:
    command = """if True:
        from services.cli.signals import run_command
        def load():
            raise RuntimeError("not loaded") from ValueError("why")
        run_command(load)
    """
    ended = _python(command)

    assert ended.returncode == 1
    assert "ValueError: why" in ended.stderr
