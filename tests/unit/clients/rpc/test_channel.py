"""A line to a server: how it is reached, and that it is made again when certificates change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from clients.rpc import ChannelSettings, ControlClient, Line, UnusableChannel
from clients.rpc.following import BACKOFF
from clients.rpc.places import is_loopback
from protos.control.v1 import control_pb2 as pb
from protos.control.v1.control_pb2_grpc import (
    ControlServiceServicer,
    ControlServiceStub,
    add_ControlServiceServicer_to_server,
)
from services.runtime.tls import TlsFiles
from tests.support.tls import Authority


class Control(ControlServiceServicer):
    """Answers; `Pause` only when it is let."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.asked = threading.Event()
        self.may_answer = threading.Event()

    def GetState(self, request: pb.GetStateRequest, context: grpc.ServicerContext) -> pb.GetStateResponse:
        self.names += [name.decode() for name in context.auth_context().get("peer_dns", ())]
        return pb.GetStateResponse(state=pb.ControlState(session="desk"))

    def Pause(self, request: pb.PauseRequest, context: grpc.ServicerContext) -> pb.PauseResponse:
        self.asked.set()
        self.may_answer.wait(20)
        return pb.PauseResponse(revision=7)


class Place:
    """A server with mTLS and a client with files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority()
        self.control = Control()
        self.ca = self.authority.write(folder)
        self.client_ca = self.authority.write(folder, "clients")
        files = TlsFiles(*self.authority.pair("127.0.0.1").write(folder, "server"), self.client_ca)
        self.server = grpc.server(ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0),))
        add_ControlServiceServicer_to_server(self.control, self.server)
        self.address = f"127.0.0.1:{self.server.add_secure_port('127.0.0.1:0', files.grpc_credentials())}"
        self.server.start()

    def show(self, name: str, authority: Authority | None = None) -> ChannelSettings:
        cert, key = (authority or self.authority).pair(name).write(self.folder, "client")
        return ChannelSettings(ca=self.ca, cert=cert, key=key)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.control.may_answer.set()
    made.server.stop(None).wait(10)


def test_the_next_call_shows_what_is_in_the_files_now(place: Place) -> None:
    with ControlClient(place.address, channel=place.show("one.internal")) as client:
        client.state()
        client.state()
        place.show("two.internal")
        client.state()

    assert place.control.names == ["one.internal", "one.internal", "two.internal"]


def test_a_handshake_that_fails_has_the_files_read_again(place: Place) -> None:
    other = Authority()
    with ControlClient(place.address, channel=place.show("one.internal")) as client:
        client.state()
        place.show("two.internal", other)
        with pytest.raises(grpc.RpcError) as caught:
            client.state()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        # The files stay as they are; the server changes its mind.
        place.client_ca.write_bytes(other.pem)
        client.state()

    assert place.control.names == ["one.internal", "two.internal"]


def test_a_call_that_is_under_way_ends_on_the_channel_that_it_began_on(place: Place) -> None:
    revisions: list[int] = []
    with ControlClient(place.address, channel=place.show("one.internal")) as client:
        paused = threading.Thread(target=lambda: revisions.append(client.pause()))
        paused.start()
        assert place.control.asked.wait(20)
        place.show("two.internal")
        client.state()
        place.control.may_answer.set()
        paused.join(20)

    assert revisions == [7]
    assert place.control.names == ["two.internal"]


def test_files_that_have_become_unusable_are_named(place: Place) -> None:
    settings = place.show("one.internal")
    assert settings.key is not None
    with ControlClient(place.address, channel=settings) as client:
        client.state()
        settings.key.write_bytes(b"")
        with pytest.raises(UnusableChannel, match=r"--cert .*client.pem and --key .*client-key.pem cannot be used"):
            client.state()
        place.show("two.internal")
        client.state()

    assert place.control.names == ["one.internal", "two.internal"]


def test_a_closed_line_is_closed(place: Place) -> None:
    line = Line(place.address, place.show("one.internal"))
    line.close()

    with pytest.raises(ValueError, match="closed"):
        line.call(lambda channel: ControlServiceStub(channel).GetState, pb.GetStateRequest(), timeout_s=5)


UNUSABLE: dict[str, tuple[Callable[[Path], ChannelSettings], str]] = {
    "a key alone": (lambda folder: ChannelSettings(key=folder / "key.pem"), "give --cert, too"),
    "a certificate alone": (lambda folder: ChannelSettings(cert=folder / "cert.pem"), "give --key, too"),
    "no file": (lambda folder: ChannelSettings(ca=folder / "none.pem"), "No such file or directory"),
    "a folder": (lambda folder: ChannelSettings(ca=folder), "cannot be used"),
}


@pytest.mark.parametrize(("make", "told"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_be_used_is_said_before_anything_is_sent(
    tmp_path: Path, make: Callable[[Path], ChannelSettings], told: str
) -> None:
    with pytest.raises(UnusableChannel, match=told):
        make(tmp_path).check("127.0.0.1:1")


@pytest.mark.parametrize(
    ("settings", "speaks"),
    [
        (ChannelSettings(), False),
        (ChannelSettings(tls=True), True),
        (ChannelSettings(ca=Path("ca.pem")), True),
        (ChannelSettings(server_name="a"), True),
        (ChannelSettings(tls=False, ca=Path("ca.pem")), False),
        (ChannelSettings(api_key="mk_a"), False),
    ],
    ids=str,
)
def test_tls_is_spoken_where_something_says_how(settings: ChannelSettings, speaks: bool) -> None:
    assert settings.speaks_tls is speaks


def test_the_key_is_in_no_representation() -> None:
    assert "mk_secret" not in repr(ChannelSettings(api_key="mk_secret"))


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("unix:/run/x", True),
        ("10.0.0.1:1", False),
        ("localhost.evil.example:1", False),
        ("127.0.0.1.evil.example:1", False),
        ("[2001:db8::1]:1", False),
        ("desk.internal:1", False),
    ],
)
def test_plain_keys_stay_on_this_machine(address: str, local: bool) -> None:
    assert is_loopback(address) is local


@pytest.mark.parametrize("kind", ["insecure_channel", "secure_channel"])
@pytest.mark.parametrize("is_async", [False, True], ids=["threads", "asyncio"])
def test_a_server_that_was_away_for_long_is_found_again_within_a_second(
    kind: str, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, object]] = []
    monkeypatch.setattr(grpc.aio if is_async else grpc, kind, lambda *_, options: made.append(dict(options)))
    settings = ChannelSettings(tls=kind == "secure_channel")

    settings.open_async("127.0.0.1:1", options=(("own", 1),)) if is_async else settings.open("127.0.0.1:1")

    [options] = made
    assert options["grpc.max_reconnect_backoff_ms"] == 1_000
    assert options["grpc.initial_reconnect_backoff_ms"] == 200
    # Of one attempt, where nobody answers: no longer than what a follower itself waits at most.
    assert options["grpc.min_reconnect_backoff_ms"] == BACKOFF.cap_s * 1_000
    assert ("own" in options) == is_async
