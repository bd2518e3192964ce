"""MIDSTREAM_SESSION: the same session to every server, and to the commands that ask them."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.core import TyperOption

from services.cli.main import app
from services.control.config import ControlSettings
from services.health.config import HealthSettings
from services.price.config import PriceSettings
from services.replay.config import ReplaySettings
from services.runtime.settings import SessionSettings

SETTINGS = (ReplaySettings, ControlSettings, PriceSettings, HealthSettings)


@pytest.fixture(autouse=True)
def redis_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_REDIS_URL", "redis://127.0.0.1:1/0")


def test_every_server_around_a_session_is_among_those_looked_at() -> None:
    ours = {kind for kind in SessionSettings.__subclasses__() if kind.__module__.startswith("services.")}

    assert ours == set(SETTINGS)


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_server_takes_the_session_of_the_environment(
    settings: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIDSTREAM_SESSION", raising=False)
    assert settings().session == "default"

    monkeypatch.setenv("MIDSTREAM_SESSION", "desk")
    assert settings().session == "desk"


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65])
def test_every_server_refuses_the_same_names(settings: type[Any], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_SESSION", name)

    with pytest.raises(ValueError, match="session"):
        settings()


def test_every_command_with_a_session_takes_it_from_there() -> None:
    options = {
        name: parameter
        for name, command in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
        for parameter in command.params
        if isinstance(parameter, TyperOption) and parameter.name == "session"
    }

    assert {"replay", "mode", "status", "pause", "resume", "speed", "seek", "tail"} <= options.keys()
    assert {name: option.envvar for name, option in options.items()} == dict.fromkeys(options, "MIDSTREAM_SESSION")
