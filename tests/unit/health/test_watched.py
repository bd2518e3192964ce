"""Servers elsewhere: how they are named, and how they are reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.health.config import HealthSettings
from services.health.elsewhere import channel_settings
from services.health.server import HealthServer
from services.health.watched import WATCHABLE
from services.runtime.errors import StartRefused
from services.runtime.health import HealthBoard
from services.runtime.settings import load

CERT, KEY, CA = Path("c.pem"), Path("k.pem"), Path("ca.pem")


def settings(watch: str = "replay", **values: Any) -> HealthSettings:
    return HealthSettings(redis_url="redis://127.0.0.1:1/0", watch=watch, **values)  # type: ignore[arg-type]


def test_entries_name_servers_here_and_elsewhere() -> None:
    found = settings(
        "replay, control=control.internal:50052, price = [fd00::1]:1, orders=10.0.0.7:65535,power-etl=a_b.c.:7"
    )

    assert found.targets() == {"replay": "127.0.0.1:50051"}
    assert found.elsewhere() == {
        "control": "control.internal:50052",
        "price": "[fd00::1]:1",
        "orders": "10.0.0.7:65535",
        "power-etl": "a_b.c.:7",
    }


def test_a_server_elsewhere_needs_no_port_here() -> None:
    found = settings("replay=replay.internal:50051", replay_port=0)
    assert (found.targets(), found.elsewhere()) == ({}, {"replay": "replay.internal:50051"})


@pytest.mark.parametrize(
    ("watch", "said"),
    [
        ("replya", f"must name servers out of {', '.join(WATCHABLE)}, not 'replya'"),
        ("replay:50051", "not 'replay:50051'"),
        ("=replay:50051", "not ''"),
        ("health=h.internal:50054", "not 'health'"),
        ("replay,control,replay", "must name each server once, and names replay twice"),
        ("replay,replay=r.internal:50051", "must name each server once, and names replay twice"),
        *(
            (f"replay={wrong}", f"must have entries like replay or replay=replay.example:50051 (IPv6: "
             f"replay=[fd00::1]:50051), not replay={wrong}")
            for wrong in (
                "", "replay.internal", ":50051", "fd00::1:50051", "[fd00::1]", "[fd00::g]:1", "[10.0.0.1]:1", "300.0.0.1:1",
                "10.1:1", "dns:///r.internal:1", "https://r:1", "r.internal/x:1", "r..internal:1", "-r:1", "a b:1",
                f"{'a' * 64}:1", f"{'a.' * 127}a:1", "r=s:1",
            )
        ),
        *(
            (f"replay=r.internal:{wrong}", f"must have ports from 1 to 65535, not replay=r.internal:{wrong}")
            for wrong in ("", "0", "65536", "-1", "http", "5 1", "٣", "000000001")
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_at_the_start(
    watch: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIDSTREAM_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("MIDSTREAM_HEALTH_WATCH", watch)

    with pytest.raises(SystemExit) as ended:
        load(HealthSettings)

    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "MIDSTREAM_HEALTH_WATCH" in told
    assert said.encode("ascii", "replace").decode() in told.encode("ascii", "replace").decode()


@pytest.mark.parametrize(
    ("values", "tls", "ca", "cert"),
    [
        ({}, False, None, None),
        ({"watch_ca": CA}, True, CA, None),
        ({"tls_cert": CERT, "tls_key": KEY}, True, None, None),
        ({"tls_cert": CERT, "tls_key": KEY, "watch_ca": CA}, True, CA, None),
        ({"tls_cert": CERT, "tls_key": KEY, "tls_client_ca": CA}, True, None, CERT),
    ],
)
def test_servers_elsewhere_are_asked_over_tls_where_there_is_tls(
    values: dict[str, Path], tls: bool, ca: Path | None, cert: Path | None
) -> None:
    found = channel_settings(settings(**values))

    assert (found.speaks_tls, found.ca, found.cert) == (tls, ca, cert)
    assert found.key == (KEY if cert else None)
    assert found.metadata == ()


async def test_an_authority_that_cannot_be_read_is_refused_at_the_start(tmp_path: Path) -> None:
    server = HealthServer(settings("replay=127.0.0.2:1", watch_ca=tmp_path / "none.pem"))
    try:
        with pytest.raises(StartRefused, match=r"MIDSTREAM_HEALTH_WATCH_CA .*none\.pem cannot be used"):
            await server.start(HealthBoard(server.names))
    finally:
        await server.stop()
