"""S19: whatever the umask, a run's databases, queue, sockets, keys and records of what goes on are their owner's alone."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.serve_command import SAMPLE_HISTORICAL
from tests.support.cli import midstream, until
from tests.support.ports import free_port
from tests.support.serving import Serving, serving

RESULTS = {"mid_prices.log", "errors.log", "mid_prices.csv", "report.json"}
"""What users read; as readable as they want it."""
SERVERS = (
    "replay",
    "control",
    "price",
    "health",
    "orders",
    "power-listener",
    "sim-feed",
    "sim-binance",
    "sim-power-exchange",
)


@contextlib.contextmanager
def umask(value: int) -> Iterator[None]:
    """Let children start with a umask."""
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def wide(directory: Path) -> dict[str, str]:
    """Return what somebody else could use below a directory, with its mode."""
    return {
        str(path.relative_to(directory)): oct(stat.S_IMODE(path.lstat().st_mode))
        for path in directory.rglob("*")
        if not path.is_symlink() and stat.S_IMODE(path.lstat().st_mode) & 0o077
    }


@contextlib.contextmanager
def running(out: Path) -> Iterator[Serving]:
    ports = {
        f"{name}_PORT": str(free_port())
        for name in ("ORDERS", "ORDERS_WEB", "SIM_BINANCE", "SIM_POWER_EXCHANGE", "POWER_LISTENER")
    }
    with umask(0), serving(
        out, SERVERS, DATABASE_URL=f"sqlite:///{out}/midstream.db", ORDERS_DATABASE_URL=f"sqlite:///{out}/orders.db",
        ORDERS_EXCHANGES="binance", ORDERS_METRICS_PORT="0", POWER_LISTENER_METRICS_PORT="0", MIDS_CSV="on",
        POWER_SPOOL=str(out / "spool"), **ports,
    ) as servers:  # fmt: skip
        yield servers


def test_what_a_run_makes_is_its_owners_alone(tmp_path: Path) -> None:
    out = tmp_path / "var"
    with running(out) as servers:
        servers.wait_committed(1)
        until(lambda: (out / "midstream.db-wal").exists(), what="the power database")
        socket = Path(servers.redis_url.removeprefix("unix://"))
        found = wide(out)
        made = {path.name for path in out.rglob("*")}

        assert {
            *RESULTS - {"report.json"},
            "orders.db",
            "orders.db-wal",
            "orders.keys",
            "redis",
            "appendonlydir",
        } <= made
        assert set(found) - {"serve.log"} == RESULTS - {"report.json"}
        assert {found[name] for name in RESULTS - {"report.json"}} == {"0o644"}
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(socket.stat().st_mode) & 0o077 == 0


@pytest.mark.long
def test_what_an_earlier_version_left_open_is_closed_and_said(tmp_path: Path) -> None:
    out = tmp_path / "var"
    with running(out) as servers:
        servers.wait_committed(1)
    for path in out.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (out / "orders.keys").chmod(0o600)

    with running(out) as servers:
        assert set(wide(out)) - {"serve.log"} <= RESULTS
        assert '"event": "made private, others could use it"' in servers.log.read_text()


@pytest.mark.parametrize(("value", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_results_of_a_replay_are_as_readable_as_the_user_wants(value: int, mode: int, tmp_path: Path) -> None:
    with umask(value):
        done = midstream("replay", SAMPLE_HISTORICAL, "--out", tmp_path / "out")

    assert done.code == 0, done.stderr
    assert {name: stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) for name in ("mid_prices.log", "errors.log")} == {
        "mid_prices.log": mode, "errors.log": mode,
    }  # fmt: skip
    assert set(wide(tmp_path / "out")) <= RESULTS
