"""The checks themselves: each asks one thing and says in one line what it saw."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
import redis.asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from clients.rpc.channel import RECONNECT
from protos.common.v1.market_pb2 import MODE_LIVE
from protos.health.v1.health_pb2 import (
    STATUS_DEGRADED,
    STATUS_DOWN,
    STATUS_OK,
    ExchangeHealth,
    QueueLag,
    SinkLag,
    Status,
)
from services.health.lag import GroupActivity, GroupLag, UnreadableQueue, measure_lag, newest_head
from services.health.metrics import HealthMetrics
from services.health.sinks import measure_sinks
from services.health.standing import Reader
from services.runtime.clock import Clock
from services.runtime.connection import is_cluster, servers_async
from services.runtime.errors import FailedPrecondition
from services.runtime.health import reason_of
from services.runtime.session import partitions_stored
from services.runtime.session.aggregate import read_report
from services.runtime.session.keys import SESSIONS, SessionKeys, session_names
from services.runtime.session.report import EngineReport, EngineState
from services.runtime.session.versions import NewerVersion

REPORT_AGE_MAX_NS = 5_000_000_000
"""An engine reports every 500 ms; ten missed reports mean that it is gone."""

STANDING_S_MAX = 10.0
"""A group that has something to read and has not moved for this long is stuck, or its consumer is not there."""

LAG_S_MAX = 30.0
"""A group that is further behind what is published, at the pace of live data or of a replay with a speed, is too slow for it."""

LATE_S_MAX = 5.0
"""A switch of mode leaves every group behind by the time between both feeds, until it has read the next records."""


@dataclass(frozen=True)
class Finding:
    """What a check saw."""

    status: Status
    detail: str
    queues: tuple[QueueLag, ...] = field(default=())
    exchanges: tuple[ExchangeHealth, ...] = field(default=())
    sinks: tuple[SinkLag, ...] = field(default=())


Check = Callable[[], Awaitable[Finding]]
"""Returns a finding, or raises; the caller bounds its time and turns what it raises into STATUS_DOWN."""


class ServerCheck:
    """Ask a server's grpc.health.v1. Its channel opens with the first check, inside the event loop, and stays open."""

    def __init__(self, address: str, *, why_down: Callable[[], str] = lambda: "") -> None:
        """`why_down` returns what is known of a server that does not answer; it may read a small file."""
        self._address = address
        self._why_down = why_down
        self._channel: grpc.aio.Channel | None = None

    async def __call__(self) -> Finding:
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self._address, options=RECONNECT)
        try:
            call = health_pb2_grpc.HealthStub(self._channel).Check(health_pb2.HealthCheckRequest(service=""))
            answer = await call
        except grpc.aio.AioRpcError as exc:
            why = self._why_down()
            return Finding(STATUS_DOWN, f"{self._address}: {exc.code().name.lower()}{f' ({why})' if why else ''}")
        return server_finding(self._address, answer, await call.trailing_metadata())

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()


def server_finding(
    address: str, answer: health_pb2.HealthCheckResponse, trailers: grpc.aio.Metadata, more: str = ""
) -> Finding:
    """Return what a server's answer means; `more` is said beside it."""
    serving = answer.status == health_pb2.HealthCheckResponse.SERVING
    why = "" if serving else reason_of(trailers)
    shown = "serving" if serving else f"not serving{f' ({why})' if why else ''}"
    return Finding(STATUS_OK if serving else STATUS_DEGRADED, f"{address}: {shown}{more}")


def exposure_check(reason: str) -> Check:
    """Keep saying that these servers are insecure, for as long as MIDSTREAM_INSECURE lets them be."""

    async def check() -> Finding:
        return Finding(STATUS_DEGRADED, f"{reason} (MIDSTREAM_INSECURE=yes)")

    return check


def redis_check(client: redis.asyncio.Redis) -> Check:
    """Ask Redis how it is."""

    async def check() -> Finding:
        answers: list[Any] = [await server.info() for server in await servers_async(client)]
        used_mib = sum(int(facts["used_memory"]) for facts in answers) / 2**20
        clients = sum(int(facts["connected_clients"]) for facts in answers)
        many = f" cluster of {len(answers)} primaries" if is_cluster(client) else ""
        seen = f"Redis {answers[0]['redis_version']}{many}, {used_mib:.1f} MiB used, {clients} clients"
        if any(facts.get("aof_enabled") and facts.get("aof_last_write_status") != "ok" for facts in answers):
            return Finding(STATUS_DEGRADED, f"{seen}; it cannot write its append-only file")
        return Finding(STATUS_OK, seen)

    return check


async def known_sessions(client: redis.asyncio.Redis) -> list[str]:
    """Read the names of all sessions."""
    return session_names(await cast("Awaitable[set[bytes]]", client.smembers(SESSIONS)))


def feed_check(
    client: redis.asyncio.Redis, clock: Clock, *, own_session: str, metrics: HealthMetrics | None = None
) -> Check:
    """Tell how the engine and the live feed of every session are, from its report.

    The session that these servers serve has to be there. Others may have ended: a one-shot replay leaves its session behind.
    """

    waits = _Waits(clock)

    async def check() -> Finding:
        names = await known_sessions(client)
        found = await asyncio.gather(
            *(read_report(client, SessionKeys(name)) for name in names), return_exceptions=True
        )
        if own_session not in names:
            names, found = [own_session, *names], [None, *found]
        worst, lines = STATUS_OK, []
        reported_ns: dict[str, int] = {}
        for name, report in zip(names, found, strict=True):
            try:
                if isinstance(report, BaseException):
                    raise report
                if report is not None:
                    reported_ns[name] = report.reported_time_ns
                status, line = _describe(report, clock.time_ns(), own=name == own_session)
                if waiting := waits.noted(name, report):
                    status, line = max(status, STATUS_DEGRADED), f"{line}, {waiting}"
            except (ValueError, NewerVersion, FailedPrecondition) as exc:
                # Of one session alone: what is known of the others is told nevertheless.
                status, line = STATUS_DOWN if name == own_session else STATUS_DEGRADED, str(exc)
            lines.append(f"{name}: {line}")
            worst = max(worst, status)
        if metrics is not None:
            metrics.sessions(reported_ns, wall_ns=clock.time_ns)
        return Finding(worst, "; ".join(lines))

    return check


class _Waits:
    """Remembers since when engines wait for room in the queue without having published anything."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[tuple[str, int], tuple[int, int]] = {}

    def noted(self, session: str, report: EngineReport | None) -> str:
        """Take a report in; say that its engine has waited for too long, or which of its partitions' engines have."""
        if report is None or not report.parts:
            return self._noted(session, 0, report)
        # Each by itself: while one stands still, what the others publish moves the sums.
        waiting = [
            f"partition {partition} {waits}"
            for partition, part in enumerate(report.parts)
            if (waits := self._noted(session, partition, part))
        ]
        return ", ".join(waiting)

    def _noted(self, session: str, partition: int, report: EngineReport | None) -> str:
        if report is None or report.state is not EngineState.BACKPRESSURED:
            self._since.pop((session, partition), None)
            return ""
        now_ns = self._clock.monotonic_ns()
        sequence, since_ns = self._since.get((session, partition), (report.last_sequence, now_ns))
        if sequence != report.last_sequence:
            since_ns = now_ns
        self._since[session, partition] = report.last_sequence, since_ns
        waited_s = (now_ns - since_ns) / 1e9
        return f"has waited for room in the queue for {waited_s:.0f} s" if waited_s > STANDING_S_MAX else ""


def _describe(report: EngineReport | None, now_ns: int, *, own: bool) -> tuple[Status, str]:
    """How one session is, and the line that says so."""
    if report is None:
        return (STATUS_DEGRADED, "has not reported yet") if own else (STATUS_OK, "has not reported for an hour")
    age_ns = now_ns - report.reported_time_ns
    live = report.effective.mode == MODE_LIVE
    status = STATUS_OK
    if own and (report.state is EngineState.FAILED or age_ns > REPORT_AGE_MAX_NS):
        status = STATUS_DOWN
    elif report.state is EngineState.FAILED:
        # One of many: the others work, and the line says which it is.
        status = STATUS_DEGRADED
    elif age_ns > REPORT_AGE_MAX_NS:
        status = STATUS_OK if report.state is EngineState.COMPLETED else STATUS_DEGRADED
    elif live and not report.live.connected:
        status = STATUS_DEGRADED
    elif None in report.parts:
        # A partition that nobody produces, or whose engine ended so long ago that its report is gone.
        status = STATUS_DEGRADED
    connected = "connected" if report.live.connected else "not connected"
    feed = f"live feed {connected}" if live else "historical"
    # Of several: which it is whose engine is gone.
    silent = f" (partition {report.oldest_partition})" if report.partitions > 1 and age_ns > REPORT_AGE_MAX_NS else ""
    error = f", {report.error}" if report.error else ""
    level = f", acknowledged by {report.acknowledged}" if report.acknowledged else ""
    return status, f"{report.state.lower()}, {feed}{level}, reported {age_ns / 1e9:.1f} s ago{silent}{error}"


def queue_check(
    client: redis.asyncio.Redis,
    activity: GroupActivity,
    metrics: HealthMetrics,
    *,
    lag_s_max: float = LAG_S_MAX,
) -> Check:
    """Measure how far every consumer group of every session is behind. More than `lag_s_max` seconds degrade, where time has a pace."""

    async def check() -> Finding:
        lags: list[GroupLag] = []
        sinks: list[SinkLag] = []
        unreadable: list[str] = []
        paces: dict[str, float] = {}
        for name in await known_sessions(client):
            keys = SessionKeys(name)
            paces[name] = await _pace(client, keys)
            for partition in await _partitions(client, keys):
                part = SessionKeys(name, partition or 0)
                try:
                    lags += await measure_lag(client, part, activity, partition=partition)
                    newest = await newest_head(client, part)
                    sinks += await measure_sinks(client, part, newest, activity.sinks, partition=partition)
                except UnreadableQueue as exc:
                    # Of one queue alone: what is known of the others is told nevertheless.
                    unreadable.append(str(exc))
        queues = [lag.queue for lag in lags]
        activity.keep({_reader(queue) for queue in queues})
        activity.sinks.keep({(sink.session, sink.sink, sink.partition) for sink in sinks})
        active = [queue for queue in queues if queue.active]
        lagging = max((queue.lag_records for queue in active), default=0)
        metrics.queues(active)
        lost = [_named(queue) for queue in queues if not queue.active]
        standing = [
            f"{_named(lag.queue)} has not moved for {lag.standing_s:.0f} s"
            for lag in lags
            if lag.queue.active and lag.standing_s > STANDING_S_MAX
        ]
        late = []
        for queue in active:
            behind_s = queue.lag_data_time_ns / 1e9 * paces.get(queue.session, 0.0)
            if activity.late.seconds(_reader(queue), position=None, behind=behind_s > lag_s_max) > LATE_S_MAX:
                late.append(f"{_named(queue)} is {behind_s:.0f} s behind")
        details = [
            f"{len(queues)} consumer groups, the slowest is {lagging} records behind",
            *standing,
            *late,
            *unreadable,
        ]
        if lost:
            details.append(f"no longer counted: {', '.join(lost)}")
        status = STATUS_DEGRADED if lost or standing or late or unreadable else STATUS_OK
        return Finding(status, "; ".join(details), tuple(queues), sinks=tuple(sinks))

    return check


async def _pace(client: redis.asyncio.Redis, keys: SessionKeys) -> float:
    """Return how many seconds a second of data takes in a session; 0.0 where that is nobody's promise, as at full speed."""
    try:
        report = await read_report(client, keys)
    except (ValueError, NewerVersion, FailedPrecondition):
        # The feed's check says so.
        return 0.0
    if report is None or report.effective.paused:
        return 0.0
    if report.effective.mode == MODE_LIVE:
        return 1.0
    return 1.0 / report.effective.speed if report.effective.speed > 0 else 0.0


def _named(queue: QueueLag) -> str:
    part = f" (partition {queue.partition})" if queue.HasField("partition") else ""
    return f"{queue.session}/{queue.group}{part}"


def _reader(queue: QueueLag) -> Reader:
    return queue.session, queue.group, queue.partition


async def _partitions(client: redis.asyncio.Redis, keys: SessionKeys) -> Sequence[int | None]:
    """Return the numbers of a session's partitions; None alone where it is one, or where nobody can tell: the feed's check says so."""
    try:
        count = (await partitions_stored.read(client, keys)).count
    except FailedPrecondition:
        count = 1
    return range(count) if count > 1 else (None,)
