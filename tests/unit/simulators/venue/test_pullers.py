"""The levers of the simulated exchanges: who may pull them, and that nothing happens when somebody else tries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from services.simulators.venue.web import VenueApp
from tests.support.simulated_calls import virtual_binance
from tests.support.virtual_time import VirtualLoop, run_virtual

LOCAL = ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1")
REMOTE = ("192.0.2.7", "10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1", "fe80::1%eth0", "0.0.0.0", "")
PULLS = (
    ("GET", "/sim"),
    ("GET", "/sim/orders"),
    ("GET", "/sim/requests"),
    ("GET", "/sim/accounts"),
    ("PUT", "/sim/faults"),
    ("POST", "/sim/matching/hold"),
    ("PUT", "/sim/prices"),
    ("PUT", "/sim/clock"),
    ("POST", "/sim/streams/close"),
    ("POST", "/sim/orders/1/fill"),
    ("GET", "/sim/"),
    ("GET", "/sim/nowhere"),
)
TRICKS: dict[str, dict[str, str]] = {
    "forwarded for loopback": {"x-forwarded-for": "127.0.0.1"},
    "forwarded for loopback, twice": {"x-forwarded-for": "127.0.0.1, 127.0.0.1"},
    "standard header": {"forwarded": "for=127.0.0.1;host=localhost"},
    "real ip": {"x-real-ip": "::1"},
    "host of loopback": {"host": "127.0.0.1:5070"},
    "origin of loopback": {"origin": "http://localhost:5070"},
}
BROWSERS: dict[str, dict[str, str]] = {
    "a page of somebody else": {"host": "127.0.0.1:5070", "origin": "https://evil.example"},
    "a sandboxed page": {"host": "127.0.0.1:5070", "origin": "null"},
    "a name that points here": {"host": "evil.example:5070"},
    "a name that begins like loopback": {"host": "127.0.0.1.evil.example"},
    "a port that is none": {"host": "127.0.0.1:x", "origin": "http://["},
}


@dataclass
class Asked:
    """What one request got."""

    status: int = 0
    body: bytes = b""


def ask(
    method: str, path: str, address: str, headers: dict[str, str] | None = None, *, anywhere: bool = False
) -> Asked:
    """Send one request as the web server would hand it over."""
    asked = Asked()

    async def main(loop: VirtualLoop) -> None:
        venue = virtual_binance(loop).venue
        receive, send = _ends(asked)
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
            "client": (address, 4711),
        }
        await VenueApp(venue, levers_from_anywhere=anywhere)(scope, receive, send)

    run_virtual(main)
    return asked


def _ends(asked: Asked) -> tuple[Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]]:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}"}

    async def send(message: Any) -> None:
        asked.status = message.get("status", asked.status)
        asked.body += message.get("body", b"")

    return receive, send


@pytest.mark.parametrize("address", LOCAL)
def test_this_machine_may(address: str) -> None:
    assert ask("GET", "/sim", address, {"host": "localhost:5070"}).status == 200


@pytest.mark.parametrize("address", REMOTE, ids=repr)
@pytest.mark.parametrize(("method", "path"), PULLS)
def test_no_other_machine_may_reach_any_lever(method: str, path: str, address: str) -> None:
    asked = ask(method, path, address)

    assert asked.status == 403
    assert b"own machine only" in asked.body
    assert b"MIDSTREAM_SIM_BINANCE_LEVERS=anywhere" in asked.body


@pytest.mark.parametrize("headers", TRICKS.values(), ids=TRICKS)
def test_no_header_makes_another_machine_this_one(headers: dict[str, str]) -> None:
    assert ask("PUT", "/sim/faults", "192.0.2.7", headers).status == 403


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "via", "x-real-ip", "x-forwarded-host"])
@pytest.mark.parametrize("value", ["127.0.0.1", "192.0.2.7", ""])
def test_what_came_through_a_proxy_is_nobody_of_this_machine(name: str, value: str) -> None:
    assert ask("GET", "/sim/orders", "127.0.0.1", {name: value}).status == 403


@pytest.mark.parametrize("headers", BROWSERS.values(), ids=BROWSERS)
def test_pages_in_a_browser_here_pull_nothing(headers: dict[str, str]) -> None:
    assert ask("POST", "/sim/matching/hold", "127.0.0.1", headers).status == 403


@pytest.mark.parametrize("address", [*LOCAL, "172.17.0.1", "2001:db8::1"])
def test_told_so_a_container_lets_its_host_pull_them_through_the_port_it_publishes(address: str) -> None:
    assert ask("GET", "/sim", address, {"host": "localhost:5070"}, anywhere=True).status == 200


@pytest.mark.parametrize("headers", BROWSERS.values(), ids=BROWSERS)
def test_told_so_pages_in_a_browser_pull_nothing_all_the_same(headers: dict[str, str]) -> None:
    assert ask("POST", "/sim/matching/hold", "172.17.0.1", headers, anywhere=True).status == 403


def test_told_so_what_came_through_a_proxy_is_nobody_all_the_same() -> None:
    headers = {"host": "localhost:5070", "x-forwarded-for": "127.0.0.1"}

    assert ask("GET", "/sim/orders", "172.17.0.1", headers, anywhere=True).status == 403


def test_the_exchange_itself_answers_everybody() -> None:
    assert ask("GET", "/api/v3/ping", "192.0.2.7").status == 200
