"""`python -m services.health`: storms, and what it says while everything it watches comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos.health.v1 import health_pb2 as pb
from protos.health.v1.health_pb2_grpc import HealthServiceStub
from tests.support.cli import until
from tests.support.redis_server import RedisForTests
from tests.support.server_process import SERVING, ServerProcess, server_process

CALL_S = 20.0


def statuses(report: pb.Report) -> dict[str, int]:
    return {check.name: check.status for check in report.checks}


def test_storm_of_calls_reaches_no_dependency(new_redis: Callable[..., RedisForTests], tmp_path: Path) -> None:
    redis = new_redis()
    with server_process("health", tmp_path, REDIS_URL=redis.url, HEALTH_INTERVAL="3600") as server:
        stub = HealthServiceStub(server.channel)
        until(
            lambda: pb.STATUS_UNSPECIFIED not in statuses(stub.GetReport(pb.GetReportRequest()).report).values(),
            what="first checks",
        )
        with contextlib.closing(redis.client()) as client:
            before = commands(client)

            asyncio.run(_storm(server.announcement["port"], 1_000))

            assert commands(client) == before


async def _storm(port: int, calls: int) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = HealthServiceStub(channel)
        answers = await asyncio.gather(*(stub.GetReport(pb.GetReportRequest(), timeout=CALL_S) for _ in range(calls)))
    assert all(len(answer.report.checks) == 7 for answer in answers)


def commands(client: Any) -> dict[str, int]:
    """How often each command was executed, without our own question."""
    return {
        name: figures["calls"] for name, figures in client.info("commandstats").items() if name != "cmdstat_info"
    } | {"info": 0}


def test_watcher_hears_of_a_redis_and_a_server_that_go_and_come_back(
    new_redis: Callable[..., RedisForTests], tmp_path: Path
) -> None:
    redis = new_redis()
    with server_process("control", tmp_path, REDIS_URL=redis.url) as control:
        control.wait_health(SERVING)
        settings = {"HEALTH_INTERVAL": "0.05", "CONTROL_PORT": str(control.announcement["port"])}
        with server_process("health", tmp_path, REDIS_URL=redis.url, **settings) as server:
            with watching(server) as heard:
                until(lambda: heard and seen(heard, redis=pb.STATUS_OK, control=pb.STATUS_OK), what="all is well")

                redis.kill()
                until(lambda: seen(heard, redis=pb.STATUS_DOWN, control=pb.STATUS_DEGRADED), what="Redis is gone")
                assert "Redis does not answer" in next(c.detail for c in heard[-1].checks if c.name == "redis")
                assert server.health() == SERVING

                redis.restart()
                until(lambda: seen(heard, redis=pb.STATUS_OK, control=pb.STATUS_OK), what="Redis is back")

                control.kill()
                until(lambda: seen(heard, control=pb.STATUS_DOWN), what="control is gone")
                assert heard[-1].status == pb.STATUS_DOWN


def seen(heard: list[pb.Report], **wanted: int) -> bool:
    found = statuses(heard[-1])
    return all(found[name] == status for name, status in wanted.items())


@contextlib.contextmanager
def watching(server: ServerProcess) -> Iterator[list[pb.Report]]:
    """Collect what WatchReport sends, until the end of the block."""
    heard: list[pb.Report] = []
    call = HealthServiceStub(server.channel).WatchReport(pb.WatchReportRequest())

    def collect() -> None:
        with contextlib.suppress(grpc.RpcError):
            for answer in call:
                heard.append(answer.report)

    with ThreadPoolExecutor(1) as pool:
        collecting = pool.submit(collect)
        try:
            yield heard
        finally:
            call.cancel()
            collecting.result(timeout=CALL_S)


@pytest.mark.quick
def test_report_names_everything_that_is_watched(redis_url: str, tmp_path: Path) -> None:
    with server_process("health", tmp_path, REDIS_URL=redis_url) as server:
        report = HealthServiceStub(server.channel).GetReport(pb.GetReportRequest(), timeout=CALL_S).report

    assert [check.name for check in report.checks] == [
        "replay",
        "control",
        "price",
        "redis",
        "feed",
        "queue",
        "exchanges",
    ]
