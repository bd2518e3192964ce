"""Payloads recorded from exchanges; a test that uses one says where it comes from."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from clients.exchanges.exact_json import parse_json

ROOT = Path(os.environ.get("MIDSTREAM_SHARED", Path(__file__).parents[3] / "shared")) / "exchanges"


def recorded(name: str, *, provenance: str) -> Any:
    """Return a recorded document with exact numbers; `provenance` has to be the index's own word for it."""
    return parse_json(recorded_bytes(name, provenance=provenance))


def recorded_lines(name: str, *, provenance: str) -> list[Any]:
    """Return the frames of a capture, in the order in which they arrived."""
    lines = recorded_bytes(name, provenance=provenance).splitlines()
    return [parse_json(line)["msg"] for line in lines if line]


def recorded_bytes(name: str, *, provenance: str) -> bytes:
    """Return a recorded file; skip the test where the recordings are not."""
    path = ROOT / "recorded" / name
    if not path.exists():
        pytest.skip(f"{path} does not exist; set MIDSTREAM_SHARED to where the recordings are")
    assert _index()[name] == provenance, f"{name} is {_index()[name]}, not {provenance}"
    return path.read_bytes()


def signing_vectors(exchange: str) -> list[dict[str, Any]]:
    """Return the signing vectors of an exchange; none, where the recordings are not."""
    path = ROOT / "signing_vectors.json"
    if not path.exists():
        return []
    return [vector for vector in json.loads(path.read_text())["vectors"] if vector["exchange"] == exchange]


@cache
def _index() -> dict[str, str]:
    cases = json.loads((ROOT / "recorded" / "index.json").read_text())["cases"]
    return {case["file"]: case["provenance"] for case in cases}
