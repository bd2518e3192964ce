"""Where a URL of the settings may lead."""

from __future__ import annotations

from typing import Any

import pytest

from clients.power.reference import check_base_url
from clients.sockets.destinations import is_metadata_host
from services.power.listener.config import DealListenerSettings
from services.replay.engine.config import parse_config
from services.runtime.errors import StartRefused

METADATA = (
    "169.254.169.254",
    "169.254.170.2",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "[::ffff:169.254.169.254]",
    "[fe80::1%25eth0]",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "metadata.google.internal",
    "METADATA.google.internal.",
)


@pytest.mark.parametrize("host", METADATA)
def test_s23_addresses_that_hand_out_credentials_are_refused_in_every_spelling(host: str) -> None:
    assert is_metadata_host(host)
    with pytest.raises(ValueError, match="link-local"):
        check_base_url(f"http://{host}/v1")
    with pytest.raises(ValueError, match="link-local"):
        DealListenerSettings(power_url=f"ws://{host}:80/")
    with pytest.raises(StartRefused, match="link-local"):
        parse_config({"live_url": f"ws://{host}/latest", "redis_url": "redis://127.0.0.1:1/0"})


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.7", "192.168.1.9", "prices.example.com", "simulator", "fe80"]
)
def test_machines_of_the_owners_networks_are_no_metadata(host: str) -> None:
    assert not is_metadata_host(host)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "gopher://a/", "ftp://a/", "http:///x", "unix:///run/x", "http://"]
)
def test_s23_schemes_that_are_no_feed_are_refused(url: str) -> None:
    fields: dict[str, Any] = {"live_url": url, "redis_url": "redis://127.0.0.1:1/0"}
    with pytest.raises(StartRefused, match="MIDSTREAM_LIVE_URL"):
        parse_config(fields)
    with pytest.raises(ValueError, match="must be"):
        DealListenerSettings(power_url=url)
    with pytest.raises(ValueError, match="must be"):
        check_base_url(url)
