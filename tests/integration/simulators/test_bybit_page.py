"""docs/simulated_bybit.md: its commands, its program, and its table of what ccxt finds."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.simulators.bybit import DEMO_ACCOUNT
from tests.support.ccxt_calls import CALLS, Market, outcome
from tests.support.cli import PATIENCE_S, ROOT
from tests.support.pages import call_table, run_program, shell_lines
from tests.support.simulator_process import SimulatorProcess, simulator_process

ccxt: Any = pytest.importorskip("ccxt")

PAGE = (ROOT / "docs" / "simulated_bybit.md").read_text(encoding="utf-8")
MARKETS = {
    "spot": Market("BTC/USDT", 0.001, {}),
    "linear": Market("BTC/USDT:USDT", 0.01, {"type": "swap", "subType": "linear"}),
    "inverse": Market("BTC/USD:BTC", 200, {"type": "swap", "subType": "inverse"}),
}
TABLE = call_table(PAGE)


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """A simulated Bybit whose rows come with the acknowledgement: ccxt asks for an order right after placing it."""
    with simulator_process("bybit", tmp_path_factory.mktemp("at-once"), STEP="0.05", ROW_DELAY="0") as simulator:
        yield simulator


@pytest.fixture(scope="module")
def exchange(at_once: SimulatorProcess) -> Iterator[Any]:
    keys = {"apiKey": DEMO_ACCOUNT.api_key, "secret": DEMO_ACCOUNT.secret}
    made = ccxt.bybit({**keys, "options": {"recvWindow": 20_000}})
    made.urls["api"] = dict.fromkeys(made.urls["api"], at_once.url)
    made.load_markets()
    yield made
    made.session.close()


@pytest.mark.parametrize("line", shell_lines(PAGE), ids=lambda line: line.partition("localhost:5090")[2][:40])
def test_every_command_works(at_once: SimulatorProcess, line: str) -> None:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("curl and bash are needed")
    ended = subprocess.run(
        ["bash", "-euc", line.replace("localhost:5090", f"127.0.0.1:{at_once.port}")],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    if line.endswith("5090/"):
        assert DEMO_ACCOUNT.secret in ended.stdout
    else:
        told = json.loads(ended.stdout)
        assert "error" not in told
        assert not isinstance(told, dict) or told.get("retCode", 0) == 0, told


def test_the_program_of_the_page_runs(at_once: SimulatorProcess, tmp_path: Path) -> None:
    told = run_program(PAGE, place="localhost:5090", at=f"127.0.0.1:{at_once.port}", folder=tmp_path)

    assert len(json.loads(told.splitlines()[0])) == 3


def test_the_table_has_every_call_once() -> None:
    assert list(TABLE) == list(CALLS)


@pytest.mark.cases(10)
@pytest.mark.parametrize("name", CALLS)
def test_a_row_of_the_table_is_what_ccxt_finds(exchange: Any, name: str) -> None:
    assert [outcome(exchange, name, market) for market in MARKETS.values()] == TABLE[name]
