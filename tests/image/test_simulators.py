"""The simulated exchanges as containers of their own: one image, another command, asked from outside as somebody's bot asks."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from services.cli.servers import SERVERS
from tests.support.image_box import Box, Image
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.image, pytest.mark.needs("curl", "openssl"), pytest.mark.timeout(300)]
START_S = 120.0
GRACE_S = 30.0
OUTSIDE = "10.77.0.1"
"""An address of the box beside its loopback: what connects to it is no neighbour on 127.0.0.1, as what comes by a published port."""
NAMES = sorted(name for name, server in SERVERS.items() if server.says_hello)


def outside(box: Box, port: int, script: str) -> str:
    """Run a script of this machine's shell in the box's network; whatever it asks of localhost goes to that other address."""
    home = box.log.parent
    (home / ".curlrc").write_text(
        f'silent\nshow-error\nmax-time = 20\nconnect-to = "localhost:{port}:{OUTSIDE}:{port}"\n'
    )
    enter = ["nsenter", f"--target={box.first}", "--net"]
    done = subprocess.run(
        [*enter, "bash", "-c", f"set -e -o pipefail\n{script}"],
        env={"PATH": os.environ["PATH"], "CURL_HOME": str(home), "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr + box.output()
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_alone_and_trades_with_what_its_first_page_says(image: Image, tmp_path: Path, name: str) -> None:
    exchange, port = name.removeprefix("sim-"), SERVERS[name].port
    settings = {"MIDSTREAM_HOST": "0.0.0.0", f"MIDSTREAM_SIM_{exchange.upper()}_LEVERS": "anywhere"}
    with Box(image, tmp_path / "data", "serve", name, **settings) as box:
        wait_until(
            lambda: box.process.poll() is not None or "Ctrl-C stops" in box.output(),
            timeout_s=START_S,
            what=f"start of {name}",
        )
        assert box.process.poll() is None, box.output()
        for probe in (["midstream", "healthcheck"], ["midstream", "healthcheck", name]):
            assert box.run(*probe).returncode == 0
        subprocess.run(
            ["nsenter", f"--target={box.first}", "--net", "ip", "address", "add", f"{OUTSIDE}/32", "dev", "lo"],
            check=True,
            timeout=30,
        )

        page = outside(box, port, f"curl http://localhost:{port}/")
        # The price, an order at the market, and a fault: the three lines to try, with the addresses that the page gives.
        said = outside(box, port, page.partition("\nTry:\n")[2] + "\n")
        faults = json.loads(outside(box, port, f"curl http://localhost:{port}/sim/faults"))
        orders = json.loads(outside(box, port, f"curl http://localhost:{port}/sim/orders"))

        os.kill(box.first, 15)
        assert box.wait(GRACE_S) == 0, box.output()

    assert f"http://localhost:{port}/" in page
    assert len(orders) == 1, said
    assert orders[0]["filled"] != "0", orders
    assert faults["faults"], said
