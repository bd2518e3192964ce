"""From statements about exchanges to the report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protos.health.v1.health_pb2 import STATUS_DEGRADED, STATUS_DOWN, STATUS_OK
from services.health.exchanges import exchanges_check
from services.runtime.exchanges.publisher import PROCESSES, StatusPublisher, status_key
from services.runtime.exchanges.watcher import GroupStatus
from tests.support.clock import FakeClock

pytestmark = pytest.mark.quick


class FakeRedis:
    """Keeps strings."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self._asked: list[str] = []

    def pipeline(self, *, transaction: bool) -> FakeRedis:
        assert not transaction
        return self

    def get(self, key: str) -> None:
        self._asked.append(key)

    async def execute(self) -> list[str | None]:
        asked, self._asked = self._asked, []
        return [self.values.get(key) for key in asked]

    async def set(self, key: str, value: str, *, ex: int) -> None:
        assert ex > 0
        self.values[key] = value


async def checked(clock: FakeClock, age_s: float = 0.0, **fields: Any) -> Any:
    client: Any = FakeRedis()
    group = GroupStatus("binance:spot", "market", **fields)

    async def collect() -> list[GroupStatus]:
        return [group]

    await StatusPublisher(client, "price", collect, wall_ns=clock.time_ns).publish()
    clock.advance(age_s)
    return await exchanges_check(client, clock)()


async def test_nothing_is_wrong_where_nobody_talks_to_exchanges() -> None:
    client: Any = FakeRedis()

    outcome = await exchanges_check(client, FakeClock())()

    assert (outcome.status, outcome.exchanges) == (STATUS_OK, ())


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "{",
        "[]",
        "null",
        '{"time_ns": "x", "groups": []}',
        '{"time_ns": 1}',
        '{"time_ns": 1, "groups": [{}]}',
        "\x00\xff",
    ],
)
async def test_a_statement_that_cannot_be_read_is_told_and_the_others_stand(stored: str) -> None:
    clock, client = FakeClock(), FakeRedis()
    group = GroupStatus("binance:spot", "market", reachable=True, breaker_state="closed")

    async def collect() -> list[GroupStatus]:
        return [group]

    await StatusPublisher(client, "price", collect, wall_ns=clock.time_ns).publish()  # type: ignore[arg-type]
    client.values[status_key("orders")] = stored

    outcome = await exchanges_check(client, clock)()  # type: ignore[arg-type]

    assert outcome.status == STATUS_DEGRADED
    assert "what orders says of its exchanges cannot be read" in outcome.detail
    assert [line.process for line in outcome.exchanges] == ["price"]


async def test_a_statement_becomes_a_line_of_the_report() -> None:
    outcome = await checked(FakeClock(), 0.5, reachable=True, latency_p50_ms=3.0, breaker_state="closed")

    (line,) = outcome.exchanges
    assert (line.target, line.group, line.process) == ("binance:spot", "market", "price")
    assert (line.status, line.latency_p50_ms, line.age_ms, line.stream_age_ms) == (STATUS_OK, 3.0, 500, -1)


@pytest.mark.parametrize(
    ("fields", "age_s", "status"),
    [
        ({"breaker_state": "open"}, 0, STATUS_DOWN),
        ({"breaker_state": "forced_open"}, 0, STATUS_DOWN),
        ({"reachable": False}, 0, STATUS_DOWN),
        ({"breaker_state": "half_open"}, 0, STATUS_DEGRADED),
        ({"limiter_fill": 0.95}, 0, STATUS_DEGRADED),
        ({"stream_age_ms": 61_000}, 0, STATUS_DEGRADED),
        ({"clock_offset_ms": -1500.0, "clock_error_ms": 100.0}, 0, STATUS_DEGRADED),
        ({"clock_offset_ms": -1500.0, "clock_error_ms": 600.0}, 0, STATUS_OK),
        ({}, 6, STATUS_DEGRADED),
    ],
)
async def test_trouble_of_an_exchange_shows(fields: dict[str, Any], age_s: float, status: int) -> None:
    outcome = await checked(FakeClock(), age_s, **fields)

    assert outcome.exchanges[0].status == status
    assert outcome.status == (STATUS_OK if status == STATUS_OK else STATUS_DEGRADED)


def test_a_process_that_nobody_reads_is_refused() -> None:
    client: Any = FakeRedis()

    async def collect() -> list[GroupStatus]:
        return []

    with pytest.raises(ValueError, match="health server"):
        StatusPublisher(client, "elsewhere", collect, wall_ns=FakeClock().time_ns)


async def test_statements_hold_plain_values() -> None:
    client: Any = FakeRedis()

    async def collect() -> list[GroupStatus]:
        return [GroupStatus("bitmex", "orders")]

    await StatusPublisher(client, "orders", collect, wall_ns=FakeClock().time_ns).publish()

    assert json.loads(client.values[status_key("orders")])["groups"][0]["target"] == "bitmex"
    assert "orders" in PROCESSES
