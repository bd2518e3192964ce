"""O14: defaults are safe; live trading needs the setting, keys and limits, all of them."""

from __future__ import annotations

import itertools
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from services.orders.config import OrdersSettings
from services.orders.domain import TradingMode
from services.orders.exchanges import OrderExchanges
from services.runtime.errors import StartRefused
from services.runtime.settings import load

LIVE = {"MIDSTREAM_TRADING": "live", "MIDSTREAM_EXCHANGES": "prod"}
LIMITS = {"MIDSTREAM_ORDERS_NOTIONAL_MAX": "1000", "MIDSTREAM_ORDERS_POSITION_MAX": "5000"}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("MIDSTREAM_"):
            monkeypatch.delenv(name)


def settings(monkeypatch: pytest.MonkeyPatch, **environment: str) -> OrdersSettings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return OrdersSettings()


@pytest.mark.quick
def test_a_fresh_configuration_sends_nothing_anywhere() -> None:
    made = OrdersSettings()

    assert made.mode is TradingMode.DRY_RUN
    assert made.exchanges == "simulator"
    assert made.host == "127.0.0.1"
    assert (made.port, made.metrics_port, made.web_port) == (50055, 9155, 8080)


def test_live_needs_production_and_every_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [("MIDSTREAM_EXCHANGES", "prod"), *LIMITS.items()]
    for chosen in itertools.product((True, False), repeat=len(parts)):
        with monkeypatch.context() as patch:
            patch.setenv("MIDSTREAM_TRADING", "live")
            for (name, value), given in zip(parts, chosen, strict=True):
                if given:
                    patch.setenv(name, value)
            if all(chosen):
                assert OrdersSettings().mode is TradingMode.LIVE
            else:
                with pytest.raises(ValidationError):
                    OrdersSettings()


async def test_live_needs_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StartRefused, match="MIDSTREAM_BINANCE_API_KEY"):
        await OrderExchanges.open(settings(monkeypatch, **LIVE, **LIMITS), CollectorRegistry())


@pytest.mark.parametrize("mode", ["simulator", "testnet"])
async def test_whatever_sends_needs_keys(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = settings(monkeypatch, MIDSTREAM_TRADING=mode, MIDSTREAM_EXCHANGES=mode)

    with pytest.raises(StartRefused, match="needs a key"):
        await OrderExchanges.open(made, CollectorRegistry())


@pytest.mark.parametrize(
    ("mode", "exchanges"),
    [
        ("simulator", "testnet"),
        ("simulator", "prod"),
        ("testnet", "simulator"),
        ("testnet", "prod"),
        ("live", "testnet"),
    ],
)
def test_a_mode_and_exchanges_that_do_not_fit_are_refused(
    mode: str, exchanges: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIDSTREAM_TRADING", mode)
    monkeypatch.setenv("MIDSTREAM_EXCHANGES", exchanges)

    with pytest.raises(SystemExit) as ended:
        load(OrdersSettings)

    assert ended.value.code == 2
    assert "MIDSTREAM_EXCHANGES" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MIDSTREAM_TRADING", "on"),
        ("MIDSTREAM_TRADING", "LIVE"),
        ("MIDSTREAM_ORDERS_NOTIONAL_MAX", "-1"),
        ("MIDSTREAM_ORDERS_NOTIONAL_MAX", "NaN"),
        ("MIDSTREAM_ORDERS_QUANTITY_MAX", "BTC/USDT"),
        ("MIDSTREAM_ORDERS_QUANTITY_MAX", "BTC/USDT=0"),
        ("MIDSTREAM_ORDERS_QUANTITY_MAX", "BTC/USDT=NaN"),
        ("MIDSTREAM_ORDERS_EXCHANGES", "kraken"),
        ("MIDSTREAM_ORDERS_PRICE_BAND", "2"),
        ("MIDSTREAM_ORDERS_DATABASE_URL", "mysql://x"),
    ],
)
def test_an_unusable_setting_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError):
        settings(monkeypatch, **{name: value})


def test_limits_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made = settings(monkeypatch, **LIMITS, MIDSTREAM_ORDERS_QUANTITY_MAX="BTC/USDT=0.5, ETH/USDT=10")

    assert made.limits.notional_max == Decimal(1000)
    assert made.limits.quantity_max == {"BTC/USDT": Decimal("0.5"), "ETH/USDT": Decimal(10)}


def test_secrets_of_urls_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    made = settings(
        monkeypatch, MIDSTREAM_ORDERS_DATABASE_URL="postgresql://u:canary@h/d", MIDSTREAM_REDIS_URL="rediss://:canary@h"
    )

    assert "canary" not in repr(made)
    assert Path("var") == made.out
