"""Where Bybit is: one host for all of its markets, in every environment."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from clients.exchanges.bybit.settings import BybitSettings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EXCHANGES", "BYBIT_URL", "BYBIT_REST_URL", "BYBIT_STREAM_URL"):
        monkeypatch.delenv(f"MIDSTREAM_{name}", raising=False)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("environment", "rest", "stream"),
    [
        ("simulator", "http://127.0.0.1:5090", "ws://127.0.0.1:5090"),
        ("testnet", "https://api-testnet.bybit.com", "wss://stream-testnet.bybit.com"),
        ("prod", "https://api.bybit.com", "wss://stream.bybit.com"),
    ],
)
def test_every_market_is_at_the_same_place(
    environment: str, rest: str, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDSTREAM_EXCHANGES", environment)

    bases = BybitSettings().bases()

    assert list(bases) == ["spot", "linear", "inverse"]
    assert {(base.rest, base.stream) for base in bases.values()} == {(rest, stream)}


def test_one_setting_moves_all_markets_to_the_region_of_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_EXCHANGES", "prod")
    monkeypatch.setenv("MIDSTREAM_BYBIT_REST_URL", "https://api.bybit.eu/")
    monkeypatch.setenv("MIDSTREAM_BYBIT_STREAM_URL", "wss://stream.bybit.eu")

    bases = BybitSettings().bases()

    assert {(base.rest, base.stream) for base in bases.values()} == {("https://api.bybit.eu", "wss://stream.bybit.eu")}


@pytest.mark.parametrize("environment", ["testnet", "prod"])
@pytest.mark.parametrize("url", ["https://api-demo.bybit.com", "https://bybit.example"])
def test_any_other_host_is_refused_by_the_name_of_its_setting(
    environment: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDSTREAM_EXCHANGES", environment)
    monkeypatch.setenv("MIDSTREAM_BYBIT_REST_URL", url)

    with pytest.raises(ValidationError, match="MIDSTREAM_BYBIT_REST_URL"):
        BybitSettings()
