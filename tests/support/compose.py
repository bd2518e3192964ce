"""Reads compose.yaml as `docker compose` does: variables of the environment put in, anchors merged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.support.imports import ROOT

PATH = ROOT / "compose.yaml"
SECRETS = {"VALKEY_PASSWORD": "0123456789abcdef", "POSTGRES_PASSWORD": "fedcba9876543210"}
"""What a user writes into .env."""
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<word>[^}]*))?\})")


class MissingVariable(Exception):
    """A variable that compose.yaml insists on is not set."""


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """Put variables in: `${NAME}`, `${NAME:-default}`, `${NAME:?what to do}`, and `$$` for a dollar."""

    def value(found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$"
        given = variables.get(found["name"], "")
        if not given and found["kind"] == ":?":
            raise MissingVariable(f"{found['name']}: {found['word']}")
        return given or (found["word"] if found["kind"] == ":-" else "") or ""

    return _VARIABLE.sub(value, text)


def read(variables: Mapping[str, str] = SECRETS) -> dict[str, Any]:
    """Return the whole file."""
    raw = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    return {name: _walk(part, variables) for name, part in raw.items()}


def services(variables: Mapping[str, str] = SECRETS) -> dict[str, dict[str, Any]]:
    """Return the services by name."""
    return dict(read(variables)["services"])


def seconds(duration: str) -> float:
    """Read `40s` and `1m30s`."""
    units = {"h": 3600, "m": 60, "s": 1}
    parts = re.findall(r"(\d+)([hms])", duration)
    assert "".join(number + unit for number, unit in parts) == duration, duration
    return float(sum(int(number) * units[unit] for number, unit in parts))


def _walk(part: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(part, dict):
        return {name: _walk(each, variables) for name, each in part.items()}
    if isinstance(part, list):
        return [_walk(each, variables) for each in part]
    return interpolated(part, variables) if isinstance(part, str) else part
