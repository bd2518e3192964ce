"""What settings make of a process's access: every way that MIDSTREAM_AUTH names is there, and none makes it open."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.runtime.access.build import Needs, build_access
from services.runtime.access.settings import AUTHENTICATORS
from services.runtime.errors import StartRefused
from services.runtime.metrics import Metrics
from services.runtime.settings import ServerSettings
from tests.support.waiting import until


def settings(tmp_path: Path, **changes: Any) -> ServerSettings:
    keys = tmp_path / "keys.json"
    keys.write_text('{"keys": []}')
    whole: dict[str, Any] = {
        "keys_database_url": f"sqlite:///{tmp_path / 'orders.db'}",
        "out": tmp_path,
        "tls_cert": tmp_path / "cert.pem",
        "tls_key": tmp_path / "key.pem",
        "tls_client_ca": tmp_path / "ca.pem",
        "token_issuer": "https://issuer.test/",
        "token_audience": "midstream",
        "token_keys_url": keys.as_uri(),
        **changes,
    }
    return ServerSettings(**whole)


@pytest.mark.parametrize("kind", AUTHENTICATORS)
async def test_every_way_that_a_setting_names_closes_the_gate(tmp_path: Path, kind: str) -> None:
    if kind == "tokens":
        pytest.importorskip("jwt")
    roles = {"tls_roles": ("dns:ops.test=admin",)} if kind == "certificates" else {}

    access = build_access("control", settings(tmp_path, auth=(kind,), **roles), Needs())

    assert not access.gate.is_open
    await access.stop()


async def test_without_any_it_is_open_unless_the_server_takes_keys_itself(tmp_path: Path) -> None:
    assert build_access("control", settings(tmp_path), Needs()).gate.is_open
    orders = build_access("orders", settings(tmp_path), Needs(keys=True))

    assert not orders.gate.is_open
    await orders.stop()


async def test_keys_that_cannot_be_read_are_counted_as_trouble(tmp_path: Path) -> None:
    (tmp_path / "orders.db").write_bytes(b"no database" * 100)
    access = build_access("control", settings(tmp_path, auth=("keys",)), Needs())
    metrics = Metrics(CollectorRegistry())
    access.start(metrics)

    try:
        await until(lambda: metrics.registry.get_sample_value("midstream_access_troubles") == 1)
    finally:
        await access.stop()


def test_tokens_without_their_extra_are_refused_by_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jwt" else find_spec(name))

    with pytest.raises(StartRefused, match=r"pip install 'midstream\[jwt\]'"):
        build_access("control", settings(tmp_path, auth=("tokens",)), Needs())


def test_tokens_without_an_issuer_are_refused_by_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="set MIDSTREAM_TOKEN_ISSUER, MIDSTREAM_TOKEN_KEYS_URL, too"):
        build_access("control", settings(tmp_path, auth=("tokens",), token_issuer="", token_keys_url=""), Needs())
