"""A variable that no setting has is told from those that some server reads."""

from __future__ import annotations

import logging
import sys

import pytest

from clients.exchanges.names import EXCHANGES, url_variable
from clients.exchanges.registry import settings_class
from services.cli.serve_command import demo_keys, serve_environment, simulated_places
from services.cli.servers import SERVERS
from services.runtime.known_settings import unknown_line, unknown_settings
from services.runtime.listening import warn_of_unknown_settings
from services.runtime.settings import ProcessSettings, load
from tests.support.log_records import said


class ExampleSettings(ProcessSettings):
    depth: int = 1


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("MIDSTREAM_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("MIDSTREAM_ORDERS_DATABASE_URL", id="the first of two names"),
        pytest.param("MIDSTREAM_DATABASE_URL", id="the second of two names"),
        pytest.param("midstream_speed", id="another case, as it is read"),
        pytest.param("MIDSTREAM_BINANCE_API_SECRET_FILE", id="a key"),
        pytest.param("MIDSTREAM_BITMEX_SSM_PATH", id="a key elsewhere"),
        pytest.param("MIDSTREAM_BINANCE_SPOT_REST_URL", id="an exchange's address"),
        pytest.param("MIDSTREAM_FAULT_ONCE", id="a fault"),
        pytest.param("MIDSTREAM_READY_FILE", id="what a supervisor sets"),
        pytest.param("MIDSTREAM_STRICT", id="strict itself"),
        pytest.param("MIDSTREAM_SHARED", id="the test suite's own"),
        pytest.param("PATH", id="no business of ours"),
    ],
)
def test_a_variable_that_somebody_reads_is_known(name: str) -> None:
    assert unknown_settings({name: "x"}) == {}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        pytest.param("MIDSTREAM_SPED", "MIDSTREAM_SPEED", id="a letter lost"),
        pytest.param("midstream_sped", "MIDSTREAM_SPEED", id="in small letters"),
        pytest.param("MIDSTREAM_ORDER_KILL_FILE", "MIDSTREAM_ORDERS_KILL_FILE", id="a server's"),
        pytest.param("MIDSTREAM_BINANCE_SPOT_RST_URL", "MIDSTREAM_BINANCE_SPOT_REST_URL", id="an exchange's"),
        pytest.param("MIDSTREAM_BITMEX_API_SECRE", "MIDSTREAM_BITMEX_API_SECRET", id="a key"),
        pytest.param("MIDSTREAM_QQQQQQQQQQQQQQQQQQQQQQQQQQQQ", "", id="nothing near"),
    ],
)
def test_what_was_probably_meant_is_named(name: str, nearest: str) -> None:
    assert unknown_settings({name: "x"}) == {name: nearest}


def test_exchanges_are_imported_only_when_something_looks_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    names = list(SERVERS)
    told = {"MIDSTREAM_SPEED": "1"} | serve_environment() | demo_keys(names) | simulated_places(names)
    monkeypatch.setitem(sys.modules, "clients.exchanges.registry", None)

    assert {url_variable(exchange) for exchange in EXCHANGES} < {*told}
    assert unknown_settings({**told, "MIDSTREAM_BINANCE_API_KEY": "k"}) == {}
    with pytest.raises(ImportError):
        unknown_settings({"MIDSTREAM_SPED": "1"})


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_where_a_simulator_is_is_a_setting_of_its_exchange(exchange: str) -> None:
    assert url_variable(exchange).removeprefix("MIDSTREAM_").lower() in settings_class(exchange).model_fields


def test_without_a_near_name_the_list_is_named() -> None:
    assert unknown_line("MIDSTREAM_X", "") == "MIDSTREAM_X is no setting; `midstream settings` lists them all"


def test_with_strict_loading_refuses_it_beside_all_other_problems(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIDSTREAM_STRICT", "1")
    monkeypatch.setenv("MIDSTREAM_LOG_LEVL", "info")
    monkeypatch.setenv("MIDSTREAM_DEPTH", "deep")

    with pytest.raises(SystemExit) as ended:
        load(ExampleSettings)

    assert ended.value.code == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("MIDSTREAM_LOG_LEVL is no setting; did you mean MIDSTREAM_LOG_LEVEL?")
    assert second.startswith("MIDSTREAM_DEPTH: is not usable")


def test_without_strict_it_is_logged_once_at_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MIDSTREAM_LOG_LEVL", "info")
    monkeypatch.setenv("MIDSTREAM_DEPTH", "2")

    with caplog.at_level(logging.WARNING):
        warn_of_unknown_settings(load(ExampleSettings))

    assert said(caplog.records) == [
        (
            "unknown setting",
            {
                "problem": "MIDSTREAM_LOG_LEVL is no setting; did you mean MIDSTREAM_LOG_LEVEL? "
                "`midstream settings` lists them all"
            },
        )
    ]
