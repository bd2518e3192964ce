"""Check what the servers that talk to exchanges say about them, and put it into the report."""

from __future__ import annotations

from typing import Any, Final

import redis.asyncio

from protos.health.v1.health_pb2 import STATUS_DEGRADED, STATUS_DOWN, STATUS_OK, ExchangeHealth, Status
from services.health.checks import Check, Finding
from services.runtime.clock import Clock
from services.runtime.exchanges.publisher import PROCESSES, status_key
from services.runtime.json_text import read_json, short_reason

STATEMENT_AGE_NS_MAX: Final = 5_000_000_000
"""Statements come every second; five missed ones mean that the process is gone or stuck."""
STREAM_AGE_MS_MAX: Final = 60_000
"""Quotes of liquid instruments come many times a second."""
CLOCK_OFFSET_MS_MAX: Final = 1_000
"""The strictest exchange refuses signed requests that are further ahead than this."""
FILL_MAX: Final = 0.9


def exchanges_check(client: redis.asyncio.Redis, clock: Clock) -> Check:
    """Tell how every exchange is, as each process sees it. Exchanges are the outside world: the worst they make of us is DEGRADED."""

    async def check() -> Finding:
        # Not one command: in a cluster the keys are of several nodes.
        asking = client.pipeline(transaction=False)
        for process in PROCESSES:
            asking.get(status_key(process))
        found = await asking.execute()
        groups: list[ExchangeHealth] = []
        unreadable: list[str] = []
        for process, raw in zip(PROCESSES, found, strict=True):
            try:
                groups += _groups_of(process, read_json(raw), clock.time_ns()) if raw is not None else []
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as exc:
                # Of one process alone; what the others say stands.
                unreadable.append(f"what {process} says of its exchanges cannot be read ({short_reason(exc)})")
        if not groups and not unreadable:
            return Finding(STATUS_OK, "no server talks to an exchange")
        bad = [f"{group.process} {group.target}/{group.group}" for group in groups if group.status != STATUS_OK]
        status = STATUS_DEGRADED if bad or unreadable else STATUS_OK
        detail = f"{len(groups)} endpoint groups" + (f", in trouble: {', '.join(bad)}" if bad else ", all well")
        return Finding(status, "; ".join((detail, *unreadable)), exchanges=tuple(groups))

    return check


def _groups_of(process: str, statement: dict[str, Any], now_ns: int) -> list[ExchangeHealth]:
    age_ns = now_ns - int(statement["time_ns"])
    return [
        ExchangeHealth(
            target=group["target"],
            group=group["group"],
            process=process,
            status=_status(group, age_ns),
            latency_p50_ms=group["latency_p50_ms"],
            latency_p99_ms=group["latency_p99_ms"],
            breaker_state=group["breaker_state"],
            limiter_fill=group["limiter_fill"],
            clock_offset_ms=group["clock_offset_ms"],
            clock_error_ms=group["clock_error_ms"],
            stream_age_ms=group["stream_age_ms"],
            last_error=group["last_error"],
            age_ms=max(0, age_ns // 1_000_000),
        )
        for group in statement["groups"]
    ]


def _status(group: dict[str, Any], age_ns: int) -> Status:
    if group["breaker_state"] in ("open", "forced_open") or group["reachable"] is False:
        return STATUS_DOWN
    late = age_ns > STATEMENT_AGE_NS_MAX or group["stream_age_ms"] > STREAM_AGE_MS_MAX
    skewed = abs(group["clock_offset_ms"]) - group["clock_error_ms"] > CLOCK_OFFSET_MS_MAX
    if late or skewed or group["limiter_fill"] > FILL_MAX or group["breaker_state"] == "half_open":
        return STATUS_DEGRADED
    return STATUS_OK
