"""`midstream doctor`: certificates, ports and folders as they really are."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.cli.doctor import configuration, machine, reaching
from services.cli.doctor.findings import Level, Patient
from tests.support.ports import free_port
from tests.support.tls import Authority

FAULT, WARNING, OK = Level.FAULT, Level.WARNING, Level.OK
CORE = ("replay", "control", "price", "health")


@pytest.mark.parametrize(
    ("days", "level", "says"),
    [(90, OK, "fit"), (3, WARNING, "ends in"), (-1, FAULT, "expired at")],
    ids=["good", "soon", "expired"],
)
def test_a_certificate_is_looked_into(tmp_path: Path, days: int, level: Level, says: str) -> None:
    pair = issued(tmp_path, days)

    [finding] = configuration.certificates(
        Patient({"MIDSTREAM_TLS_CERT": str(pair.cert), "MIDSTREAM_TLS_KEY": str(pair.key)}, CORE)
    )

    assert finding.level is level, finding
    assert says in finding.what


def test_a_key_of_another_certificate_is_found(tmp_path: Path) -> None:
    ours, other = issued(tmp_path, 90), issued(tmp_path / "other", 90)

    [finding] = configuration.certificates(
        Patient({"MIDSTREAM_TLS_CERT": str(ours.cert), "MIDSTREAM_TLS_KEY": str(other.key)}, CORE)
    )

    assert finding.level is FAULT, finding


def test_who_holds_a_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        said = list(reaching.ports(Patient({"MIDSTREAM_CONTROL_PORT": str(port)}, ("control",), tmp_path)))

    assert said[0].level is FAULT
    assert f"port {port} of control is taken by " in said[0].what
    assert f"(process {os.getpid()})" in said[0].what
    assert "MIDSTREAM_CONTROL_PORT" in said[0].fix


def test_a_port_that_our_own_serve_holds_is_no_fault(tmp_path: Path) -> None:
    ready = tmp_path / ".midstream" / "ready"
    ready.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        (ready / "control.json").write_text(json.dumps({"server": "control", "port": port, "pid": os.getpid()}))
        environment = {"MIDSTREAM_CONTROL_PORT": str(port), "MIDSTREAM_CONTROL_METRICS_PORT": str(free_port())}
        [finding] = reaching.ports(Patient(environment, ("control",), tmp_path))

    assert (finding.level, "1 are served by `midstream serve`" in finding.what) == (OK, True)


def test_an_output_folder_that_is_a_file_or_not_ours_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    [in_the_way] = machine.out_folder(Patient({}, CORE, tmp_path / "file" / "out"))

    def refused(*_: object, **__: object) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    [not_ours] = machine.out_folder(Patient({}, CORE, tmp_path / "out"))

    assert (in_the_way.level, "no folder" in in_the_way.what) == (FAULT, True)
    assert (not_ours.level, "cannot be written to (Permission denied)" in not_ours.what, "chown" in not_ours.fix) == (
        FAULT,
        True,
        True,
    )


def issued(folder: Path, days: int) -> SimpleNamespace:
    """Make a certificate that ends in so many days."""
    folder.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    pair = Authority().pair("localhost", before=now - timedelta(days=9), after=now + timedelta(days=days))
    cert, key = pair.write(folder, "server")
    return SimpleNamespace(cert=cert, key=key)
