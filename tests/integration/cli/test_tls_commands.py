"""What commands say when TLS does not work out, and what they do when it does."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from clients.rpc import ChannelSettings
from clients.rpc.diagnosis import diagnose
from protos.control.v1 import control_pb2 as pb
from protos.control.v1.control_pb2_grpc import ControlServiceServicer, add_ControlServiceServicer_to_server
from tests.support.cli import Completed, midstream, midstream_here
from tests.support.tls import Authority, Pair

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


class Control(ControlServiceServicer):
    """Answers one question, and notes who asks."""

    def __init__(self) -> None:
        self.authorizations: list[str] = []

    def GetState(self, request: pb.GetStateRequest, context: grpc.ServicerContext) -> pb.GetStateResponse:
        metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        self.authorizations.append(metadata.get("authorization", ""))
        return pb.GetStateResponse(state=pb.ControlState(session="desk"))


@dataclass
class World:
    """An authority, another one, and servers of every kind."""

    folder: Path
    authority: Authority
    other: Authority
    control: Control
    stack: list[grpc.Server]

    def serve(self, pair: Pair | None, *, client_ca: Authority | None = None) -> int:
        server = grpc.server(ThreadPoolExecutor(2), options=(("grpc.so_reuseport", 0),))
        add_ControlServiceServicer_to_server(self.control, server)
        if pair is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            asked = client_ca.pem if client_ca is not None else None
            port = server.add_secure_port(
                "127.0.0.1:0", grpc.ssl_server_credentials([(pair.key, pair.chain)], asked, asked is not None)
            )
        server.start()
        self.stack.append(server)
        return port

    def shown(self, authority: Authority, **validity: datetime) -> list[str]:
        cert, key = authority.pair("desk.internal", **validity).write(self.folder, "client")
        return ["--cert", str(cert), "--key", str(key)]

    @property
    def ca(self) -> list[str]:
        return ["--cacert", str(self.authority.write(self.folder))]

    @property
    def wrong_ca(self) -> list[str]:
        return ["--cacert", str(self.other.write(self.folder, "other"))]

    @property
    def good(self) -> Pair:
        return self.authority.pair("localhost", "127.0.0.1")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, Authority(), Authority(), Control(), [])
    yield made
    for server in made.stack:
        server.stop(None).wait(10)


def status(monkeypatch: pytest.MonkeyPatch, port: int, *options: str, **settings: str) -> Completed:
    monkeypatch.setenv("MIDSTREAM_CONTROL_PORT", str(port))
    for name, value in settings.items():
        monkeypatch.setenv(f"MIDSTREAM_{name}", value)
    return midstream_here("status", "--json", *options)


WORKS: dict[str, Callable[[World], tuple[int, list[str]]]] = {
    "plain text": lambda world: (world.serve(None), []),
    "plain text, said": lambda world: (world.serve(None), ["--plaintext"]),
    "TLS": lambda world: (world.serve(world.good), world.ca),
    "mTLS": lambda world: (
        world.serve(world.good, client_ca=world.authority),
        [*world.ca, *world.shown(world.authority)],
    ),
    "another name": lambda world: (
        world.serve(world.authority.pair("control.internal")),
        [*world.ca, "--servername", "control.internal"],
    ),
}

FAILS: dict[str, tuple[Callable[[World], tuple[int, list[str]]], str, int]] = {
    "plain text to TLS": (
        lambda world: (world.serve(world.good), []),
        "speaks TLS: use --cacert FILE with the authority of its certificate (or --tls)", 2,
    ),
    "plain text to mTLS": (
        lambda world: (world.serve(world.good, client_ca=world.authority), ["--plaintext"]),
        "speaks TLS: use --cacert FILE", 2,
    ),
    "TLS to plain text": (
        lambda world: (world.serve(None), world.ca),
        "speaks plain text: use --plaintext, or leave out --cacert, --cert and --key", 2,
    ),
    "no certificate": (
        lambda world: (world.serve(world.good, client_ca=world.authority), world.ca),
        "wants a client certificate: use --cert FILE and --key FILE", 2,
    ),
    "a foreign certificate": (
        lambda world: (
            world.serve(world.good, client_ca=world.authority), [*world.ca, *world.shown(world.other)]
        ),
        "does not take the client certificate", 2,
    ),
    "an expired certificate": (
        lambda world: (
            world.serve(world.good, client_ca=world.authority),
            [*world.ca, *world.shown(world.authority, after=NOW - HOUR)],
        ),
        "does not take the client certificate", 2,
    ),
    "another authority": (
        lambda world: (world.serve(world.good), world.wrong_ca),
        "is of an authority that is not among", 2,
    ),
    "no authority": (
        lambda world: (world.serve(world.good), ["--tls"]),
        "use --cacert FILE with the one that signed it", 2,
    ),
    "another name": (
        lambda world: (world.serve(world.authority.pair("control.internal", "10.0.0.9")), world.ca),
        "is not for '127.0.0.1', it is for control.internal, 10.0.0.9: use --servername with one of these", 2,
    ),
    "the server's has expired": (
        lambda world: (world.serve(world.authority.pair("127.0.0.1", after=NOW - HOUR)), world.ca),
        "has expired", 1,
    ),
    "the server's is of the future": (
        lambda world: (world.serve(world.authority.pair("127.0.0.1", before=NOW + HOUR)), world.ca),
        "is not valid yet", 1,
    ),
    "nobody": (lambda world: (1, world.ca), "no control server answers on 127.0.0.1:1", 1),
    "a file that is not there": (
        lambda world: (world.serve(world.good), ["--cacert", "/no/such.pem"]),
        "--cacert /no/such.pem cannot be used (No such file or directory)", 2,
    ),
    "a key without its certificate": (
        lambda world: (world.serve(world.good), [*world.ca, *world.shown(world.authority)[2:]]),
        "--cert and --key go together: give --cert, too", 2,
    ),
    "no PEM": (
        lambda world: (world.serve(world.good), ["--cacert", __file__]),
        "cannot be used (no certificate or crl found): give a PEM file", 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("make", WORKS.values(), ids=WORKS)
def test_it_works(
    world: World, monkeypatch: pytest.MonkeyPatch, make: Callable[[World], tuple[int, list[str]]]
) -> None:
    port, options = make(world)

    done = status(monkeypatch, port, *options)

    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["session"] == "desk"


@pytest.mark.parametrize(("make", "told", "code"), FAILS.values(), ids=FAILS)
def test_what_does_not_work_is_said_with_its_fix(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[World], tuple[int, list[str]]],
    told: str,
    code: int,
) -> None:
    port, options = make(world)

    done = status(monkeypatch, port, *options)

    assert told in done.error_line
    assert done.code == code
    assert json.loads(done.stdout)["error"]["exit_code"] == code


def test_a_failed_handshake_is_one_line_without_the_librarys_own(world: World) -> None:
    environment = {"MIDSTREAM_CONTROL_PORT": str(world.serve(world.good))}

    done = midstream("status", *world.wrong_ca, environment=environment)

    assert "is of an authority that is not among" in done.error_line


def test_settings_do_the_same_as_options(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    port = world.serve(world.authority.pair("control.internal"), client_ca=world.authority)
    _, cert, _, key = world.shown(world.authority)

    done = status(
        monkeypatch,
        port,
        TLS_CA=world.ca[1],
        TLS_CLIENT_CERT=cert,
        TLS_CLIENT_KEY=key,
        TLS_SERVER_NAME="control.internal",
        API_KEY="mk_one_two\n",
    )

    assert done.code == 0, done.stderr
    assert world.control.authorizations == ["Bearer mk_one_two"]


def test_an_option_beats_its_setting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert status(monkeypatch, world.serve(world.good), *world.ca, TLS_CA="/no/such.pem").code == 0


def test_whoever_serves_with_tls_here_is_called_with_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    done = status(monkeypatch, world.serve(None), TLS_CERT="/some/cert.pem")

    assert "speaks plain text: use --plaintext" in done.error_line


def test_a_key_goes_nowhere_in_plain_text_but_to_this_machine(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_HOST", "192.0.2.7")

    done = status(monkeypatch, 50052, API_KEY="mk_one_two")

    assert done.code == 2
    assert "the API key would go to 192.0.2.7:50052 in plain text: use --tls or --cacert FILE" in done.error_line


@pytest.mark.parametrize("key", ["mk_one two", "mk_ö", "mk_one\r\nx-evil: 1"], ids=repr)
def test_what_is_no_key_is_refused_without_being_printed(
    world: World, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    done = status(monkeypatch, world.serve(None), API_KEY=key)

    assert done.code == 2
    assert "MIDSTREAM_API_KEY is no key" in done.error_line
    assert "mk_" not in done.stderr + done.stdout


def test_a_port_that_says_nothing_is_given_up_in_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clients.rpc.diagnosis.PATIENCE_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"

        assert diagnose(address, ChannelSettings()) is None
        assert diagnose(address, ChannelSettings(ca=Path(world.ca[1]))) is None
