"""Other people's clients against the simulated exchanges, unmodified, each in an environment of its own with the pins of tests/foreign."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.simulators.binance import DEMO_ACCOUNT
from services.simulators.binance.exchange import DEMO_ED25519, DEMO_SEED
from services.simulators.bybit import DEMO_ACCOUNT as BYBIT_DEMO
from services.simulators.venue.clearing import Account
from services.simulators.venue.ed25519 import pem
from tests.support.cli import ROOT
from tests.support.simulator_process import SimulatorProcess, simulator_process

FOREIGN = ROOT / "tests" / "foreign"
INSTALL_S = 600.0
TRIAL_S = 150.0
pytestmark = [pytest.mark.nightly, pytest.mark.timeout(INSTALL_S + 2 * TRIAL_S)]


@pytest.fixture
def own_binance(tmp_path: Path) -> Iterator[SimulatorProcess]:
    """An exchange of this trial's own: a position that another one left would be in the way of who wants another margin type."""
    with simulator_process("binance", tmp_path, STEP="0.05") as simulator:
        yield simulator


@pytest.fixture
def own_bybit(tmp_path: Path) -> Iterator[SimulatorProcess]:
    """The same for Bybit."""
    with simulator_process("bybit", tmp_path, STEP="0.05") as simulator:
        yield simulator


def python_of(name: str, folder: Path, *, oldest: tuple[int, int] = (3, 11)) -> Path:
    """Return the interpreter of an environment with the pins of that name; MIDSTREAM_TEST_FOREIGN may hold one that is ready."""
    ready = Path(os.environ.get("MIDSTREAM_TEST_FOREIGN", "/nowhere")) / name / "bin" / "python"
    if ready.exists():
        return ready
    names = [sys.executable] if sys.version_info >= oldest else []
    names += [f"python3.{minor}" for minor in (12, 13) if (3, minor) >= oldest]
    maker = next((found for found in map(shutil.which, names) if found), None)
    if maker is None:
        pytest.skip(f"{name} wants Python {oldest[0]}.{oldest[1]}")
    subprocess.run([maker, "-m", "venv", folder / name], check=True, timeout=INSTALL_S)
    python = folder / name / "bin" / "python"
    command = [python, "-m", "pip", "install", "-q", "-r", FOREIGN / f"{name}.txt"]
    subprocess.run(command, check=True, timeout=INSTALL_S)
    return python


def run(*command: object, cwd: Path, patience_s: float = TRIAL_S) -> str:
    """Run a trial; return what it printed, whether it ended by itself or not."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MIDSTREAM_", "PYTHON"))}
    try:
        ended = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=patience_s,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        return (exc.stdout or b"").decode(errors="replace") if isinstance(exc.stdout, bytes) else exc.stdout or ""
    return ended.stdout


def told(output: str) -> Any:
    """Return what a program of tests/foreign said at its end."""
    found = re.search(r"^TOLD (.*)$", output, re.MULTILINE)
    assert found is not None, output[-4000:]
    return json.loads(found[1])


@pytest.mark.parametrize("market", ["spot", "futures"])
def test_nautilus_listens_and_trades(market: str, own_binance: SimulatorProcess, tmp_path: Path) -> None:
    python = python_of("nautilus", tmp_path, oldest=(3, 12))
    secret = tmp_path / "secret"
    secret.write_text(pem(DEMO_SEED) if market == "spot" else DEMO_ACCOUNT.secret)
    key = DEMO_ED25519.api_key if market == "spot" else DEMO_ACCOUNT.api_key

    said = told(run(python, FOREIGN / "nautilus_binance.py", market, own_binance.port, key, secret, cwd=tmp_path))

    assert said["orders"] == ["FILLED", "CANCELED"]
    # Orders of spot cannot be amended there.
    assert said["amended"] == (market == "futures")
    assert len(said["positions"]) == 1
    assert said["book_is_level"]
    assert min(said["seen"][name] for name in ("quotes", "trades", "changes")) > 10
    assert said["seen"]["bars"] >= 100


@pytest.mark.parametrize("category", ["spot", "linear", "inverse"])
def test_nautilus_listens_and_trades_on_bybit(category: str, own_bybit: SimulatorProcess, tmp_path: Path) -> None:
    python = python_of("nautilus", tmp_path, oldest=(3, 12))
    keys = (BYBIT_DEMO.api_key, BYBIT_DEMO.secret)

    said = told(run(python, FOREIGN / "nautilus_bybit.py", category, own_bybit.port, *keys, cwd=tmp_path))

    assert said["orders"] == ["FILLED", "CANCELED"]
    assert said["amended"]
    # A fee of spot is in what was bought.
    assert said["positions"] == {"spot": ["0.09990"], "linear": ["0.10"], "inverse": ["100"]}[category]
    assert said["book_is_level"]
    assert min(said["seen"][name] for name in ("quotes", "trades", "changes")) > 10
    assert said["seen"]["bars"] >= 100


def test_the_official_connectors_make_their_calls(own_binance: SimulatorProcess, tmp_path: Path) -> None:
    python = python_of("connectors", tmp_path)
    arguments = (own_binance.port, DEMO_ACCOUNT.api_key, DEMO_ACCOUNT.secret)

    said = told(run(python, FOREIGN / "connectors_binance.py", *arguments, cwd=tmp_path))

    assert said == {name: {} for name in ("spot", "usdm", "coinm", "sdk spot", "sdk usdm")}


@pytest.mark.parametrize("mode", ["dry run", "live", "futures"])
def test_freqtrade_trades_on_candles(mode: str, own_binance: SimulatorProcess, tmp_path: Path) -> None:
    paths = {"sapi": "sapi/v1", "sapiV2": "sapi/v2", "sapiV3": "sapi/v3", "public": "api/v3", "private": "api/v3"}
    for letter in "fd":
        for name in ("Public", "PublicV2", "PublicV3", "Private", "PrivateV2", "PrivateV3"):
            paths[f"{letter}api{name}"] = f"{letter}api/v{name[-1] if name[-1].isdecimal() else 1}"

    freqtrade_trades(
        mode, own_binance, DEMO_ACCOUNT, {name: f"{own_binance.url}/{path}" for name, path in paths.items()}, tmp_path
    )


@pytest.mark.parametrize("mode", ["live", "futures"])
def test_freqtrade_trades_on_bybit(mode: str, own_bybit: SimulatorProcess, tmp_path: Path) -> None:
    urls = dict.fromkeys(("spot", "futures", "v2", "public", "private"), own_bybit.url)

    freqtrade_trades(mode, own_bybit, BYBIT_DEMO, urls, tmp_path)


def freqtrade_trades(
    mode: str, simulator: SimulatorProcess, account: Account, urls: dict[str, str], tmp_path: Path
) -> None:
    """Let it trade for a while, with these addresses for ccxt."""
    python = python_of("freqtrade", tmp_path)
    pairs = ["BTC/USDT", "ETH/USDT"]
    config: dict[str, Any] = {
        "max_open_trades": 2,
        "stake_currency": "USDT",
        "stake_amount": 300,
        "dry_run": mode == "dry run",
        "trading_mode": "futures" if mode == "futures" else "spot",
        "margin_mode": "isolated" if mode == "futures" else "",
        "entry_pricing": {"price_side": "same", "use_order_book": True, "order_book_top": 1},
        "exit_pricing": {"price_side": "same", "use_order_book": True, "order_book_top": 1},
        "exchange": {
            "name": simulator.name,
            "key": account.api_key,
            "secret": account.secret,
            "enable_ws": False,
            "ccxt_config": {"enableRateLimit": False, "urls": {"api": urls}},
            "pair_whitelist": [f"{pair}:USDT" if mode == "futures" else pair for pair in pairs],
        },
        "pairlists": [{"method": "StaticPairList"}],
        "internals": {"process_throttle_secs": 1},
        "initial_state": "running",
    }
    folder = tmp_path / "user_data"
    (folder / "strategies").mkdir(parents=True)
    shutil.copy(FOREIGN / "quick.py", folder / "strategies")
    (tmp_path / "config.json").write_text(json.dumps(config))
    before = time.monotonic()
    command = (python, "-m", "freqtrade", "trade", "-c", "config.json", "-s", "Quick", "--userdir", folder)

    said = run(*command, "--db-url", "sqlite://", cwd=tmp_path, patience_s=90)

    assert time.monotonic() - before > 60, said[-4000:]
    assert said.count("has been fulfilled") >= 2, said[-4000:]
    assert not re.search(r" - (ERROR|CRITICAL) - ", said), said[-4000:]
    if mode != "dry run":
        assert sum(1 for _ in simulator.admin("GET", "/sim/fills")) >= 2
