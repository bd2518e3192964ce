"""Which servers may listen where: every server, every way to write a host."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry

from services.cli.settings_catalogue import MODELS
from services.runtime import exposure
from services.runtime.errors import StartRefused
from services.runtime.exposure import check_exposure, insecure_reason, is_local_address, reaches_beyond
from services.runtime.metrics import Metrics
from services.runtime.settings import ServerSettings
from tests.support.log_records import said

SERVERS: Final[Mapping[str, type[ServerSettings]]] = {
    name: model for name, model in MODELS.items() if issubclass(model, ServerSettings)
}
LOCAL: Final = ("127.0.0.1", "127.8.9.10", "127.1", "2130706433", "0x7f.1", "localhost", "::1", "::ffff:127.0.0.1")
BEYOND: Final = (
    "0.0.0.0",
    "0",
    "::",
    "::ffff:0.0.0.0",
    "0:0:0:0:0:0:0:0",
    "192.0.2.7",
    "10.1.2.3",
    "fe80::1",
    "2001:db8::1",
)
TLS: Final = {"tls_cert": Path("server.pem"), "tls_key": Path("server-key.pem")}
CERTIFICATES: Final = {"tls_client_ca": Path("clients.pem"), "auth": ("certificates",), "tls_roles": ("ops=admin",)}


def settings(name: str, **values: Any) -> ServerSettings:
    needed = {"redis_url": "redis://127.0.0.1:1/0"} if "redis_url" in SERVERS[name].model_fields else {}
    return SERVERS[name](**needed, **values)


@pytest.fixture(autouse=True)
def no_name_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are looked up here, addresses by the system."""
    real = socket.getaddrinfo
    names = {"desk.internal": "10.1.2.3", "loop.internal": "127.0.0.1", "both.internal": "127.0.0.1 10.1.2.3"}

    def look_up(host: str, *arguments: Any, **options: Any) -> list[Any]:
        found = names.get(host, host).split()
        return [entry for address in found for entry in real(address, *arguments, **options)]

    monkeypatch.setattr("services.runtime.exposure.socket.getaddrinfo", look_up)


@pytest.mark.parametrize("host", [*LOCAL, "loop.internal"])
@pytest.mark.parametrize("name", SERVERS)
def test_loopback_needs_nothing(name: str, host: str) -> None:
    assert insecure_reason(settings(name, host=host)) == ""


@pytest.mark.parametrize("host", [*BEYOND, "desk.internal", "both.internal"])
@pytest.mark.parametrize("name", SERVERS)
def test_beyond_it_a_server_is_refused_in_one_line_that_names_the_fix(name: str, host: str) -> None:
    metrics = Metrics(CollectorRegistry())
    with pytest.raises(StartRefused) as caught:
        check_exposure(settings(name, host=host), metrics)

    told = caught.value.message
    assert told.startswith(f"MIDSTREAM_HOST: {host} is reached from other machines, without TLS")
    assert "MIDSTREAM_TLS_CERT and MIDSTREAM_TLS_KEY" in told
    assert ("MIDSTREAM_AUTH" in told) == (name != "orders")
    assert "MIDSTREAM_INSECURE=yes" in told
    assert "\n" not in told


@pytest.mark.parametrize("name", SERVERS)
def test_tls_alone_is_not_enough_but_for_orders_which_take_keys(name: str) -> None:
    found = insecure_reason(settings(name, host="0.0.0.0", **TLS))

    assert found == ("" if name == "orders" else "0.0.0.0 is reached from other machines, without an authenticator")


@pytest.mark.parametrize("name", SERVERS)
def test_an_authenticator_alone_is_not_enough(name: str) -> None:
    found = insecure_reason(settings(name, host="0.0.0.0", auth=("keys",)))

    assert found == "0.0.0.0 is reached from other machines, without TLS"


@pytest.mark.parametrize("host", BEYOND)
@pytest.mark.parametrize("more", [{"auth": ("keys",)}, CERTIFICATES], ids=["keys", "certificates"])
@pytest.mark.parametrize("name", SERVERS)
def test_both_together_may_listen_anywhere(name: str, more: dict[str, Any], host: str) -> None:
    assert check_exposure(settings(name, host=host, **TLS, **more), Metrics(CollectorRegistry())) == ""


@pytest.mark.parametrize("name", SERVERS)
def test_the_override_is_a_figure_and_says_what_it_overrides(name: str) -> None:
    metrics = Metrics(CollectorRegistry())

    reason = check_exposure(settings(name, host="0.0.0.0", insecure=True), metrics)

    assert "without TLS" in reason
    assert metrics.registry.get_sample_value("midstream_insecure") == 1


def test_the_override_on_loopback_overrides_nothing() -> None:
    metrics = Metrics(CollectorRegistry())

    assert check_exposure(settings("control", insecure=True), metrics) == ""
    assert metrics.registry.get_sample_value("midstream_insecure") == 0


async def test_it_is_said_at_once_and_every_hour(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    class Enough(Exception):
        """Three are enough."""

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise Enough

    monkeypatch.setattr("services.runtime.exposure.asyncio.sleep", sleep)
    with caplog.at_level(logging.WARNING), pytest.raises(Enough):
        await exposure.keep_saying("0.0.0.0 is reached")

    assert waits == [3600.0] * 3
    assert said(caplog.records) == [("insecure, as MIDSTREAM_INSECURE allows", {"reason": "0.0.0.0 is reached"})] * 3


def test_what_is_no_server_of_ours_may_listen_anywhere() -> None:
    # Simulators are the outside world: their users expect them on every address, in plain text.
    others = {name for name, model in MODELS.items() if not issubclass(model, ServerSettings)}

    assert others == {"sim-feed", "sim-binance", "sim-bitmex", "sim-bybit", "sim-power-exchange", "sim-market-data"}


def test_a_name_that_is_not_found_is_left_to_the_listener() -> None:
    assert not reaches_beyond("no-such-host.invalid")


def test_no_host_is_every_address() -> None:
    assert reaches_beyond("")


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.2", True),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%lo", False),
        ("x", False),
        ("", False),
    ],
)
def test_a_local_address_is_this_machines_alone(address: str, local: bool) -> None:
    assert is_local_address(address) is local
