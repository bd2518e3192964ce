"""Settings of the simulators: every wrong one is refused in one line that names what would be legal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from services.runtime.settings import load
from services.simulators.binance.__main__ import BinanceSimSettings
from services.simulators.binance.simulator import SimulatedBinance
from services.simulators.bitmex.__main__ import BitmexSimSettings
from services.simulators.bybit.__main__ import BybitSimSettings
from services.simulators.venue import settings as module
from services.simulators.venue.settings import VenueSettings, read_keys, serve


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("FAULTS", "explode", "is no fault"),
        ("FAULTS", "error=teapot", "unavailable"),
        ("PORT", "99999", "up to 65535"),
        ("STEP", "0", "above 0"),
        ("DEPTH", "-1", "above 0"),
        ("VOLATILITY", "fast", "a number"),
        ("KEYS", "name:key", "name:key:secret"),
        ("LEVERS", "everywhere", "here"),
    ],
)
@pytest.mark.parametrize(
    ("name", "settings_class"),
    [("BINANCE", BinanceSimSettings), ("BITMEX", BitmexSimSettings), ("BYBIT", BybitSimSettings)],
    ids=["binance", "bitmex", "bybit"],
)
def test_wrong_setting_is_refused(
    name: str,
    settings_class: type[VenueSettings],
    variable: str,
    value: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(f"MIDSTREAM_SIM_{name}_{variable}", value)

    with pytest.raises(SystemExit) as ended:
        load(settings_class)

    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert line.startswith(f"MIDSTREAM_SIM_{name}_{variable}: ")
    assert says in line


def test_more_accounts_are_read_and_their_secrets_not_shown() -> None:
    accounts = read_keys("alice:key-a:canary-secret, bob:key-b:other")

    assert [(one.name, one.api_key) for one in accounts] == [("alice", "key-a"), ("bob", "key-b")]
    assert "canary-secret" not in repr(accounts)
    with pytest.raises(ValueError, match="entry 1") as refused:
        read_keys("alice:canary-secret")
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "127.0.0.1:5070"),
        ("0.0.0.0", "127.0.0.1:5070"),
        ("::", "[::1]:5070"),
        ("192.0.2.7", "192.0.2.7:5070"),
    ],
)
def test_what_a_terminal_shows_are_addresses_that_can_be_typed(
    host: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    banners: list[Callable[[int], str]] = []

    def run_web(*_: Any, banner: Callable[[int], str], **__: Any) -> int:
        banners.append(banner)
        return 0

    monkeypatch.setattr(module, "run_web", run_web)

    assert serve(SimulatedBinance(), BinanceSimSettings(host=host)) == 0

    assert f"http://{shown}/api/v3" in banners[0](5070)
