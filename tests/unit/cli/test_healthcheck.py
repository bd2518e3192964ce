"""`midstream healthcheck` asks where the servers of this machine are, says what they answer, and imports next to nothing for it."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from prometheus_client import CollectorRegistry

from services.cli.healthcheck import LIVE, HealthQuestion, ask, parse
from services.cli.servers import SERVERS
from services.runtime import health
from services.runtime.down_file import DownFile
from services.runtime.health import HealthBoard
from services.runtime.metrics import Metrics
from tests.support.cli import ROOT, clean_environment

SERVICE = SERVERS["price"].service

MODULES_MAX = 400
"""Of a probe, the standard library's included; there were 245 when this was written, with 0.1 s of CPU."""


class Price:
    """The health of a price server."""

    def __init__(self) -> None:
        self.board = HealthBoard([SERVICE], Metrics(CollectorRegistry()))
        self.server = grpc.aio.server()
        self.board.register(self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")


@pytest.fixture
async def price(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Price]:
    price = Price()
    await price.board.start()
    await price.server.start()
    monkeypatch.setenv("MIDSTREAM_PRICE_PORT", str(price.port))
    monkeypatch.setenv("MIDSTREAM_OUT", str(tmp_path))
    yield price
    await price.board.drain()
    await price.server.stop(0)


async def answered(question: HealthQuestion) -> int:
    return await asyncio.to_thread(ask, question)


@pytest.mark.parametrize("service", ["price", SERVICE])
async def test_a_server_that_serves_is_0_and_one_that_does_not_is_1_with_its_reason(
    price: Price, service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await answered(HealthQuestion(service)) == 0
    assert capsys.readouterr().out == "price: serving\n"

    price.board.set(SERVICE, False, "Redis ist müde:\n  it hangs")
    await asyncio.sleep(0)

    assert await answered(HealthQuestion(service)) == 1
    assert capsys.readouterr().out == "price: not serving (Redis ist m\\xfcde: it hangs)\n"


@pytest.mark.parametrize("question", [HealthQuestion("price", live=True), HealthQuestion(LIVE)])
async def test_a_process_lives_whatever_becomes_of_its_services(
    price: Price, question: HealthQuestion, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    DownFile(tmp_path, ["price"]).write({})
    price.board.set(SERVICE, False, "Redis is gone")
    await asyncio.sleep(0)
    assert await answered(question) == 0

    await price.board.drain()

    assert await answered(question) == 0
    assert capsys.readouterr().out == "price: live\n" * 2
    assert await answered(HealthQuestion("price")) == 1
    assert capsys.readouterr().out == "price: not serving (shutting down)\n"


async def test_reasons_are_for_callers_on_this_machine(
    price: Price, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(health, "_ON_THIS_MACHINE", ("ipv4:10.",))
    price.board.set(SERVICE, False, "redis://10.0.0.7:6379 does not answer")
    await asyncio.sleep(0)

    assert await answered(HealthQuestion("price")) == 1
    assert capsys.readouterr().out == "price: not serving\n"


async def test_without_a_service_every_server_of_the_last_serve_is_asked(
    price: Price, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("MIDSTREAM_CONTROL_PORT", str(taken.getsockname()[1]))
    DownFile(tmp_path, ["control", "price"]).write({"control": "it ended"})

    assert await answered(HealthQuestion()) == 1

    control, said = capsys.readouterr().out.splitlines()
    assert control.startswith("control: 127.0.0.1:")
    assert "not reachable" in control
    assert said == "price: serving"


async def test_ports_that_the_system_chose_are_read_from_what_servers_announce(
    price: Price, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDSTREAM_PRICE_PORT", "0")
    ready = tmp_path / ".midstream/ready"
    ready.mkdir(parents=True)
    (ready / "price.json").write_text(json.dumps({"port": price.port, "pid": os.getpid()}))

    assert await answered(HealthQuestion()) == 0
    assert capsys.readouterr().out == "price: serving\n"

    monkeypatch.setenv("MIDSTREAM_TLS_CERT", "cert.pem")
    (ready / "price.json").write_text(json.dumps({"port": 1, "admin_port": price.port, "pid": os.getpid()}))
    assert await answered(HealthQuestion()) == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"MIDSTREAM_PRICE_ADMIN_PORT": "{port}"},
        {"MIDSTREAM_PRICE_ADMIN_PORT": "{port}", "MIDSTREAM_TLS_CERT": "c.pem"},
        {"MIDSTREAM_PRICE_ADMIN_PORT": "{port}", "MIDSTREAM_ADMIN_HOST": "0.0.0.0"},
    ],
    ids=["named", "tls", "every address"],
)
async def test_health_is_asked_in_plain_text_where_the_admin_port_is(
    price: Price, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    port = price.port
    # Where nobody could be asked.
    monkeypatch.setenv("MIDSTREAM_PRICE_PORT", "1")
    monkeypatch.setenv("MIDSTREAM_HOST", "192.0.2.1")
    for name, value in settings.items():
        monkeypatch.setenv(name, value.format(port=port))

    assert await answered(HealthQuestion("price")) == 0


async def test_a_server_on_every_address_is_asked_on_this_machine_and_never_through_a_proxy(
    price: Price, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDSTREAM_HOST", "0.0.0.0")
    for name in ("http_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://192.0.2.1:3128")

    assert await answered(HealthQuestion("price")) == 0


@pytest.mark.parametrize("name", ["price", "sim-binance"])
def test_silence_is_1_and_bounded(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # As a process that is stopped: the system takes the connection, and nobody reads from it.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        prefix = f"MIDSTREAM_{name.upper().replace('-', '_')}"
        monkeypatch.setenv(f"{prefix}_PORT", str(silent.getsockname()[1]))

        assert ask(HealthQuestion(name, timeout_s=0.2)) == 1

    assert "no answer within 0.2 s" in capsys.readouterr().out


def test_where_nothing_runs_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIDSTREAM_OUT", str(tmp_path))
    monkeypatch.setattr("services.cli.healthcheck._listens", lambda address: False)

    assert ask(HealthQuestion()) == 1
    assert "no server runs here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("service", "settings", "said"),
    [
        ("prise", {}, "no server or service 'prise'"),
        ("midstream.price.v1.Prices", {}, "no server or service"),
        ("price", {"MIDSTREAM_PRICE_PORT": "http"}, "MIDSTREAM_PRICE_PORT: must be a port"),
        ("price", {"MIDSTREAM_PRICE_ADMIN_PORT": "70000"}, "MIDSTREAM_PRICE_ADMIN_PORT: must be a port"),
    ],
)
def test_what_the_caller_has_to_correct_is_2(
    service: str,
    settings: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    assert ask(HealthQuestion(service)) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "question"),
    [
        ("", HealthQuestion()),
        ("price", HealthQuestion("price")),
        ("--live price", HealthQuestion("price", live=True)),
        ("price --timeout 4", HealthQuestion("price", timeout_s=4.0)),
        ("--timeout=0.5", HealthQuestion(timeout_s=0.5)),
        ("--help", None),
        ("price control", None),
        ("--timeout", None),
        ("--timeout x", None),
        ("--timeout 0", None),
        ("--timeout nan", None),
        ("--timeout 61", None),
        ("--liv price", None),
    ],
)
def test_the_short_way_reads_what_it_knows_and_leaves_the_rest_to_the_whole_command_line(
    line: str, question: HealthQuestion | None
) -> None:
    assert parse(line.split()) == question


def test_it_imports_grpc_its_health_stub_and_nothing_else_that_takes_time() -> None:
    program = (
        "import sys\n"
        "from services.cli.entry import main\n"
        "sys.argv = ['midstream', 'healthcheck', 'price', '--timeout', '0.2']\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    print(ended.code)\n"
        "print(*sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=clean_environment({"MIDSTREAM_PRICE_PORT": "1"}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    *_, code, line = done.stdout.splitlines()
    modules = line.split()
    packages = {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names)
    ours = {module for module in modules if module.startswith(("services.", "clients", "protos", "fastpath"))}

    assert code == "1"
    # gRPC looks for its own relatives when it is imported; names with an underscore are what .pth files load, and what measures coverage
    # has a dollar.
    relatives = {"grpc_tools", "grpc_reflection", "typing_extensions", "cython_runtime"}
    assert {name for name in packages if not name.startswith(("_", "$", "coverage"))} - relatives == {
        "google", "grpc", "grpc_health", "services",
    }  # fmt: skip
    assert {module.rpartition(".")[0] for module in ours} <= {"services", "services.cli", "services.runtime"}
    assert len(modules) <= MODULES_MAX


@pytest.mark.parametrize("name", [name for name, server in SERVERS.items() if server.scheme == "grpc"])
def test_the_table_names_the_service_that_each_server_has(name: str) -> None:
    module = importlib.import_module(f"{SERVERS[name].module}.server")
    [names] = {
        tuple(found.names)
        for found in vars(module).values()
        if isinstance(found, type)
        and found.__module__ == module.__name__
        and isinstance(getattr(found, "names", None), tuple)
    }

    assert names == ((SERVERS[name].service,) if SERVERS[name].service else ())


def test_what_says_live_is_the_name_that_servers_answer_to() -> None:
    assert LIVE == health.LIVE
