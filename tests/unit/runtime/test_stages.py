"""What the stage of a deployment forbids, asked of the real settings of every server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.cli.serve_command import Fleet, serve_environment
from services.control.config import ControlSettings
from services.health.config import HealthSettings
from services.orders.config import OrdersSettings
from services.power.etl.config import EtlSettings
from services.power.listener.config import DealListenerSettings
from services.price.config import PriceSettings
from services.replay.config import ReplaySettings
from services.reporting.config import ReportingSettings
from services.runtime.errors import StartRefused
from services.runtime.settings import ProcessSettings, load
from services.runtime.stages import PROD_FORBIDS
from services.simulators.binance.__main__ import BinanceSimSettings
from services.simulators.bitmex.__main__ import BitmexSimSettings
from services.simulators.bybit.__main__ import BybitSimSettings
from services.simulators.feed import FeedSettings
from services.simulators.market_data.config import ProviderSettings
from services.simulators.power_exchange.config import PowerExchangeSettings

PROD = {
    "MIDSTREAM_STAGE": "prod",
    "MIDSTREAM_TRADING": "live",
    "MIDSTREAM_EXCHANGES": "prod",
    "MIDSTREAM_DATABASE_URL": "postgresql://desk:x@db.internal/midstream",
    "MIDSTREAM_REDIS_URL": "rediss://desk:x@redis.internal:6379/0",
    "MIDSTREAM_ORDERS_NOTIONAL_MAX": "1000",
    "MIDSTREAM_ORDERS_POSITION_MAX": "5000",
    "MIDSTREAM_ORDERS_DOCS": "off",
    "MIDSTREAM_REFLECTION": "off",
    "MIDSTREAM_AUTH": "keys",
    "MIDSTREAM_POWER_URL": "wss://power.example:443",
    "MIDSTREAM_REFERENCE_URL": "https://prices.example",
}
"""What every server takes in prod."""
SERVERS: list[type[ProcessSettings]] = [
    ReplaySettings,
    ControlSettings,
    PriceSettings,
    HealthSettings,
    OrdersSettings,
    ReportingSettings,
    DealListenerSettings,
    EtlSettings,
]
SIMULATORS: list[type[ProcessSettings]] = [
    FeedSettings,
    BinanceSimSettings,
    BitmexSimSettings,
    BybitSimSettings,
    PowerExchangeSettings,
    ProviderSettings,
]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MIDSTREAM_"):
            monkeypatch.delenv(name)


def said(
    settings: type[ProcessSettings],
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> list[str]:
    """Return the lines of a refusal; none when it starts."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    try:
        load(settings)
    except SystemExit as exc:
        return [f"exit {exc.code}"] * (exc.code != 2) + capsys.readouterr().err.splitlines()
    return []


@pytest.mark.parametrize("settings", SERVERS)
def test_what_the_page_recommends_for_prod_starts_everywhere(
    settings: type[ProcessSettings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(settings, PROD, monkeypatch, capsys) == []


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        *((each, {"MIDSTREAM_INSECURE": "yes"}) for each in SERVERS),
        *((each, {"MIDSTREAM_REFLECTION": "on"}) for each in SERVERS),
        *(
            (each, {"MIDSTREAM_KEYS_DATABASE_URL": "sqlite:///var/keys.db"})
            for each in (ReplaySettings, ControlSettings, PriceSettings, HealthSettings)
        ),
        *(
            (each, {"MIDSTREAM_DATABASE_URL": "sqlite:///var/one.db"})
            for each in (OrdersSettings, ReportingSettings, DealListenerSettings, EtlSettings)
        ),
        (OrdersSettings, {"MIDSTREAM_ORDERS_DATABASE_URL": "sqlite:///var/orders.db"}),
        (OrdersSettings, {"MIDSTREAM_TRADING": "simulator", "MIDSTREAM_EXCHANGES": "simulator"}),
        (OrdersSettings, {"MIDSTREAM_TRADING": "testnet", "MIDSTREAM_EXCHANGES": "testnet"}),
        (OrdersSettings, {"MIDSTREAM_TRADING": "dry-run", "MIDSTREAM_EXCHANGES": "simulator"}),
        (PriceSettings, {"MIDSTREAM_EXCHANGES": "simulator"}),
        (PriceSettings, {"MIDSTREAM_EXCHANGES": "testnet"}),
        (OrdersSettings, {"MIDSTREAM_REDIS_URL": ""}),
        (OrdersSettings, {"MIDSTREAM_ORDERS_DEAD_MAN": "off"}),
        (OrdersSettings, {"MIDSTREAM_ORDERS_DOCS": "on"}),
    ],
)
def test_prod_refuses_what_pretends_or_is_open(
    settings: type[ProcessSettings],
    change: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = said(settings, PROD | change, monkeypatch, capsys)
    assert any(line.endswith("(MIDSTREAM_STAGE=prod)") for line in lines)
    assert lines[0].partition(":")[0] in {*change, "MIDSTREAM_KEYS_DATABASE_URL", "MIDSTREAM_ORDERS_DATABASE_URL"} | {
        "MIDSTREAM_DATABASE_URL"
    }


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (DealListenerSettings, "MIDSTREAM_POWER_URL"),
        (EtlSettings, "MIDSTREAM_REFERENCE_URL"),
        (OrdersSettings, "MIDSTREAM_EXCHANGES"),
        (OrdersSettings, "MIDSTREAM_REDIS_URL"),
        (ControlSettings, "MIDSTREAM_REFLECTION"),
    ],
)
def test_a_default_that_pretends_or_is_open_is_refused_like_a_value(
    settings: type[ProcessSettings], name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left_out = PROD | {"MIDSTREAM_TRADING": "dry-run"}
    del left_out[name]
    assert [line.partition(":")[0] for line in said(settings, left_out, monkeypatch, capsys)] == [name]


@pytest.mark.parametrize("settings", SIMULATORS)
def test_prod_has_no_simulators(
    settings: type[ProcessSettings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "simulators have no place in prod" in said(settings, PROD, monkeypatch, capsys)[0]
    assert said(settings, {"MIDSTREAM_STAGE": "staging"}, monkeypatch, capsys) == []


def test_every_problem_is_told_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(OrdersSettings, {"MIDSTREAM_STAGE": "prod"}, monkeypatch, capsys)
    assert {line.partition(":")[0] for line in lines} == {
        "MIDSTREAM_EXCHANGES",
        "MIDSTREAM_ORDERS_DATABASE_URL",
        "MIDSTREAM_REDIS_URL",
        "MIDSTREAM_ORDERS_DOCS",
        "MIDSTREAM_REFLECTION",
    }


@pytest.mark.parametrize("stage", ["dev", "staging"])
def test_real_money_is_for_prod_alone(
    stage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = said(OrdersSettings, PROD | {"MIDSTREAM_STAGE": stage}, monkeypatch, capsys)
    assert lines == [
        f"MIDSTREAM_TRADING: only in prod: use testnet, simulator or dry-run here (MIDSTREAM_STAGE={stage})"
    ]


def test_without_a_stage_nothing_is_forbidden(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(OrdersSettings, PROD | {"MIDSTREAM_STAGE": "", "MIDSTREAM_INSECURE": "yes"}, monkeypatch, capsys) == []


def test_a_price_server_without_exchanges_pretends_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change = {"MIDSTREAM_EXCHANGES": "simulator", "MIDSTREAM_PRICE_EXCHANGES": ""}
    assert said(PriceSettings, PROD | change, monkeypatch, capsys) == []


def test_every_rule_is_about_something_that_exists() -> None:
    known = {name for each in (*SERVERS, *SIMULATORS) for name in (*each.model_fields, "simulates")}
    assert {rule.field for rule in PROD_FORBIDS} <= known


def test_serve_brings_no_redis_of_its_own_into_prod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIDSTREAM_OUT", str(tmp_path))
    monkeypatch.setenv("MIDSTREAM_STAGE", "prod")
    with pytest.raises(StartRefused, match=r"^MIDSTREAM_REDIS_URL: the embedded Redis is not for prod"):
        Fleet(["control"], print).build()
    assert not (tmp_path / "redis").exists()


@pytest.mark.parametrize(("stage", "feed"), [("", "ws://127.0.0.1:5040"), ("dev", ""), ("prod", "")])
def test_only_a_machine_without_a_stage_has_a_simulated_feed(
    stage: str, feed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDSTREAM_STAGE", stage)
    assert serve_environment()["MIDSTREAM_LIVE_URL"] == feed
