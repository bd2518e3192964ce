"""docs/simulators.md: its commands, against a simulator that `midstream serve` runs alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.simulators.binance import DEMO_ACCOUNT
from services.simulators.binance.exchange import DEMO_ED25519
from services.simulators.binance.streams import locate
from services.simulators.binance.ws_methods import WS_API_PATHS
from tests.support.cli import PATIENCE_S, ROOT, clean_environment, command, until
from tests.support.pages import shell_lines
from tests.support.ports import free_port

PAGE = (ROOT / "docs" / "simulators.md").read_text(encoding="utf-8")
COMMANDS = shell_lines(PAGE)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v3/ping", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Run `midstream serve sim-binance` in an empty folder, and stop it as Ctrl-C does."""
    folder, port = tmp_path_factory.mktemp("simulators"), free_port()
    said = folder / "said.txt"
    with said.open("wb") as output:
        process = subprocess.Popen(
            command("serve", "sim-binance"),
            cwd=folder,
            env=clean_environment({"MIDSTREAM_SIM_BINANCE_PORT": str(port), "PYTHONPATH": str(ROOT)}),
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: answers(port), what="the simulator", timeout_s=PATIENCE_S)
        until(lambda: "Ctrl-C" in said.read_text(), what="its announcement", timeout_s=PATIENCE_S)
        yield port, said
        process.terminate()
        assert process.wait(PATIENCE_S) == 0, said.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(PATIENCE_S)


def test_it_says_what_to_try(served: tuple[int, Path]) -> None:
    port, said = served

    assert f"curl http://127.0.0.1:{port}/" in said.read_text()
    assert "Redis" not in said.read_text()


@pytest.mark.parametrize("line", COMMANDS, ids=lambda line: line.partition("localhost:5070")[2][:30])
def test_every_command_works(served: tuple[int, Path], line: str) -> None:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("curl and bash are needed")
    ended = subprocess.run(
        ["bash", "-euc", line.replace("localhost:5070", f"127.0.0.1:{served[0]}")],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    if line.endswith("5070/"):
        assert DEMO_ACCOUNT.secret in ended.stdout
    else:
        told = json.loads(ended.stdout)
        assert "error" not in told
        assert not (isinstance(told, dict) and "code" in told), told


def test_every_address_is_one(served: tuple[int, Path]) -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith(("| spot |", "| USD-M |", "| COIN-M |"))][:3]
    named = [cell for row in rows for cell in re.findall(r"`([^`]+)`", row)]
    streams = [one.partition("5070")[2] for one in named if one.startswith("ws://") and "-" not in one]

    assert {one.partition("5070")[2] for one in named if "-" in one and one.startswith("ws:")} == set(WS_API_PATHS)
    assert all(locate(f"{one.removesuffix('/ws')}/ws") is not None for one in streams)
    for key in (DEMO_ACCOUNT.api_key, DEMO_ACCOUNT.secret, DEMO_ED25519.api_key):
        assert f"`{key}`" in PAGE
