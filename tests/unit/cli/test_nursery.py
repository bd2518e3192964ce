"""Servers that wait, forked, for what they are to serve with: as they are executed otherwise, in everything that can be seen."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from services.cli.servers import SERVERS
from tests.support.forked_programs import NEEDS_FORKS, run, start
from tests.support.waiting import is_gone, wait_until

pytestmark = NEEDS_FORKS

SHOWN = "tests.unit.cli.shown_child"

PLAYED = """
import asyncio, json, logging, os, signal, sys
from pathlib import Path
from services.cli.child import Child, ChildSpec
from services.cli.nursery import Nursery
folder, how = Path(sys.argv[1]), sys.argv[2]
def spec(nursery):
    return ChildSpec(
        name="shown", module="tests.unit.cli.shown_child", environment={"SHOWN": "\\udcff=1", "MIDSTREAM_OUT": "x"},
        ready_file=folder / "ready.json", log=folder / "log",
        waiting=nursery.take("tests.unit.cli.shown_child"))
async def play(nursery):
    child = Child(spec(nursery))
    await child.spawn()
    print(child._process.pid, flush=True)
    await child.wait_ready()
    (folder / f"{how}.json").write_text(json.dumps(child.announcement))
    print(await child.stop(hastened=False), child._process.returncode)
modules = ["tests.unit.cli.shown_child", "tests.unit.cli.child"]
# What a command has and takes away again is not what its servers have.
os.environ["GONE"] = "1"
logging.getLogger().addHandler(logging.NullHandler())
with Nursery(modules if how == "forked" else ()) as nursery:
    del os.environ["GONE"]
    asyncio.run(play(nursery))
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("none left")
"""


def played(tmp_path: Path, how: str) -> dict[str, Any]:
    done = run(PLAYED, str(tmp_path), how)
    assert done.stdout.splitlines()[1:] == ["True 0", "none left"], done.stderr
    found: dict[str, Any] = json.loads((tmp_path / f"{how}.json").read_text())
    assert (found["pid"], found.pop("server")) == (int(done.stdout.split()[0]), "shown")
    assert found["session"] == found.pop("pid")
    found.pop("session")
    return found


def test_a_forked_server_is_as_one_that_was_executed(tmp_path: Path) -> None:
    executed, forked = played(tmp_path, "executed"), played(tmp_path, "forked")

    assert (executed.pop("has_nursery"), forked.pop("has_nursery")) == (False, True)
    assert forked == executed
    assert (tmp_path / "log").read_text() == "on stdout\non stderr\n" * 2


def test_what_nobody_takes_ends_with_the_block() -> None:
    done = run(
        """
        import os
        from services.cli.nursery import Nursery
        def is_named(pid):
            return open(f"/proc/{pid}/cmdline").read().split("\\0")[1:3] == ["-P", "-m"]
        with Nursery(["tests.unit.cli.child", "tests.unit.cli.shown_child", "tests.unit.cli.child"]) as nursery:
            pids = [each.pid for each in nursery._waiting.values()]
            while not all(map(is_named, pids)):
                pass
            print(len(pids), [open(f"/proc/{pid}/cmdline").read().split("\\0")[3] for pid in pids])
        print([os.path.exists(f"/proc/{pid}") for pid in pids])
        """
    )

    assert done.stdout.splitlines() == ["2 ['tests.unit.cli.child', 'tests.unit.cli.shown_child']", "[False, False]"]


@pytest.mark.parametrize("modules", [["tests.unit.cli.child"], []], ids=["one alone", "none"])
def test_what_would_gain_nothing_is_executed(modules: list[str]) -> None:
    done = run(f"from services.cli.nursery import Nursery; print(Nursery({modules})._waiting)")

    assert done.stdout == "{}\n"


def test_nothing_is_forked_beside_a_thread_that_a_library_started_when_it_was_imported() -> None:
    done = run(
        """
        import threading
        from services.cli import nursery
        def load(name):
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        nursery.importlib.import_module = load
        print(nursery.Nursery(["tests.unit.cli.child", "tests.unit.cli.shown_child"])._waiting)
        """
    )

    assert done.stdout == "{}\n", done.stderr


@pytest.mark.parametrize("how", ["executed", "forked"])
def test_a_module_that_is_not_there_is_said_to_be_missing(tmp_path: Path, how: str) -> None:
    program = PLAYED.replace("tests.unit.cli.shown_child", "tests.unit.cli.no_such_module").replace(
        "await child.wait_ready()", "print(await child.wait_ready()); return"
    )

    done = run(program, str(tmp_path), how)

    assert done.stdout.splitlines()[1:] == ["1", "none left"], done.stderr
    assert (tmp_path / "log").read_text().endswith("No module named tests.unit.cli.no_such_module\n")


def test_a_server_that_was_killed_while_it_waited_has_ended(tmp_path: Path) -> None:
    program = PLAYED.replace("await child.spawn()", "os.kill(child._waiting.pid, 9); await child.spawn()").replace(
        "await child.wait_ready()", "print(await child.wait_ready()); return"
    )

    done = run(program, str(tmp_path), "forked")

    assert done.stdout.splitlines()[1:] == ["-9", "none left"], done.stderr


def test_waiting_servers_die_with_their_command() -> None:
    with start(
        """
        import threading
        from services.cli.nursery import Nursery
        nursery = Nursery(["tests.unit.cli.child", "tests.unit.cli.shown_child"])
        print(*(each.pid for each in nursery._waiting.values()), flush=True)
        threading.Event().wait()
        """
    ) as command:
        assert command.stdout is not None
        pids = [int(word) for word in command.stdout.readline().split()]
        assert len(pids) == 2

        command.send_signal(signal.SIGKILL)

        wait_until(lambda: all(map(is_gone, pids)), what="the end of those that waited")


def test_importing_every_server_starts_no_thread_opens_no_file_and_handles_no_signal() -> None:
    modules = [server.module for server in SERVERS.values()]

    done = run(
        f"""
        import os, signal
        before = [signal.getsignal(number) for number in signal.valid_signals()]
        from services.cli.nursery import import_parts
        from services.runtime.forking import can_fork
        for module in {modules}:
            import_parts(module)
        print(can_fork())
        print(before == [signal.getsignal(number) for number in signal.valid_signals()])
        """,
        PYTHONSAFEPATH="1",
    )

    assert done.stdout.splitlines() == ["True", "True"], done.stderr
