"""What lies in the folder one stands in is data: no command and no `make` target runs any of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import PATIENCE_S, ROOT, clean_environment, kill, until
from tests.support.planted import PlantedFolder
from tests.support.ports import free_port

SERVERS = ("sim-feed", "replay", "price", "control", "health", "sim-power-exchange", "sim-market-data")


class Planted(PlantedFolder):
    """It, with the commands that are run in it."""

    def environment(self, **settings: str) -> dict[str, str]:
        # `make test` protects everything below it: here the commands have to do so themselves.
        return clean_environment({"PLANTED_MARK": str(self.mark), "PYTHONSAFEPATH": "", **settings})

    def run(self, *command: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.path, env=self.environment(**settings), capture_output=True, text=True,
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path / "downloads")


@pytest.fixture(scope="module")
def midstream() -> Path:
    script = Path(sys.executable).with_name("midstream")
    if not script.exists():
        pytest.skip("the package is not installed here: make build-ext")
    return script


def test_the_trap_works(planted: Planted) -> None:
    # Without what measures coverage, which has read the real one by then.
    planted.run(sys.executable, "-S", "-c", "import json")

    assert "json.py" in "".join(planted.ran)


def test_a_replay_beside_strange_files_runs_none_of_them(planted: Planted, midstream: Path) -> None:
    shutil.copy(ROOT / "data/historical_sample.csv", planted.path / "data.csv")

    done = planted.run(midstream, "replay", "data.csv", "--out", "o")

    assert (done.returncode, planted.ran) == (0, []), done.stderr
    sample = ROOT / "data/sample_output/mid_prices.log"
    assert (planted.path / "o" / "mid_prices.log").read_bytes() == sample.read_bytes()


def test_no_server_runs_them_nor_do_the_commands_that_ask_it(planted: Planted, midstream: Path) -> None:
    ports = {f"MIDSTREAM_{name.upper().replace('-', '_')}": free_port() for name in SERVERS}
    settings = {f"{name}_PORT": str(port) for name, port in ports.items()}
    settings |= {f"{name}_METRICS_PORT": "0" for name in ports if "_SIM_" not in name}
    log = planted.path / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [midstream, "serve", *SERVERS], cwd=planted.path, stdout=output, stderr=output,
            env=planted.environment(**settings, MIDSTREAM_SPEED="max", MIDSTREAM_PRICE_EXCHANGES=""),
        )  # fmt: skip
    try:
        until(lambda: process.poll() is not None or "every server is up" in log.read_text(), what="the start")
        status = planted.run(midstream, "status", **settings)
        process.terminate()
        code = process.wait(timeout=PATIENCE_S)
    finally:
        kill(process)

    assert (code, status.returncode) == (0, 0), log.read_text() + status.stderr
    assert planted.ran == []


def test_make_runs_what_is_installed(planted: Planted, tmp_path: Path) -> None:
    # A checkout in which everything was built a moment ago, and into which somebody unpacked an archive.
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    python = venv / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    # This may run below a make of its own, whose flags and level the command is not to have.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    asked = subprocess.run(
        ["make", "--dry-run", "--always-make", f"VENV={venv}", "run"],
        cwd=ROOT, capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert "services.cli demo" in asked.stdout
    command = asked.stdout.splitlines()[-1]
    exported = subprocess.run(
        ["make", "--eval=asked:;@echo $$PYTHONSAFEPATH", "asked"],
        cwd=ROOT, capture_output=True, text=True, check=True, env={**environment, "PYTHONSAFEPATH": ""},
    )  # fmt: skip

    done = planted.run("sh", "-c", command, PYTHONSAFEPATH=exported.stdout.strip())

    assert (done.returncode, planted.ran) == (0, []), done.stderr
    assert "mid prices" in done.stdout
