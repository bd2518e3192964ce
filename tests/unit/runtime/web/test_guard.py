"""A listener answers under its own names, and to no page from elsewhere."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import pytest

from services.runtime.web import WebGuard


def status(guard: WebGuard, headers: Mapping[str, str], *, method: str = "GET", path: str = "/any") -> int:
    raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    refused = guard.refusal(raw, method=method, path=path)
    return 0 if refused is None else refused[0]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost:8080", 0), ("127.0.0.1", 0), ("[::1]:8080", 0), ("LOCALHOST", 0), ("desk.example", 0), ("a.desk.test:1", 0),
        ("evil.example", 421), ("localhost.evil.example", 421), ("10.0.0.1", 421), ("orders:8080", 421), ("", 421),
        ("desk.example.evil", 421),
        ("xdesk.test", 421), ("127.0.0.1.evil.example:8080", 421),
    ],
)  # fmt: skip
def test_on_loopback_only_loopbacks_names_and_those_of_the_setting_are_ours(host: str, expected: int) -> None:
    guard = WebGuard(hosts=("Desk.example", "*.desk.test"), bound_host="127.0.0.1")

    assert status(guard, {"host": host}) == expected


@pytest.mark.parametrize(
    ("bound", "host", "expected"),
    [
        ("0.0.0.0", "192.168.1.5:8081", 0), ("::", "[fe80::1]:8081", 0), ("0.0.0.0", "orders:8080", 0), ("0.0.0.0", "x.orders.internal", 0),
        ("0.0.0.0", "printer.local", 0), ("0.0.0.0", "evil.example:8081", 421), ("10.0.0.5", "10.0.0.5", 0), ("10.0.0.5", "10.0.0.6", 421),
        ("10.0.0.5", "orders", 0), ("10.0.0.5", "evil.example", 421), ("desk.example", "desk.example", 0), ("[::1]", "[::1]:80", 0),
    ],
)  # fmt: skip
def test_a_listener_that_others_reach_has_the_names_of_a_private_network_too(
    bound: str, host: str, expected: int
) -> None:
    assert status(WebGuard(hosts=(), bound_host=bound), {"host": host}) == expected


def test_this_machines_own_name_is_ours_where_others_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Box.Example")

    assert status(WebGuard(hosts=(), bound_host="0.0.0.0"), {"host": "box.example:1"}) == 0
    assert status(WebGuard(hosts=(), bound_host="127.0.0.1"), {"host": "box.example:1"}) == 421


def test_a_star_is_every_name() -> None:
    assert status(WebGuard(hosts=("*",), bound_host="127.0.0.1"), {"host": "anything.example"}) == 0


def test_a_probe_without_a_host_is_answered() -> None:
    assert status(WebGuard(hosts=(), bound_host="127.0.0.1"), {}) == 0


@pytest.mark.parametrize(
    ("headers", "method", "expected"),
    [
        ({"origin": "http://localhost:1"}, "POST", 0), ({"origin": "https://localhost:1"}, "POST", 0),
        ({"origin": "http://evil.example"}, "POST", 403), ({"origin": "null"}, "POST", 403), ({"origin": "http://localhost:2"}, "GET", 403),
        ({"sec-fetch-site": "cross-site"}, "GET", 403), ({"sec-fetch-site": "same-site"}, "GET", 403),
        ({"sec-fetch-site": "same-origin"}, "GET", 0),
        ({"sec-fetch-site": "none"}, "GET", 0), ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, "GET", 0),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, "POST", 403),
    ],
)  # fmt: skip
def test_pages_from_elsewhere_neither_read_nor_write(headers: dict[str, str], method: str, expected: int) -> None:
    guard = WebGuard(hosts=(), bound_host="127.0.0.1")

    assert status(guard, {"host": "localhost:1", **headers}, method=method) == expected


def test_a_link_from_elsewhere_leads_to_an_entrance_only() -> None:
    guard = WebGuard(hosts=(), bound_host="127.0.0.1", entrances=("/",))
    followed = {"host": "localhost", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}

    assert [status(guard, followed, path=path) for path in ("/", "/deals.csv")] == [0, 403]


def test_the_refusal_names_the_setting() -> None:
    refused = WebGuard(hosts=(), bound_host="127.0.0.1").foreign_name({b"host": b"evil.example"})

    assert refused is not None
    assert "MIDSTREAM_WEB_HOSTS" in refused[1]
