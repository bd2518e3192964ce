"""Production is never reached by accident, and no setting leads anywhere else (S23)."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from clients.exchanges.bases import Environment, is_loopback
from clients.exchanges.binance.settings import PLACES, BinanceSettings
from clients.exchanges.names import CLOSED, EXCHANGES
from clients.exchanges.registry import settings_class
from clients.exchanges.settings import ExchangeSettings

SWITCH = "MIDSTREAM_EXCHANGES"
OPEN = [name for name in EXCHANGES if name not in CLOSED]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for exchange in EXCHANGES:
        for name in settings_class(exchange).model_fields:
            monkeypatch.delenv(f"MIDSTREAM_{name.upper()}", raising=False)


def hosts(settings: ExchangeSettings) -> set[str]:
    return {
        url.split("://")[1].split("/")[0].split(":")[0]
        for base in settings.bases().values()
        for url in (base.rest, base.stream, base.websocket_api)
        if url
    }


@pytest.mark.quick
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_the_simulators_are_the_default(exchange: str) -> None:
    assert hosts(settings_class(exchange)()) == {"127.0.0.1"}


@pytest.mark.parametrize("exchange", OPEN)
def test_one_setting_chooses_production_for_every_exchange(exchange: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "prod")

    settings = settings_class(exchange)()

    assert settings.environment is Environment.PROD
    assert hosts(settings) <= settings.places.hosts[Environment.PROD]


@pytest.mark.parametrize("value", ["PROD", "Prod", " prod", "prod ", "production", "live", "1", "true", ""])
def test_nothing_but_the_literal_word_reaches_production(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, value)

    with pytest.raises(ValidationError):
        BinanceSettings()


@pytest.mark.parametrize("exchange", OPEN)
def test_testnet_and_production_have_no_host_in_common(exchange: str) -> None:
    places = settings_class(exchange).places
    testnet, prod = places.hosts[Environment.TESTNET], places.hosts[Environment.PROD]

    assert not testnet & prod
    for environment in (Environment.TESTNET, Environment.PROD):
        for base in places.bases(environment).values():
            assert places.checked_url(environment, base.rest) == base.rest
            assert places.checked_url(environment, base.stream, socket=True) == base.stream


def test_a_simulator_elsewhere_on_this_machine_serves_every_market(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_BINANCE_URL", "http://127.0.0.1:6070/")

    bases = BinanceSettings().bases()

    assert {base.rest for base in bases.values()} == {"http://127.0.0.1:6070"}
    assert bases["usdm"].stream == "ws://127.0.0.1:6070/fstream"
    assert bases["spot"].websocket_api == "ws://127.0.0.1:6070/ws-api/v3"


def test_the_simulators_url_means_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "testnet")
    monkeypatch.setenv("MIDSTREAM_BINANCE_URL", "http://127.0.0.1:6080")

    with pytest.raises(ValidationError, match="MIDSTREAM_BINANCE_URL"):
        BinanceSettings()


def test_an_allowed_host_may_replace_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "prod")
    monkeypatch.setenv("MIDSTREAM_BINANCE_SPOT_REST_URL", "https://api-gcp.binance.com/")
    monkeypatch.setenv("MIDSTREAM_BINANCE_SPOT_STREAM_URL", "wss://data-stream.binance.vision")

    spot = BinanceSettings().bases()["spot"]
    assert (spot.rest, spot.stream) == ("https://api-gcp.binance.com", "wss://data-stream.binance.vision")


FORBIDDEN = [
    "http://169.254.169.254/latest/meta-data",
    "https://169.254.169.254",
    "file:///etc/passwd",
    "ftp://api.binance.com",
    "http://api.binance.com",
    "https://api.binance.com.evil.example",
    "https://evil.example/api.binance.com",
    "https://api.binance.com@evil.example",
    "https://user:secret@api.binance.com",
    "https://api.binance.com:8443",
    "https://api.binance.com?x=1",
    "https://api.binance.com#x",
    "https://api.binance.com/..",
    "https://api.binance.com\\@evil.example",
    "https://api%2ebinance.com",
    "https://api.binance.com.",
    "https://xn--binance-abc.com",
    "https://testnet.binance.vision",
    "https://0x7f000001",
    "https://[::ffff:169.254.169.254]",
    "http://10.0.0.1",
    "//api.binance.com",
    "api.binance.com",
    "https://",
    "https://api.binance.com:port",
    "https://[",
    "https://api.binance.com/\nx",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("url", FORBIDDEN)
def test_s23_any_other_url_is_refused_in_production(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "prod")
    monkeypatch.setenv("MIDSTREAM_BINANCE_SPOT_REST_URL", url)

    with pytest.raises(ValidationError, match="MIDSTREAM_BINANCE_SPOT_REST_URL") as refusal:
        BinanceSettings()

    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["https://api.binance.com", "https://testnet.binance.vision", "http://192.168.1.5:5070"]
)
def test_the_simulator_is_never_another_machine(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_BINANCE_URL", url)

    with pytest.raises(ValidationError, match="this machine"):
        BinanceSettings()


@pytest.mark.parametrize("url", ["https://fapi.binance.com", "https://api.binance.com"])
def test_a_testnet_is_never_turned_into_production(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "testnet")
    monkeypatch.setenv("MIDSTREAM_BINANCE_USDM_REST_URL", url)

    with pytest.raises(ValidationError, match="testnet hosts"):
        BinanceSettings()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "ws://127.0.0.1:1", "wss://api.binance.com"])
def test_a_stream_needs_a_websocket_and_rest_needs_http(url: str) -> None:
    with pytest.raises(ValueError):
        PLACES.checked_url(Environment.PROD, url, socket=url.startswith("http"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9", "https://127.0.0.9:9"])
def test_this_machine_is_always_allowed(url: str) -> None:
    for environment in Environment:
        assert PLACES.checked_url(environment, url) == url


@pytest.mark.parametrize(
    "host", ["", "127.1", "2130706433", "0x7f.1", "localhost.evil.example", "0.0.0.0", "127.0.0.1."]
)
def test_only_the_usual_spellings_of_this_machine_count(host: str) -> None:
    assert not is_loopback(host)


def test_no_repr_of_the_settings_shows_an_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_BINANCE_URL", "http://127.0.0.1:6070")

    assert "6070" not in repr(BinanceSettings())
