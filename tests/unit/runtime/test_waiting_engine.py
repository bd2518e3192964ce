"""An engine that was forked with its server: the same to its host as one that is executed, and executed when it starts again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.forked_programs import NEEDS_FORKS, run, start
from tests.support.waiting import is_gone, wait_until

pytestmark = NEEDS_FORKS

PLAYED = """
import asyncio, json, os, sys
from pathlib import Path
from random import Random
import tests.support.scripted_engine
from services.runtime import waiting_engine
from services.runtime.backoff import BackoffPolicy
from services.runtime.engine_process import EngineProcess
module, (how, folder, *script) = "tests.support.scripted_engine", sys.argv[1:]
pid = None
if how == "forked":
    waiting_engine.keep_waiting(module)
    pid = waiting_engine._waiting[module].pid
first, events = [], []
def take(report):
    events.append(report["event"])
    if report["event"] == "started":
        first.append(report["pid"])
    if report["event"] == "ready" and "wait" in script:
        stopping.append(asyncio.get_running_loop().create_task(engine.stop(5.0)))
stopping = []
config = {"script": script, "marker": folder + "/" + how}
engine = EngineProcess(module, config, on_report=take, backoff=BackoffPolicy(0.001, 0.002), random=Random(1))
async def main():
    return await engine.run()
code = asyncio.run(main())
print(json.dumps({"code": code, "events": events, "forked": first[0] == pid, "starts": len(first), "left": len(waiting_engine._waiting)}))
"""


def played(tmp_path: object, how: str, *script: str) -> tuple[dict[str, Any], str]:
    done = run(PLAYED, how, str(tmp_path), *script)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told.pop("forked"), told.pop("left")) == (how == "forked", 0)
    return told, "".join(line for line in done.stderr.splitlines() if "restarts" not in line)


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    "script",
    [
        ("ready", "wait"),
        ("ready", "print", "progress"),
        ("crash-once", "ready", "progress"),
        ("ready", "long-report"),
        ("refuse",),
        ("postpone-once", "ready"),
        ("crash",),
    ],
    ids=" ".join,
)
def test_a_host_cannot_tell_how_its_engine_was_started(tmp_path: object, script: tuple[str, ...]) -> None:
    executed, said = played(tmp_path, "executed", *script)

    forked, also_said = played(tmp_path, "forked", *script)

    assert (forked, also_said) == (executed, said)


@pytest.mark.parametrize("last", ["hang", "hold-gil"])
def test_it_dies_with_a_killed_server(last: str) -> None:
    with start(
        """
        import asyncio, sys
        import tests.support.scripted_engine as engine
        from services.runtime import waiting_engine
        from services.runtime.engine_process import EngineProcess
        waiting_engine.keep_waiting(engine.__name__)
        def show(report):
            if report["event"] == "ready":
                print(report["pid"], flush=True)
        asyncio.run(EngineProcess(engine.__name__, {"script": ["ready", sys.argv[1]]}, on_report=show).run())
        """,
        last,
    ) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())

        server.kill()

        wait_until(lambda: is_gone(pid), what="the end of the engine")


def test_one_that_was_never_started_ends_with_its_server() -> None:
    done = run(
        """
        import tests.support.scripted_engine as engine
        from services.runtime import waiting_engine
        waiting_engine.keep_waiting(engine.__name__)
        print(waiting_engine._waiting[engine.__name__].pid)
        """
    )

    wait_until(lambda: is_gone(int(done.stdout)), what="the end of the engine")
