"""The first page of each simulated exchange: the lines that it says to try, typed as they stand there."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path

import pytest

from services.cli.servers import SERVERS
from tests.support.cli import PATIENCE_S
from tests.support.simulator_process import simulator_process

NAMES = sorted(name.removeprefix("sim-") for name, server in SERVERS.items() if server.says_hello)


@pytest.mark.needs("curl", "openssl")
@pytest.mark.parametrize("name", NAMES)
def test_what_it_says_to_try_buys_and_plans_a_fault(name: str, tmp_path: Path) -> None:
    with simulator_process(name, tmp_path) as simulator:
        with urllib.request.urlopen(simulator.url, timeout=PATIENCE_S) as answer:
            page = answer.read().decode()
        script = page.partition("\nTry:\n")[2]
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        orders, planned = simulator.admin("GET", "/sim/orders"), simulator.admin("GET", "/sim/faults")

    assert ended.returncode == 0, ended.stderr
    assert [order["filled"] != "0" for order in orders] == [True], ended.stdout
    assert len(planned["faults"]) == 1
