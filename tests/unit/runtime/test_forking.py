"""What a forked child shares with its parent, and what it must not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import ROOT
from tests.support.forked_programs import NEEDS_FORKS, environment, run, start
from tests.support.waiting import is_gone, wait_until

pytestmark = NEEDS_FORKS

ENDED = """
import os, sys
from services.runtime.forking import fork
def child():
    {child}
pid = fork(child)
print("ended", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.parametrize(
    ("child", "code"),
    [
        ("pass", 0),
        ("return 7", 7),
        ("sys.exit(2)", 2),
        ("sys.exit()", 0),
        ("sys.exit('the reason')", 1),
        ("raise ValueError('the reason')", 1),
        ("os.kill(os.getpid(), 15)", -15),
    ],
)
def test_a_child_ends_as_an_interpreter_would(child: str, code: int) -> None:
    done = run(ENDED.format(child=child))

    assert (done.returncode, done.stdout) == (0, f"ended {code}\n")
    assert ("the reason" in done.stderr) == ("the reason" in child)


def test_a_child_leaves_alone_what_its_parent_was_doing() -> None:
    done = run(
        """
        import atexit, os, sys
        from services.runtime.forking import fork
        print("said before")
        def child():
            atexit.register(print, "at the end of the child")
            print("in the child")
        try:
            os.waitpid(fork(child), 0)
        finally:
            print("unwound")
        """
    )

    assert done.stdout.splitlines() == ["said before", "in the child", "at the end of the child", "unwound"]


def test_handlers_and_blocked_signals_are_those_of_a_new_interpreter() -> None:
    done = run(
        """
        import os, signal
        from services.runtime.forking import fork
        def handler(number, frame): raise SystemExit(f"handled {number}")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, handler)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        def child():
            print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.getsignal(signal.SIGTERM),
                  signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGHUP),
                  signal.pthread_sigmask(signal.SIG_BLOCK, []))
        os.waitpid(fork(child), 0)
        print(signal.getsignal(signal.SIGTERM) is handler, signal.pthread_sigmask(signal.SIG_BLOCK, []))
        """
    )

    assert done.stdout.splitlines() == ["True 0 0 1 set()", "True set()"]


def test_a_signal_that_comes_while_it_is_forked_ends_the_child_and_unwinds_nothing() -> None:
    done = run(
        """
        import os, signal
        from services.runtime import forking
        def handler(number, frame): print("the parent's handler ran", os.getpid() == parent)
        parent = os.getpid()
        signal.signal(signal.SIGTERM, handler)
        # At the first moment at which the child could hear of it.
        os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
        pid = forking.fork(lambda: print("it went on"))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """
    )

    assert done.stdout == "-15\n"


def test_two_children_do_not_wait_the_same_time() -> None:
    done = run(
        """
        import os, random
        from services.runtime import backoff
        from services.runtime.forking import fork
        def child():
            print(backoff._shared.random(), random.random(), os.urandom(4).hex())
        for _ in range(2):
            os.waitpid(fork(child), 0)
        """
    )

    first, second = (line.split() for line in done.stdout.splitlines())
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_a_child_dies_with_its_parent() -> None:
    with start(
        """
        import threading
        from services.runtime.forking import fork
        print(fork(threading.Event().wait), flush=True)
        threading.Event().wait()
        """
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())

        parent.send_signal(signal.SIGKILL)

        wait_until(lambda: is_gone(pid), what="the end of the child")


@pytest.mark.parametrize(
    ("situation", "possible"),
    [
        ("pass", True),
        ("threading.Thread(target=threading.Event().wait, daemon=True).start()", False),
        ("kept = open(os.devnull)", False),
        # What a shell hands on is closed in children.
        ("os.dup2(1, 9)", True),
        ("forking.can_be_shown = lambda: False", False),
        ("del os.pidfd_open", False),
        ("real = os.listdir; os.listdir = lambda path: real('/no' + path)", False),
    ],
    ids=[
        *("alone", "with a thread", "with an open file", "with an inherited file", "where ps could not tell"),
        *("where nobody hears of its end", "without /proc"),
    ],
)
def test_only_a_process_that_is_alone_forks(situation: str, possible: bool) -> None:
    done = run(
        f"""
        import os, threading
        from services.runtime import forking
        {situation}
        print(forking.can_fork())
        """
    )

    assert done.stdout == f"{possible}\n", done.stderr


@pytest.mark.parametrize("copied", [False, True], ids=["installed", "in the folder one stands in"])
def test_only_what_an_executed_child_would_load_is_forked(tmp_path: Path, *, copied: bool) -> None:
    if copied:
        (tmp_path / "services").symlink_to(ROOT / "services")
    program = "from services.runtime.forking import can_fork; print(can_fork())"

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(PYTHONSAFEPATH=""),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout == f"{not copied}\n"


def test_ps_shows_what_was_forked_under_its_own_name() -> None:
    done = run(
        """
        import os, sys
        from pathlib import Path
        from services.runtime.process_title import show_as
        own = Path("/proc/self")
        for words, environment in (["/usr/bin/some", "-x", "y" * 70_000], {"A": "b"}), (["one", ""], {"C": "d" * 70_000}):
            assert show_as(words, environment)
            # The heap grows and shrinks as before.
            for size in (100, 100_000, 10_000_000):
                kept = [bytes(size) for _ in range(20)]
            print((own / "cmdline").read_bytes() == "".join(f"{word}\\0" for word in words).encode(),
                  (own / "environ").read_bytes() == "".join(f"{k}={v}\\0" for k, v in environment.items()).encode(),
                  (own / "comm").read_text().strip(), os.environ["LANGUAGE"])
        """,
        LANGUAGE="kept",
    )

    assert done.stdout.splitlines() == ["True True some kept", "True True one kept"], done.stderr
    assert os.environ.get("LANGUAGE") != "kept"
