"""docs/access.md: its keys, its calls, its program, its table."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.access import METHODS, Role
from tests.support.cli import ROOT
from tests.support.grpcurl import go_tool
from tests.support.pages import shell_lines
from tests.support.ports import free_port
from tests.support.serving import Serving

PAGE = (ROOT / "docs" / "access.md").read_text(encoding="utf-8")
PATIENCE_S = 60.0


def lines(heading: str) -> list[str]:
    """Return the commands under a heading."""
    return shell_lines(PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0])


class Guarded(Serving):
    """Servers that are not called by whatever starts them."""

    def control_state_url(self) -> str:
        return ""


class Reader:
    """The page's reader: one folder, one shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {"50052": free_port(), "9152": free_port()}
        programs = folder / "bin"
        programs.mkdir()
        launcher = programs / "midstream"
        launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m services.cli "$@"\n')
        launcher.chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MIDSTREAM_")}
        self.environment = {
            **kept,
            "PATH": f"{programs}:{kept['PATH']}",
            "PYTHONPATH": str(ROOT),
            "MIDSTREAM_CONTROL_PORT": str(self.ports["50052"]),
        }

    def run(self, *commands: str) -> subprocess.CompletedProcess[str]:
        """Run lines of the page in one shell, against the ports of this test."""
        text = "\n".join(commands)
        for documented, port in self.ports.items():
            text = re.sub(rf"(?<=localhost:){documented}\b", str(port), text)
        return subprocess.run(
            ["bash", "-euc", text], cwd=self.folder, env=self.environment, capture_output=True, text=True,
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    reader = Reader(tmp_path_factory.mktemp("access"))
    made = reader.run(*lines("Keys"))
    assert made.returncode == 0, made.stderr
    environment = {
        "MIDSTREAM_AUTH": "keys",
        "MIDSTREAM_KEYS_DATABASE_URL": f"sqlite:///{reader.folder / 'var' / 'orders.db'}",
        "MIDSTREAM_CONTROL_METRICS_PORT": str(reader.ports["9152"]),
        "MIDSTREAM_REDIS_URL": "",
    }
    serving = Guarded(reader.folder / "out", environment=environment, names=("replay", "control", "sim-feed"))
    reader.ports["50052"] = serving.ports["control"]
    reader.environment["MIDSTREAM_CONTROL_PORT"] = str(serving.ports["control"])
    try:
        yield reader
    finally:
        serving.process.send_signal(signal.SIGTERM)
        serving.process.wait(PATIENCE_S)
        serving.kill()


def test_the_keys_are_for_their_owner_only(reader: Reader) -> None:
    for name in ("read.key", "anna.key"):
        file = reader.folder / name
        assert file.read_text().startswith("mk_")
        assert file.stat().st_mode & 0o077 == 0


def test_every_call_of_the_page_is_answered(reader: Reader) -> None:
    export, auth, *calls = lines("Calls")
    assert len(calls) == 3
    for call in calls:
        if call.startswith("grpcurl"):
            go_tool("grpcurl")
        done = reader.run(export, auth, call)
        assert done.returncode == 0, (call, done.stderr)
        assert "session" in done.stdout or "midstream_serving" in done.stdout, (call, done.stdout)


def test_the_program_of_the_page_runs(reader: Reader) -> None:
    program = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]
    program = program.replace("localhost:50052", f"localhost:{reader.ports['50052']}")

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=reader.folder, env=reader.environment, capture_output=True, text=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, "default\n"), done.stderr


def test_without_a_key_the_command_says_what_to_do(reader: Reader) -> None:
    refused = reader.run("midstream status")
    read_only = reader.run("MIDSTREAM_API_KEY=$(cat read.key) midstream pause")

    assert refused.returncode == 2
    assert "MIDSTREAM_API_KEY" in refused.stderr
    assert read_only.returncode == 2
    assert "needs role control" in read_only.stderr


def test_the_table_of_roles_is_the_table_of_the_servers() -> None:
    found = {
        f"{service}/{method.strip()}": role
        for role, row in re.findall(rf"^\| ({'|'.join(Role)}) \| (.*) \|$", PAGE, re.MULTILINE)
        for service, listed in re.findall(r"`(\w+)`: ([^;]*)", row)
        for method in listed.split(",")
    }

    assert found == {
        name.rpartition(".")[2]: role.value for name, role in METHODS.items() if not name.startswith("http/")
    }
