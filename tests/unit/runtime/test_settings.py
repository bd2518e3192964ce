"""Settings: everything wrong is said at once, with the value and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from services.orders.config import OrdersSettings
from services.runtime.cluster.slots import URL_FORMS
from services.runtime.settings import CommaList, ServerSettings, SessionSettings, Switch, load


class ExampleSettings(SessionSettings):
    port: int = Field(default=50051, ge=0, le=65535, validation_alias="MIDSTREAM_EXAMPLE_PORT")
    metrics_port: int = Field(default=9151, ge=0, le=65535, validation_alias="MIDSTREAM_EXAMPLE_METRICS_PORT")
    speed: float = Field(default=1.0, gt=0)
    names: CommaList = ()
    mids: Switch = True
    grace_s: float | None = Field(default=None, ge=0, validation_alias="MIDSTREAM_GRACE")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("MIDSTREAM_"):
            monkeypatch.delenv(name)


def test_defaults_hold_and_the_environment_fills_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_REDIS_URL", "redis://localhost:1/0")
    monkeypatch.setenv("MIDSTREAM_EXAMPLE_PORT", "0")
    monkeypatch.setenv("MIDSTREAM_NAMES", " a, b ,,c")
    monkeypatch.setenv("MIDSTREAM_MIDS", "off")
    monkeypatch.setenv("MIDSTREAM_REFLECTION", "OFF")
    monkeypatch.setenv("MIDSTREAM_READY_FILE", "/tmp/ready")

    settings = load(ExampleSettings)

    assert (settings.port, settings.metrics_port, settings.host, settings.session) == (0, 9151, "127.0.0.1", "default")
    assert settings.names == ("a", "b", "c")
    assert (settings.mids, settings.reflection) == (False, False)
    assert settings.ready_file == Path("/tmp/ready")


def test_overrides_beat_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_REDIS_URL", "redis://localhost:1/0")
    monkeypatch.setenv("MIDSTREAM_EXAMPLE_PORT", "1")

    assert load(ExampleSettings, port=2, session="x").port == 2


def test_every_problem_is_listed_with_value_and_legal_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIDSTREAM_REDIS_URL", "http://user:secret@x")
    monkeypatch.setenv("MIDSTREAM_SESSION", "a b")
    monkeypatch.setenv("MIDSTREAM_EXAMPLE_PORT", "70000")
    monkeypatch.setenv("MIDSTREAM_LOG_FORMAT", "xml")
    monkeypatch.setenv("MIDSTREAM_SPEED", "fast")
    monkeypatch.setenv("MIDSTREAM_REFLECTION", "maybe")
    monkeypatch.setenv("MIDSTREAM_GRACE", "-1")

    with pytest.raises(SystemExit) as caught:
        load(ExampleSettings)

    assert caught.value.code == 2
    lines = sorted(capsys.readouterr().err.splitlines())
    assert lines == [
        "MIDSTREAM_EXAMPLE_PORT: is not usable (got '70000'); legal values: a whole number from 0 up to 65535",
        "MIDSTREAM_GRACE: is not usable (got '-1'); legal values: a number from 0",
        "MIDSTREAM_LOG_FORMAT: is not usable (got 'xml'); legal values: auto, json, console",
        f"MIDSTREAM_REDIS_URL: must be {URL_FORMS} (got 'http://user:***@x')",
        "MIDSTREAM_REFLECTION: is not usable (got 'maybe'); legal values: on or off",
        "MIDSTREAM_SESSION: must be 1 to 64 characters of A-Z a-z 0-9 . _ - (got 'a b')",
        "MIDSTREAM_SPEED: is not usable (got 'fast'); legal values: a number above 0",
    ]


def test_missing_redis_url_names_the_fix(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load(ExampleSettings)

    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("MIDSTREAM_REDIS_URL: is not set; ")
    assert "midstream serve" in error
    assert error.count("\n") == 1


def test_password_is_not_in_the_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_REDIS_URL", "redis://:canary@localhost:1/0")

    assert "canary" not in repr(load(ExampleSettings))


def test_what_is_wrong_with_several_settings_shows_none_of_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIDSTREAM_KEYS_SECRET", "canary" * 6)
    monkeypatch.setenv("MIDSTREAM_DATABASE_URL", "postgresql://desk:canary@db.example/orders")
    monkeypatch.setenv("MIDSTREAM_TRADING", "live")
    monkeypatch.setenv("MIDSTREAM_EXCHANGES", "prod")

    with pytest.raises(SystemExit):
        load(OrdersSettings)

    said = capsys.readouterr().err
    assert "MIDSTREAM_TRADING=live needs limits" in said
    assert "canary" not in said


def test_a_secret_that_is_refused_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIDSTREAM_KEYS_SECRET", "canary-too-short")
    with pytest.raises(SystemExit):
        load(ServerSettings)

    said = capsys.readouterr().err
    assert "MIDSTREAM_KEYS_SECRET" in said
    assert "32 characters" in said
    assert "canary" not in said
    monkeypatch.setenv("MIDSTREAM_KEYS_SECRET", "canary-long-enough-to-be-a-secret")
    assert "canary" not in repr(load(ServerSettings))


@pytest.mark.parametrize("value", ["https://desk.example", "desk.example:8081", "desk.example/", "desk example"])
def test_a_name_of_the_web_that_could_never_match_is_refused(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIDSTREAM_WEB_HOSTS", f"good.example, {value}")

    with pytest.raises(SystemExit):
        load(ServerSettings)

    assert (
        f"MIDSTREAM_WEB_HOSTS: must be names without scheme, port and path, like desk.example or *.example.com, not {value}"
        in (capsys.readouterr().err)
    )


@pytest.mark.parametrize("value", ["desk.example", "*.desk.example", "*", "10.0.0.5", "[::1]", "fe80::1"])
def test_names_and_addresses_of_the_web_are_taken(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_WEB_HOSTS", value)

    assert load(ServerSettings).web_hosts == (value,)
