"""Addresses as clients take them."""

from __future__ import annotations

import pytest

from services.health.config import HealthSettings
from services.runtime.addresses import host_and_port, reachable


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "127.0.0.1:50051"), ("desk.example", "desk.example:50051"), ("::1", "[::1]:50051")],
)
def test_ipv6_addresses_stand_in_brackets(host: str, shown: str) -> None:
    assert host_and_port(host, 50051) == shown
    assert reachable(host, "50051") == shown


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1:1"), ("::", "[::1]:1"), ("", "127.0.0.1:1")])
def test_server_on_every_address_is_reached_by_loopback(host: str, shown: str) -> None:
    assert reachable(host, 1) == shown


def test_health_asks_servers_where_they_listen() -> None:
    settings = HealthSettings(host="::1", redis_url="redis://localhost", replay_port=1)

    assert settings.targets()["replay"] == "[::1]:1"
