"""`midstream healthcheck`: the question that container platforms ask, every few seconds and on a fraction of a core.

It imports gRPC and its health stub and nothing that takes longer: what a probe costs is taken from the server that it asks about.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.cli.servers import SERVERS, admin_reached, environment_prefix, host, port_of
from services.cli.terminal import say, write
from services.runtime.addresses import admin_port, reachable
from services.runtime.down_file import DownFile
from services.runtime.ready import announced, announcements

__all__ = ["COMMAND", "HealthQuestion", "ask", "parse", "run"]

COMMAND: Final = "healthcheck"
LIVE: Final = "midstream.live"
"""As `services.runtime.health` has it, which imports more than a probe may."""

TIMEOUT_S: Final = 2.0
"""For the answers of all servers together. With a second or two of start on a quarter of a core it stays below the five that
container platforms give a probe."""
TIMEOUT_S_MAX: Final = 60.0

SERVING: Final = 0
NOT_SERVING: Final = 1
USAGE: Final = 2

Answer = tuple[bool, str]
"""Whether it serves, and what to say about that."""


@dataclass(frozen=True)
class HealthQuestion:
    """What is asked: by default whether everything that runs here is ready to be used."""

    service: str = ""
    """A server's name, or a gRPC service's full name; empty asks every server that runs here."""
    live: bool = False
    """Ask only whether the process still answers at all."""
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True)
class Target:
    """One server, and where it is asked."""

    name: str
    address: str
    service: str


class UnusableQuestion(Exception):
    """What the caller has to correct."""


def parse(arguments: Sequence[str]) -> HealthQuestion | None:
    """Read `[SERVICE] [--live] [--timeout SECONDS]`; None for anything else, which the whole command line explains better."""
    service, live, timeout_s = "", False, TIMEOUT_S
    left = list(arguments)
    while left:
        word = left.pop(0)
        name, separator, given = word.partition("=")
        if word == "--live":
            live = True
        elif name == "--timeout" and (separator or left):
            try:
                timeout_s = float(given if separator else left.pop(0))
            except ValueError:
                return None
            if not 0 < timeout_s <= TIMEOUT_S_MAX:
                return None
        elif not word or word.startswith("-") or service:
            return None
        else:
            service = word
    return HealthQuestion(service, live, timeout_s)


def run(arguments: Sequence[str]) -> int:
    """Answer a command line that `parse` understands."""
    question = parse(arguments)
    assert question is not None  # whoever calls has looked
    return ask(question)


def ask(question: HealthQuestion) -> int:
    """Ask, say in a line each what was answered, and return the exit code: 0 serving, 1 not serving or silent, 2 not a question."""
    try:
        targets = _targets(question)
    except UnusableQuestion as exc:
        say(f"midstream: {exc}")
        return USAGE
    if not targets:
        say(
            f"midstream: no server runs here: `midstream serve` has none in {_out()}, and no usual port answers; "
            "name the one that should, as in `midstream healthcheck replay`"
        )
        return NOT_SERVING
    answers = _in_parallel([_asker(target, question.timeout_s) for target in targets], question.timeout_s)
    for target, (_, text) in zip(targets, answers, strict=True):
        write(f"{target.name}: {text}")
    return SERVING if all(serves for serves, _ in answers) else NOT_SERVING


def _targets(question: HealthQuestion) -> list[Target]:
    wanted = LIVE if question.live else ""
    if not question.service or question.service == LIVE:
        wanted = LIVE if question.service else wanted
        return [Target(name, _address(name), wanted) for name in _servers_here()]
    if question.service in SERVERS:
        return [Target(question.service, _address(question.service), wanted)]
    for name, server in SERVERS.items():
        if server.service == question.service:
            return [Target(name, _address(name), wanted or question.service)]
    services = ", ".join(server.service for server in SERVERS.values() if server.service)
    raise UnusableQuestion(
        f"there is no server or service {question.service!r}; there are the servers {', '.join(SERVERS)}, "
        f"and the services {services}, {LIVE}"
    )


def _servers_here() -> list[str]:
    """Name every server that should run here, in the order of the table.

    Those that the last `midstream serve` with this MIDSTREAM_OUT keeps up, also while one of them is down; without one, those that
    say in its folder that they serve; else those whose port somebody listens on.
    """
    for found in (DownFile(_out()).servers(), announcements(_ready_folder())):
        if here := [name for name in SERVERS if name in found]:
            return here
    return [name for name in SERVERS if _listens(_address(name))]


def _address(name: str) -> str:
    """Return where the health of a server is asked without a certificate."""
    server, prefix = SERVERS[name], environment_prefix(name)
    port = _port(f"{prefix}_PORT", port_of(name))
    said = announced(_ready_folder(), name) if port == 0 else {}
    if server.scheme != "grpc":
        return reachable(host(), port or said.get("port", 0))
    named = os.environ.get(f"{prefix}_ADMIN_PORT", "")
    plain = admin_port(
        port,
        _port(f"{prefix}_ADMIN_PORT", named) if named else None,
        tls=bool(os.environ.get("MIDSTREAM_TLS_CERT")),
    )
    if plain is None:
        return reachable(host(), port or said.get("port", 0))
    return admin_reached(plain or announced(_ready_folder(), name).get("admin_port", 0))


def _port(setting: str, written: str) -> int:
    try:
        port = int(written)
        if 0 <= port <= 65535:
            return port
    except ValueError:
        pass
    raise UnusableQuestion(f"{setting}: must be a port, 0 to 65535 (got {written!r})")


def _out() -> Path:
    return Path(os.environ.get("MIDSTREAM_OUT") or "var")


def _ready_folder() -> Path:
    return _out() / ".midstream" / "ready"


def _listens(address: str) -> bool:
    try:
        with _connected(address, timeout_s=0.2):
            return True
    except OSError:
        return False


def _connected(address: str, *, timeout_s: float) -> socket.socket:
    name, _, port = address.rpartition(":")
    return socket.create_connection((name.strip("[]"), int(port)), timeout=timeout_s)


def _asker(target: Target, timeout_s: float) -> Callable[[], Answer]:
    if SERVERS[target.name].scheme == "grpc":
        return lambda: _ask_grpc(target, timeout_s)
    return lambda: _ask_http(target, timeout_s)


def _ask_grpc(target: Target, timeout_s: float) -> Answer:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    # A proxy that the environment names is for the world outside of this machine.
    with grpc.insecure_channel(target.address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        request = health_pb2.HealthCheckRequest(service=target.service)
        try:
            answer, call = health_pb2_grpc.HealthStub(channel).Check.with_call(request, timeout=timeout_s)
        except grpc.RpcError as exc:
            return False, f"{target.address}: {_failure(exc, timeout_s)}"
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            return True, "live" if target.service == LIVE else "serving"
        why = _reason(call.trailing_metadata())
        return False, f"not serving{f' ({why})' if why else ''}"


def _failure(exc: object, timeout_s: float) -> str:
    code = getattr(exc, "code", lambda: None)()
    word = code.name.lower() if code is not None else "failed"
    return f"no answer within {timeout_s:g} s" if word == "deadline_exceeded" else f"not reachable ({word})"


def _reason(metadata: Sequence[tuple[str, str | bytes]] | None) -> str:
    found: Mapping[str, str | bytes] = dict(metadata or ())
    return str(found.get("x-midstream-reason", ""))


def _ask_http(target: Target, timeout_s: float) -> Answer:
    """Any answer of HTTP is one: simulators answer from the loop that does their work, and may be told to fail at anything."""
    try:
        with _connected(target.address, timeout_s=timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            head = connection.recv(16)
    except TimeoutError:
        return False, f"{target.address}: no answer within {timeout_s:g} s"
    except OSError as exc:
        return False, f"{target.address}: not reachable ({exc.strerror or exc})"
    return (True, "answers") if head.startswith(b"HTTP/1.") else (False, f"{target.address}: does not speak HTTP")


def _in_parallel(askers: Sequence[Callable[[], Answer]], timeout_s: float) -> list[Answer]:
    """Ask all at once: the time is for them together."""
    answers: list[Answer] = [(False, f"no answer within {timeout_s:g} s")] * len(askers)

    def answer(at: int) -> None:
        answers[at] = askers[at]()

    threads = [threading.Thread(target=answer, args=(at,), daemon=True) for at in range(len(askers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout_s + 1)
    return answers
