"""That servers are insecure, and where servers with TLS are asked, stands in the health server's settings alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protos.health.v1.health_pb2 import STATUS_DEGRADED
from services.health.checks import exposure_check
from services.health.config import HealthSettings
from services.health.server import HealthServer

WATCHED = ("replay", "power-etl")


def settings(**values: Any) -> HealthSettings:
    return HealthSettings(redis_url="redis://127.0.0.1:1/0", watch=WATCHED, **values)


async def test_what_the_override_overrides_is_degraded_for_as_long_as_it_lasts() -> None:
    finding = await exposure_check("0.0.0.0 is reached from other machines, without TLS")()

    assert finding.status == STATUS_DEGRADED
    assert finding.detail == "0.0.0.0 is reached from other machines, without TLS (MIDSTREAM_INSECURE=yes)"


@pytest.mark.parametrize(("host", "said"), [("0.0.0.0", True), ("127.0.0.1", False)])
async def test_the_report_has_a_line_for_it_where_there_is_something_to_say(host: str, said: bool) -> None:
    server = HealthServer(settings(host=host, insecure=True))
    try:
        names = {check.name for check in server._runner.report().checks}
    finally:
        await server.stop()

    assert ("exposure" in names) is said


def test_without_tls_servers_are_asked_where_everybody_calls_them() -> None:
    assert settings(host="::1", replay_admin_port=None).targets() == {
        "replay": "[::1]:50051",
        "power-etl": "[::1]:50058",
    }


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "::1"])
def test_with_tls_they_are_asked_in_plain_text_on_loopback(host: str) -> None:
    found = settings(host=host, tls_cert=Path("c.pem"), tls_key=Path("k.pem"), power_etl_admin_port=7)

    assert found.targets() == {"replay": "127.0.0.1:51051", "power-etl": "127.0.0.1:7"}


def test_a_server_whose_port_is_not_known_is_not_watched() -> None:
    assert settings(replay_port=0, power_etl_port=0, tls_cert=Path("c.pem"), tls_key=Path("k.pem")).targets() == {}
