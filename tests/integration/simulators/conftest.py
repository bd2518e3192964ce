"""One process per exchange for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.simulator_process import SimulatorProcess, simulator_process


@pytest.fixture(scope="session")
def binance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """A simulated Binance without faults."""
    with simulator_process("binance", tmp_path_factory.mktemp("binance"), STEP="0.05") as simulator:
        yield simulator


@pytest.fixture(scope="session")
def bitmex(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """A simulated BitMEX without faults."""
    with simulator_process("bitmex", tmp_path_factory.mktemp("bitmex"), STEP="0.05") as simulator:
        yield simulator


@pytest.fixture(scope="session")
def bybit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """A simulated Bybit without faults."""
    with simulator_process("bybit", tmp_path_factory.mktemp("bybit"), STEP="0.05") as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def _no_faults(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave no plan behind for the next test."""
    yield
    for name in ("binance", "bitmex", "bybit"):
        if name in request.fixturenames:
            request.getfixturevalue(name).admin("DELETE", "/sim/faults")
