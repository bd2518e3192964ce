"""docs/clients.md: every recipe is followed to the letter, and the client it makes streams through broken connections."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos.replay.v1.replay_pb2 import GetSessionRequest
from protos.replay.v1.replay_pb2_grpc import ReplayServiceStub
from tests.support.cli import ROOT, until
from tests.support.grpcurl import go_tool, run_call
from tests.support.pages import shell_lines
from tests.support.proxy import TcpProxy
from tests.support.serving import Serving, serving

PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
CLIENT = ROOT / "examples" / "python" / "stream_ticks.py"
CONNECTION_BYTES = 400_000
"""A connection breaks after this many: more than one batch, less than the sample data."""
RECORDS, REJECTED = 20_007, 7
UNREACHABLE = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|Unknown host|no such host|dial tcp|Temporary failure|timed out"
)


def recipe(language: str) -> list[str]:
    """Return the commands under a heading."""
    return shell_lines(PAGE.partition(f"\n## {language}\n")[2].partition("\n## ")[0])


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The sample data, published."""
    with serving(tmp_path_factory.mktemp("clients") / "out", ("replay", "control", "price")) as running:
        running.wait_state("COMPLETED")
        yield running


@pytest.fixture(scope="module")
def partitioned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The sample data, published in two partitions."""
    out = tmp_path_factory.mktemp("partitioned") / "out"
    with serving(out, ("replay", "control"), PARTITIONS="2", SINKS="") as running:
        replay = ReplayServiceStub(running.channel("replay"))
        until(lambda: replay.GetSession(GetSessionRequest()).session.last_sequence == RECORDS, what="all records")
        yield running


@pytest.mark.quick
def test_the_page_shows_the_client_that_is_run() -> None:
    assert PAGE.split("```python\n")[1].split("```")[0] == CLIENT.read_text(encoding="utf-8")


@pytest.mark.needs("grpcurl")
def test_the_calls_without_a_program_work(servers: Serving) -> None:
    calls = recipe("Without a program")
    assert len(calls) == 3

    described, session, offline = (
        run_call(call, {50051: servers.ports["replay"], 50053: servers.ports["price"]}) for call in calls
    )

    assert "// Latest mid of one ticker." in described.stdout, described.stderr
    assert "rpc GetMidPrice" in described.stdout
    assert '"name": "default"' in session.stdout, session.stderr
    assert "// Stream the ticks of a session" in offline.stdout, offline.stderr


@pytest.mark.cases(1)
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("language", "tools"),
    [
        ("Python", []),
        pytest.param("Go", ["go", "protoc-gen-go", "protoc-gen-go-grpc"], marks=pytest.mark.long),
        pytest.param("TypeScript", ["node", "npm", "npx"], marks=pytest.mark.long),
        pytest.param("Java", ["java", "javac", "mvn"], marks=pytest.mark.long),
    ],
)
def test_a_client_compiles_streams_and_survives_broken_connections(
    servers: Serving, tmp_path: Path, language: str, tools: list[str]
) -> None:
    folders = {str(Path(go_tool(tool)).parent) for tool in tools}
    last = servers.state()["last_sequence"]
    rejected = servers.wait_committed(last)["counts"]["rejected"]

    with TcpProxy(("127.0.0.1", servers.ports["replay"])) as proxy:
        proxy.cut_at_byte(CONNECTION_BYTES)
        commands = [line.replace("localhost:50051 1000", f"127.0.0.1:{proxy.port} {last}") for line in recipe(language)]
        done = follow(commands, tmp_path, folders)

    if done.returncode and UNREACHABLE.search(done.stdout + done.stderr):
        pytest.skip(f"a package registry cannot be reached: {done.stderr.strip().splitlines()[-1:]}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ticks={last - rejected} rejections={rejected} first=1 last={last}\n" in done.stdout
    assert "again after" in done.stderr
    assert proxy.connections > 1


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("language", "tools"),
    [
        ("Python", []),
        ("Go", ["go", "protoc-gen-go", "protoc-gen-go-grpc"]),
        ("TypeScript", ["node", "npm", "npx"]),
        ("Java", ["java", "javac", "mvn"]),
    ],
)
def test_a_client_goes_on_in_all_partitions_of_a_session(
    partitioned: Serving, tmp_path: Path, language: str, tools: list[str]
) -> None:
    folders = {str(Path(go_tool(tool)).parent) for tool in tools}
    with TcpProxy(("127.0.0.1", partitioned.ports["replay"])) as proxy:
        proxy.cut_at_byte(CONNECTION_BYTES)
        place = f"127.0.0.1:{proxy.port} {RECORDS}"
        done = follow([line.replace("localhost:50051 1000", place) for line in recipe(language)], tmp_path, folders)

    if done.returncode and UNREACHABLE.search(done.stdout + done.stderr):
        pytest.skip(f"a package registry cannot be reached: {done.stderr.strip().splitlines()[-1:]}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ticks={RECORDS - REJECTED} rejections={REJECTED} first=1 last={RECORDS}\n" in done.stdout
    assert "again after" in done.stderr


def follow(commands: list[str], folder: Path, tools: set[str]) -> subprocess.CompletedProcess[str]:
    """Run the commands of a recipe in one shell, in an empty folder, with `protoc` on the PATH."""
    compiler = folder / "bin" / "protoc"
    _script(compiler, f'exec "{sys.executable}" -m grpc_tools.protoc "$@"')
    if commands[0] == "python3 -m venv venv":
        # What would be installed is here already.
        assert commands[1].startswith("venv/bin/pip install ")
        _script(folder / "venv" / "bin" / "python", f'exec "{sys.executable}" "$@"')
        commands = commands[2:]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [shutil.which("bash") or "sh", "-ec", "\n".join(commands)],
        cwd=folder,
        env=environment
        | {"CHECKOUT": str(ROOT), "PATH": ":".join([str(compiler.parent), *sorted(tools), os.environ["PATH"]])},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def _script(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
