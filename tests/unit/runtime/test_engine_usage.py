"""What an engine takes of the machine, as its server shows it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.runtime.engine_usage import EngineUsage
from services.runtime.metrics import Metrics

CPU, MEMORY = "midstream_engine_cpu_seconds_total", "midstream_engine_memory_bytes"


def written(proc: Path, pid: int, *, name: str) -> Path:
    """Files of a process with 300 ticks of user time, 50 of system time and 1,000 pages."""
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "stat").write_text(f"{pid} ({name}) S 1 2 3 0 -1 4 5 6 7 8 300 50 9 9 20 0 1 0 5 6 7\n")
    (proc / str(pid) / "statm").write_text("5000 1000 10 1 0 900 0\n")
    return proc


@pytest.mark.parametrize("name", ["python", "a (strange) 12 name)"])
def test_time_and_memory_are_those_of_the_engine_that_runs(tmp_path: Path, name: str) -> None:
    registry = CollectorRegistry()
    usage = EngineUsage(Metrics(registry), proc=written(tmp_path, 41, name=name))
    assert registry.get_sample_value(CPU) is None

    usage.pid = 41

    assert registry.get_sample_value(CPU) == pytest.approx(350 / os.sysconf("SC_CLK_TCK"))
    assert registry.get_sample_value(MEMORY) == 1000 * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("pid", [0, 42], ids=["none runs", "it has ended"])
def test_nothing_is_said_of_an_engine_that_is_not_there(tmp_path: Path, pid: int) -> None:
    registry = CollectorRegistry()
    usage = EngineUsage(Metrics(registry), proc=written(tmp_path, 41, name="python"))

    usage.pid = pid

    assert [registry.get_sample_value(name) for name in (CPU, MEMORY)] == [None, None]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have no /proc")
def test_the_systems_own_files_are_understood() -> None:
    registry = CollectorRegistry()
    usage = EngineUsage(Metrics(registry))

    usage.pid = os.getpid()

    spent = os.times()
    assert registry.get_sample_value(CPU) == pytest.approx(spent.user + spent.system, abs=1.0)
    assert (registry.get_sample_value(MEMORY) or 0) > 1 << 20
