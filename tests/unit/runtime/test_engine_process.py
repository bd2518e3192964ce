"""Engines in child processes: reports, restarts, refusals, and never an orphan."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from services.runtime.backoff import BackoffPolicy
from services.runtime.engine_process import RESTARTS_MAX, EngineProcess
from tests.support.waiting import is_gone, wait_until

ENGINE = "tests.support.scripted_engine"
FAST = BackoffPolicy(base_s=0.001, cap_s=0.002)


class Host:
    """An EngineProcess with its reports."""

    def __init__(self, *script: str, **config: object) -> None:
        self.reports: list[dict[str, Any]] = []
        self._arrived = asyncio.Event()
        self.engine = EngineProcess(
            ENGINE, {"script": script, **config}, on_report=self._take, backoff=FAST, random=Random(1)
        )

    def _take(self, report: dict[str, Any]) -> None:
        self.reports.append(report)
        self._arrived.set()

    def events(self) -> list[str]:
        return [report["event"] for report in self.reports]

    async def reported(self, event: str, *, times: int = 1) -> dict[str, Any]:
        while self.events().count(event) < times:
            self._arrived.clear()
            await asyncio.wait_for(self._arrived.wait(), 10)
        return next(report for report in self.reports if report["event"] == event)


@pytest.mark.quick
async def test_stop_lets_the_engine_drain_and_ends_with_code_0() -> None:
    host = Host("ready", "wait")
    await host.engine.start()
    running = asyncio.create_task(host.engine.run())
    await host.reported("ready")

    await host.engine.stop(5.0)

    assert await running == 0
    assert host.events() == ["started", "ready", "drained", "exited"]
    assert host.engine.pid is None


async def test_engine_that_does_not_drain_is_killed_and_the_code_says_so() -> None:
    host = Host("ready", "hang")
    await host.engine.start()
    running = asyncio.create_task(host.engine.run())
    pid = (await host.reported("ready"))["pid"]

    await host.engine.stop(0.05)

    assert await running == 1
    assert is_gone(pid)


async def test_finished_engine_ends_the_server_with_code_0() -> None:
    host = Host("ready")

    assert await host.engine.run() == 0


async def test_refused_engine_ends_the_server_with_code_2_and_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    host = Host("refuse")

    assert await host.engine.run() == 2

    assert capfd.readouterr().err == "the file x.csv is missing: name another\n"
    assert "refused" in host.events()


async def test_an_engine_that_failed_for_good_is_not_started_again(capfd: pytest.CaptureFixture[str]) -> None:
    host = Host("ready", "fail")

    assert await host.engine.run() == 1

    assert host.events() == ["started", "ready", "failed", "exited"]
    assert capfd.readouterr().err.splitlines()[-1] == "the session is 7 s behind its clock"


async def test_crashed_engine_is_restarted_with_the_same_config(tmp_path: Path) -> None:
    host = Host("crash-once", "ready", marker=str(tmp_path / "marker"))

    assert await host.engine.run() == 0

    assert host.events() == ["started", "exited", "started", "ready", "exited"]
    assert [report["restarting"] for report in host.reports if report["event"] == "exited"] == [True, False]


async def test_engine_that_keeps_crashing_is_given_up_after_five_restarts() -> None:
    host = Host("crash")

    assert await host.engine.run() == 1

    assert host.events().count("started") == 1 + RESTARTS_MAX


async def test_engine_that_cannot_start_now_is_started_again(tmp_path: Path) -> None:
    host = Host("postpone-once", "ready", marker=str(tmp_path / "marker"))

    assert await host.engine.run() == 0

    assert host.events() == ["started", "refused", "exited", "started", "ready", "exited"]


async def test_trouble_of_an_engine_that_does_not_pass_is_told_to_whoever_started_the_server(
    capfd: pytest.CaptureFixture[str],
) -> None:
    host = Host("postpone")

    assert await host.engine.run() == 75

    assert host.events().count("started") == 1 + RESTARTS_MAX
    assert capfd.readouterr().err.splitlines()[-1] == "no room on the disk"


async def test_progress_starts_the_count_of_restarts_again() -> None:
    host = Host("progress", "crash")
    running = asyncio.create_task(host.engine.run())

    await host.reported("started", times=RESTARTS_MAX + 3)
    await host.engine.stop(5.0)

    # Whatever the moment: it ended because of the stop, not because it was given up.
    assert await running in (0, 1)
    assert host.events().count("started") > 1 + RESTARTS_MAX


async def test_stop_during_the_pause_before_a_restart_ends_at_once() -> None:
    host = Host("crash")
    host.engine = EngineProcess(
        ENGINE, {"script": ["crash"]}, on_report=host._take, backoff=BackoffPolicy(60, 60), random=Random(1)
    )
    running = asyncio.create_task(host.engine.run())
    await host.reported("exited")

    await host.engine.stop(5.0)

    assert await asyncio.wait_for(running, 5) == 0
    assert host.events().count("started") == 1


async def test_what_an_engine_prints_does_not_disturb_its_reports(capfd: pytest.CaptureFixture[str]) -> None:
    host = Host("print", "ready")

    assert await host.engine.run() == 0

    assert host.events() == ["started", "ready", "exited"]
    assert "this line is not a report" in capfd.readouterr().err


async def test_report_beyond_the_bound_restarts_the_engine_instead_of_growing() -> None:
    host = Host("long-report")

    assert await host.engine.run() == 1

    assert "blob" not in host.events()


async def test_sigterm_to_the_engine_drains_it() -> None:
    host = Host("ready", "wait")
    running = asyncio.create_task(host.engine.run())
    pid = (await host.reported("ready"))["pid"]

    os.kill(pid, signal.SIGTERM)

    assert await running == 0
    assert "drained" in host.events()


PARENT = """
import asyncio, sys
from services.runtime.engine_process import EngineProcess
def show(report):
    if report["event"] == "ready":
        print(report["pid"], flush=True)
asyncio.run(EngineProcess("tests.support.scripted_engine", {"script": ["ready", sys.argv[1]]}, on_report=show).run())
"""


@pytest.mark.quick
def test_engine_dies_with_a_killed_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, "hang"], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())

        parent.kill()

        wait_until(lambda: is_gone(pid), what="the end of the engine")


def test_engine_whose_threads_cannot_run_dies_with_a_killed_parent_too() -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux ends a child that cannot notice by itself that its parent died")
    with subprocess.Popen([sys.executable, "-c", PARENT, "hold-gil"], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())

        parent.kill()

        wait_until(lambda: is_gone(pid), what="the end of the engine")


def test_end_of_stdin_alone_ends_the_engine() -> None:
    config = json.dumps({"script": ["ready", "hang"]}).encode() + b"\n"
    with subprocess.Popen([sys.executable, "-m", ENGINE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as engine:
        assert engine.stdin is not None
        assert engine.stdout is not None
        engine.stdin.write(config)
        engine.stdin.flush()
        engine.stdout.readline()

        engine.stdin.close()

        assert engine.wait(10) == 1


def test_engine_without_a_server_says_how_it_is_started() -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", ENGINE], input=b"hello\n", capture_output=True, timeout=20, check=False
    )

    assert outcome.returncode == 2
    assert b"an engine is started by its server" in outcome.stderr
