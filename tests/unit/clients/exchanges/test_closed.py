"""Exchanges that have closed are left out where they would be real, stay in the simulators, and may be named."""

from __future__ import annotations

import logging
import os

import pytest
from prometheus_client import CollectorRegistry

from clients.exchanges.names import CLOSED, EXCHANGES, USED_BY_DEFAULT, used_by_default
from services.orders.config import OrdersSettings
from services.price.config import PriceSettings
from services.runtime.exchanges.opened import open_exchanges
from services.runtime.exchanges.watcher import ExchangeMetrics
from tests.support.log_records import said

NAMING = {"MIDSTREAM_ORDERS_EXCHANGES": OrdersSettings, "MIDSTREAM_PRICE_EXCHANGES": PriceSettings}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MIDSTREAM_"):
            monkeypatch.delenv(name)


def made(kind: type[OrdersSettings | PriceSettings], monkeypatch: pytest.MonkeyPatch, **more: str) -> tuple[str, ...]:
    """Return what a server would talk to."""
    monkeypatch.setenv("MIDSTREAM_REDIS_URL", "redis://127.0.0.1:1")
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    return kind().exchanges_used


def test_bitmex_has_closed_and_is_known_all_the_same() -> None:
    assert set(CLOSED) == {"bitmex"}
    assert set(CLOSED) < set(EXCHANGES)
    assert used_by_default("simulator") == USED_BY_DEFAULT == ("binance", "bitmex")


@pytest.mark.quick
@pytest.mark.parametrize("kind", NAMING.values(), ids=NAMING)
@pytest.mark.parametrize(
    ("environment", "used"),
    [("simulator", ("binance", "bitmex")), ("testnet", ("binance",)), ("prod", ("binance",))],
)
def test_defaults_name_what_is_there(
    kind: type[OrdersSettings | PriceSettings], environment: str, used: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert made(kind, monkeypatch, MIDSTREAM_EXCHANGES=environment) == used


@pytest.mark.parametrize("name", NAMING)
def test_named_it_is_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"MIDSTREAM_EXCHANGES": "testnet", name: "bitmex,binance"}

    assert made(NAMING[name], monkeypatch, **named) == ("bitmex", "binance")


def test_no_exchange_for_prices_stays_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(PriceSettings, monkeypatch, MIDSTREAM_EXCHANGES="prod", MIDSTREAM_PRICE_EXCHANGES="") == ()


@pytest.mark.parametrize(("environment", "warned"), [("simulator", False), ("testnet", True), ("prod", True)])
async def test_opening_it_outside_of_the_simulator_warns_what_to_do(
    environment: str, warned: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MIDSTREAM_EXCHANGES", environment)
    with caplog.at_level(logging.WARNING):
        opened = await open_exchanges(["binance", "bitmex"], metrics=ExchangeMetrics(CollectorRegistry()), environ={})
        await opened.close()

    assert len(caplog.records) == warned
    for text in map(str, said(caplog.records)):
        assert "bitmex" in text
        assert "closed on 2026-09-23" in text
        assert "MIDSTREAM_EXCHANGES=simulator" in text
