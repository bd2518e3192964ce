"""The reporting server as a process: calls, pages, health, the end."""

from __future__ import annotations

import asyncio
import random
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from clients.power.calendar import delivery_hour, local_day
from protos.reporting.v1 import reporting_pb2 as pb
from protos.reporting.v1.reporting_pb2_grpc import ReportingServiceStub
from tests.support.ports import free_port
from tests.support.reporting_desk import Desk, MadeDeal, fill, random_deals, sqlite_url
from tests.support.server_process import SERVING, ServerProcess, server_process

CALL_S = 20.0


@pytest.fixture(scope="module")
def today() -> str:
    return local_day(time.time_ns()).isoformat()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, today: str) -> Iterator[tuple[ServerProcess, str]]:
    """A server over 250 random deals and two known ones; yields it with the dashboard's address."""
    directory = tmp_path_factory.mktemp("reporting")
    url = sqlite_url(directory)
    hours = [f"{hour:02d}-{hour + 1:02d}" for hour in range(10, 14)]
    made = random_deals(random.Random(7), 250, days=[today], hours=hours)
    made += [MadeDeal("10.2", "5", "sell", today, "20-21", "two"), MadeDeal("5.7", "2.5", "buy", today, "20-21", "two")]
    fill(url, made, now_ns=time.time_ns())
    port = free_port()
    settings = {"DATABASE_URL": url, "REPORTING_WEB_PORT": str(port), "LOG_LEVEL": "warning"}
    with server_process("reporting", directory, **settings) as process:
        process.wait_health(SERVING)
        yield process, f"http://127.0.0.1:{port}"


@pytest.fixture
def stub(server: tuple[ServerProcess, str]) -> ReportingServiceStub:
    return ReportingServiceStub(server[0].channel)


def test_deals_are_listed_newest_first_page_by_page(stub: ReportingServiceStub, today: str) -> None:
    request = pb.ListDealsRequest(delivery_day=today, page_size=100)
    ids: list[str] = []
    pages = 0

    while True:
        answer = stub.ListDeals(request, timeout=CALL_S)
        ids += [deal.id for deal in answer.deals]
        pages += 1
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token

    assert pages == 3
    assert ids == [f"{number:032x}" for number in range(252, 0, -1)]


def test_a_page_larger_than_the_largest_is_the_largest(stub: ReportingServiceStub, today: str) -> None:
    answer = stub.ListDeals(pb.ListDealsRequest(delivery_day=today, page_size=2**31 - 1), timeout=CALL_S)

    assert len(answer.deals) == 252
    assert answer.next_page_token == ""


def test_a_deal_is_told_in_decimals(stub: ReportingServiceStub, today: str) -> None:
    answer = stub.ListDeals(
        pb.ListDealsRequest(delivery_day=today, delivery_hour="20-21", trader_id="two"), timeout=CALL_S
    )

    assert [(deal.direction, deal.price, deal.quantity) for deal in answer.deals] == [
        (pb.DIRECTION_BUY, "5.7", "2.5"), (pb.DIRECTION_SELL, "10.2", "5"),
    ]  # fmt: skip


def test_performance_is_told_by_hour_and_day(stub: ReportingServiceStub, today: str) -> None:
    answer = stub.GetPerformance(pb.GetPerformanceRequest(delivery_day=today, trader_id="two"), timeout=CALL_S)

    (hour,) = answer.performance.hours
    (day,) = answer.performance.days
    assert (hour.delivery_hour, hour.figures.bought, hour.figures.sold, hour.figures.average_price) == (
        "20-21",
        "2.5",
        "5",
        "8.7",
    )
    assert (hour.reference_price, hour.reference_state) == ("", pb.REFERENCE_STATE_NONE)
    assert (day.deals_without_reference, day.figures.performance) == (2, "")


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda stub: stub.ListDeals(pb.ListDealsRequest(delivery_day="yesterday")), "delivery_day"),
        (lambda stub: stub.ListDeals(pb.ListDealsRequest(delivery_hour="15-16")), "delivery_day"),
        (
            lambda stub: stub.ListDeals(pb.ListDealsRequest(delivery_day="2025-10-09", delivery_hour="15-17")),
            "delivery_hour",
        ),
        (lambda stub: stub.ListDeals(pb.ListDealsRequest(page_size=-1)), "page_size"),
        (lambda stub: stub.ListDeals(pb.ListDealsRequest(page_token="-1")), "page_token"),
        (lambda stub: stub.GetPerformance(pb.GetPerformanceRequest(trader_id="x" * 129)), "trader_id"),
        (lambda stub: list(stub.WatchPerformance(pb.WatchPerformanceRequest(delivery_day="x"))), "delivery_day"),
    ],
    ids=["day", "hour-alone", "hour", "negative-page", "token", "trader", "watch"],
)
def test_unusable_fields_are_named(stub: ReportingServiceStub, call: object, field: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(stub)  # type: ignore[operator]

    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert f"`{field}`" in caught.value.details()


def test_a_watcher_hears_of_a_deal(
    server: tuple[ServerProcess, str], stub: ReportingServiceStub, tmp_path: Path
) -> None:
    tomorrow = (local_day(time.time_ns()) + timedelta(days=1)).isoformat()
    watching = stub.WatchPerformance(pb.WatchPerformanceRequest(delivery_day=tomorrow), timeout=CALL_S)
    first = next(watching)

    async def add() -> None:
        desk = await Desk.open(_url(server))
        await desk.add_deals([MadeDeal("42", "1", "sell", tomorrow, "05-06", "watched", id="f" * 32)])
        await desk.close()

    asyncio.run(add())
    second = next(watching)
    watching.cancel()

    assert [hour.delivery_hour for hour in first.performance.hours] == []
    assert [(hour.delivery_hour, hour.figures.average_price) for hour in second.performance.hours] == [("05-06", "42")]
    assert second.performance.version != first.performance.version


def test_the_dashboard_is_served_by_the_same_process(server: tuple[ServerProcess, str], today: str) -> None:
    with urllib.request.urlopen(f"{server[1]}/?trader=two", timeout=CALL_S) as answer:
        html = answer.read().decode()
        tag = answer.headers["ETag"]
    repeated = urllib.request.Request(f"{server[1]}/?trader=two", headers={"If-None-Match": tag})

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(repeated, timeout=CALL_S)
    caught.value.close()

    assert f'id="row-{today}.20-21"' in html
    assert caught.value.code == 304


def test_figures_are_measured(server: tuple[ServerProcess, str]) -> None:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{server[0].announcement['metrics_port']}/metrics", timeout=CALL_S
    ) as answer:
        text = answer.read().decode()

    for name in (
        "midstream_reporting_pages_open",
        "midstream_reporting_deals_per_minute",
        "midstream_reporting_database_reads_total",
    ):
        assert f"\n{name} " in text


def _url(server: tuple[ServerProcess, str]) -> str:
    return sqlite_url(server[0].log.parent)


def test_positions_are_those_of_the_figures(stub: ReportingServiceStub, today: str) -> None:
    positions = stub.GetPositions(pb.GetPositionsRequest(delivery_day=today), timeout=CALL_S)
    performance = stub.GetPerformance(pb.GetPerformanceRequest(delivery_day=today), timeout=CALL_S).performance

    team = {row.delivery_hour: (row.team.energy, row.team.power) for row in positions.rows}
    assert team == {row.delivery_hour: (row.net_energy, row.net_power) for row in performance.hours}
    assert positions.days[0].team.energy == performance.days[0].net_energy
    assert all(len(row.positions) == len(positions.traders) for row in positions.rows)
    for place, trader in enumerate(positions.traders):
        request = pb.GetPerformanceRequest(delivery_day=today, trader_id=trader)
        own = stub.GetPerformance(request, timeout=CALL_S).performance
        assert own.days[0].net_energy == positions.days[0].positions[place].energy


def test_the_history_of_a_period_has_its_deals_by_time(stub: ReportingServiceStub, today: str) -> None:
    request = pb.GetHistoryRequest(delivery_day=today, delivery_hour="10-11", trader_id="flex_trader_2")
    history = stub.GetHistory(request, timeout=CALL_S)
    listed = stub.ListDeals(
        pb.ListDealsRequest(delivery_day=today, delivery_hour="10-11", trader_id="flex_trader_2"), timeout=CALL_S
    ).deals

    assert sorted(deal.id for deal in history.deals) == sorted(deal.id for deal in listed)
    assert [deal.time_ns for deal in history.deals] == sorted(deal.time_ns for deal in history.deals)
    assert history.gate_closure_time_ns == delivery_hour(today, "10-11").start_ns


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("GetHistory", pb.GetHistoryRequest(delivery_hour="10-11"), "delivery_day"),
        ("GetHistory", pb.GetHistoryRequest(delivery_day="2026-06-01"), "delivery_hour"),
        ("GetHistory", pb.GetHistoryRequest(delivery_day="2026-06-01", delivery_hour="10:00-10:30"), "delivery_hour"),
        ("GetPositions", pb.GetPositionsRequest(delivery_day="tomorrow"), "delivery_day"),
        ("GetPositions", pb.GetPositionsRequest(market="x" * 33), "market"),
        ("ListDeals", pb.ListDealsRequest(delivery_day="2026-06-01", delivery_hour="22:05-22:20"), "delivery_hour"),
    ],
)
def test_a_question_that_cannot_be_is_refused_by_its_field(
    stub: ReportingServiceStub, method: str, request_: Any, field: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        getattr(stub, method)(request_, timeout=CALL_S)

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field in caught.value.details()


def test_without_a_listener_the_desk_is_told_so(stub: ReportingServiceStub) -> None:
    performance = stub.GetPerformance(pb.GetPerformanceRequest(), timeout=CALL_S).performance

    assert performance.listener.state == pb.LISTENER_STATE_NEVER
    assert [(alert.kind, alert.severity) for alert in performance.alerts] == [
        (pb.ALERT_KIND_SILENT_FEED, pb.ALERT_SEVERITY_WARNING)
    ]
