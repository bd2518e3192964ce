"""Exchanges that have closed stay in the simulators, and are left out or refused where they would be real."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError

from clients.exchanges.names import CLOSED, EXCHANGES, USED_BY_DEFAULT, check_open, used_by_default
from clients.exchanges.registry import settings_class
from services.orders.config import OrdersSettings
from services.price.config import PriceSettings
from services.replay.engine.exchange_address import ExchangeAddress
from services.replay.engine.exchange_feed import check_place
from services.runtime.errors import StartRefused
from services.runtime.setting_problems import problems

NAMING = {"MIDSTREAM_ORDERS_EXCHANGES": OrdersSettings, "MIDSTREAM_PRICE_EXCHANGES": PriceSettings}
REAL = ("testnet", "prod")
SAID = "closed for good on 2026-09-23: leave it out, or use its simulator with MIDSTREAM_EXCHANGES=simulator"


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
    assert CLOSED == {"bitmex": "2026-09-23"}
    assert set(CLOSED) < set(EXCHANGES)
    assert used_by_default("simulator") == USED_BY_DEFAULT == ("binance", "bybit", "bitmex")


@pytest.mark.quick
@pytest.mark.parametrize("kind", NAMING.values(), ids=NAMING)
@pytest.mark.parametrize(
    ("environment", "used"),
    [("simulator", ("binance", "bybit", "bitmex")), ("testnet", ("binance", "bybit")), ("prod", ("binance", "bybit"))],
)
def test_defaults_name_what_is_there(
    kind: type[OrdersSettings | PriceSettings], environment: str, used: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert made(kind, monkeypatch, MIDSTREAM_EXCHANGES=environment) == used


@pytest.mark.parametrize("name", NAMING)
@pytest.mark.parametrize("environment", REAL)
def test_named_where_it_would_be_real_it_is_refused_with_date_and_advice(
    name: str, environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValidationError) as refused:
        made(NAMING[name], monkeypatch, **{"MIDSTREAM_EXCHANGES": environment, name: "binance,bitmex"})

    (line,) = problems(NAMING[name], refused.value)
    assert line.startswith(f"{name}: bitmex {SAID}")


@pytest.mark.parametrize("name", NAMING)
def test_named_in_the_simulator_it_is_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(NAMING[name], monkeypatch, **{name: "bitmex,binance"}) == ("bitmex", "binance")


def test_no_exchange_for_prices_stays_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(PriceSettings, monkeypatch, MIDSTREAM_EXCHANGES="prod", MIDSTREAM_PRICE_EXCHANGES="") == ()


@pytest.mark.parametrize("environment", REAL)
@pytest.mark.parametrize("name", CLOSED)
def test_its_settings_lead_to_the_simulator_and_nowhere_else(
    name: str, environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = settings_class(name).places
    assert not places.fixed
    assert not any(places.hosts.values())
    assert all("127.0.0.1" in base.rest for base in settings_class(name)().bases().values())
    # Not even to something on this machine that stands in for it.
    monkeypatch.setenv(f"MIDSTREAM_{name.upper()}_REST_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("MIDSTREAM_EXCHANGES", environment)

    with pytest.raises(ValidationError, match="closed for good on"):
        settings_class(name)()


@pytest.mark.parametrize("environment", REAL)
def test_a_live_session_on_its_stream_is_refused(environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = ExchangeAddress("bitmex", ("BTC/USD:BTC",))
    check_place(address)
    monkeypatch.setenv("MIDSTREAM_EXCHANGES", environment)

    with pytest.raises(StartRefused, match="MIDSTREAM_LIVE_URL: bitmex closed for good on 2026-09-23"):
        check_place(address)


@pytest.mark.parametrize("environment", REAL)
def test_an_exchange_that_goes_on_is_refused_nowhere(environment: str) -> None:
    check_open(set(EXCHANGES) - set(CLOSED), environment)
