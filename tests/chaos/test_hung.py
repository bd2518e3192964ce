"""Everything that docs/operations.md lists hangs or dies here, and each observer says what the page says. Nothing is random."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import grpc
import pytest

from protos.health.v1.health_pb2 import GetReportRequest, Status
from tests.support.chaos import can_see_processes, engine_of
from tests.support.cli import PATIENCE_S
from tests.support.hung import ROWS, Hung, without_numbers
from tests.support.made_ticks import write_made_ticks
from tests.support.ports import free_port
from tests.support.redis_server import RedisForTests
from tests.support.serving import SERVERS, Serving
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not can_see_processes(), reason="engines cannot be found below their servers here"),
]


class Stage:
    """Four servers as `serve` keeps them up, a Redis beside them, and everybody who may be asked."""

    def __init__(self, tmp_path: Path, redis: RedisForTests, **settings: str) -> None:
        self.redis = redis
        self.metrics_port = free_port()
        self.serving = Serving(
            tmp_path / "out",
            names=SERVERS,
            environment={
                "MIDSTREAM_REDIS_URL": redis.url,
                "MIDSTREAM_HISTORICAL": str(write_made_ticks(tmp_path / "made.csv", 20_000)),
                "MIDSTREAM_SPEED": "0.01",
                "MIDSTREAM_HEALTH_METRICS_PORT": str(self.metrics_port),
                **{f"MIDSTREAM_{name}": value for name, value in settings.items()},
            },
        )

    def probe(self, name: str, *options: str) -> tuple[int, str]:
        done = self.serving.midstream("healthcheck", name, *options)
        return done.code, without_numbers(done.stdout)

    def report(self, check: str) -> tuple[str, str]:
        report = self.serving.health.GetReport(GetReportRequest(), timeout=PATIENCE_S).report
        found = next(one for one in report.checks if one.name == check)
        return Status.Name(found.status).removeprefix("STATUS_"), without_numbers(found.detail)

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())


@contextmanager
def staged(tmp_path: Path, redis: RedisForTests, **settings: str) -> Iterator[Stage]:
    stage = Stage(tmp_path, redis, **settings)
    try:
        yield stage
    except BaseException:
        print(stage.serving.log.read_text())  # noqa: T201  (shown when the test fails)
        raise
    finally:
        # Servers that hang, or whose Redis is gone, do not end in order: their supervisor ends, and they with it.
        stage.serving.kill()


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def killed_redis(stage: Stage) -> Iterator[None]:
    stage.redis.kill()
    try:
        yield
    finally:
        stage.redis.restart()


def happening(stage: Stage, row: Hung) -> AbstractContextManager[None]:
    if row.key.endswith(" engine"):
        name = row.key.removesuffix(" engine")
        engine = engine_of(stage.serving.server_pid(name), f"services.{name}")
        assert engine is not None
        return stopped(engine)
    if row.key == "redis stopped":
        return stopped(stage.redis.pid)
    if row.key == "redis dead":
        return killed_redis(stage)
    return stopped(stage.serving.server_pid(row.key))


def assert_told(stage: Stage, row: Hung) -> None:
    """Wait until each observer says what the row says."""

    def until(condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, timeout_s=PATIENCE_S, what=f"{row.key}: {what}")

    until(lambda: (answer := stage.probe(row.server))[0] == 1 and row.probe in answer[1], "the probe")
    assert stage.probe(row.server, "--live")[0] == (0 if row.live else 1)
    if row.check:
        until(lambda: (told := stage.report(row.check))[0] == row.status and row.detail in told[1], "the report")
        series, _, value = row.metric.replace("`", "").rpartition(" ")
        until(lambda: f"{series} {float(value)}" in stage.metrics(), "the metric")
    else:
        with pytest.raises(grpc.RpcError):
            stage.serving.health.GetReport(GetReportRequest(), timeout=1)
    if row.log:
        until(lambda: row.log in stage.serving.log.read_text(), "the log")


def well(stage: Stage, row: Hung) -> None:
    wait_until(lambda: stage.probe(row.server)[0] == 0, timeout_s=PATIENCE_S, what=f"{row.server} serves")


HANGING = [row for row in ROWS if row.key not in ("killed", "disk")]


@pytest.mark.nightly
def test_a_disk_that_hangs_is_told(new_redis: Callable[..., RedisForTests], tmp_path: Path) -> None:
    [row] = [row for row in ROWS if row.key == "disk"]
    once = tmp_path / "once"
    with staged(
        tmp_path, new_redis(append_only=True), FAULT="sink_before_sync:150:stall", FAULT_ONCE=str(once)
    ) as stage:
        assert_told(stage, row)
        assert once.exists()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One for everything that heals; a Redis that is killed comes back with the next test that needs it."""
    redis = RedisForTests(tmp_path_factory.mktemp("redis"), append_only=True)
    try:
        with staged(tmp_path_factory.mktemp("hung"), redis) as stage:
            yield stage
    finally:
        redis.stop()


@pytest.mark.cases(4)
@pytest.mark.parametrize("row", HANGING, ids=lambda row: row.key)
def test_everybody_says_what_the_page_says(stage: Stage, row: Hung) -> None:
    well(stage, row)
    with happening(stage, row):
        assert_told(stage, row)
    well(stage, row)


def test_a_server_that_is_killed_is_told_and_comes_back(stage: Stage) -> None:
    [row] = [row for row in ROWS if row.key == "killed"]
    well(stage, row)
    wait_until(lambda: stage.report("control")[0] == "OK", timeout_s=PATIENCE_S, what="control is seen well")
    told_before = stage.serving.log.read_text().count(row.log)
    os.kill(stage.serving.server_pid("control"), signal.SIGKILL)

    # It may be back before a probe sees it; the health server, which looks more often, has it in its log.
    wait_until(lambda: stage.serving.log.read_text().count(row.log) > told_before, timeout_s=PATIENCE_S, what="the log")
    well(stage, row)
