"""The table of docs/simulators.md is what ccxt finds when it makes every call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.simulators.binance import DEMO_ACCOUNT
from tests.integration.simulators.test_ccxt import client
from tests.support.ccxt_calls import CALLS, MARKETS, outcome
from tests.support.cli import ROOT
from tests.support.pages import call_table, run_program
from tests.support.simulator_process import SimulatorProcess, simulator_process

PAGE = (ROOT / "docs" / "simulators.md").read_text(encoding="utf-8")
TABLE = call_table(PAGE)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """A simulator on which nobody else has anything open."""
    with simulator_process("binance", tmp_path_factory.mktemp("own"), STEP="0.05") as simulator:
        yield simulator


@pytest.fixture(scope="module")
def exchange(own: SimulatorProcess) -> Iterator[Any]:
    made = client("binance", own, DEMO_ACCOUNT.api_key, DEMO_ACCOUNT.secret)
    made.enableRateLimit = False
    yield made
    made.session.close()


def test_the_table_has_every_call_once() -> None:
    assert list(TABLE) == list(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_a_row_of_the_table_is_what_ccxt_finds(exchange: Any, name: str) -> None:
    assert [outcome(exchange, name, market) for market in MARKETS.values()] == TABLE[name]


def test_the_program_of_the_page_runs(own: SimulatorProcess, tmp_path: Path) -> None:
    told = run_program(PAGE, place="localhost:5070", at=f"127.0.0.1:{own.port}", folder=tmp_path)

    assert len(json.loads(told.splitlines()[0])) == 3
