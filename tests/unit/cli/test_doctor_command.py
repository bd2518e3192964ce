"""`midstream doctor` as a command: exit codes, JSON, and what is broken so badly that a check breaks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.doctor import examination, machine
from services.cli.doctor.findings import Finding, Patient
from tests.support.cli import ROOT, Completed, clean_environment, midstream_here
from tests.support.ports import free_port


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MIDSTREAM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(machine, "is_synchronised", lambda: True)


def doctor(*typed: str) -> Completed:
    return midstream_here("doctor", *typed)


def test_the_exit_code_tells_whether_something_has_to_be_mended(
    elsewhere: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MIDSTREAM_CONTROL_PORT", str(free_port()))
    monkeypatch.setenv("MIDSTREAM_CONTROL_METRICS_PORT", str(free_port()))
    well = doctor("control")
    monkeypatch.setenv("MIDSTREAM_LOG_LEVEL", "loud")
    ill, told = doctor("control"), doctor("control", "--json")

    assert (well.code, well.stderr) == (0, "")
    assert (ill.code, told.code) == (1, 1)
    assert "FAULT" in ill.stdout
    assert "1 to mend" in ill.stdout.splitlines()[-1]
    figures = json.loads(told.stdout)
    assert figures["faults"] == 1
    assert [each["page"] for each in figures["findings"] if each["level"] == "fault"] == ["docs/settings.md"]
    assert list(tmp_path.iterdir()) == []


def test_a_check_that_breaks_stops_no_other(elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Patient) -> Iterator[Finding]:
        raise RuntimeError("no idea")

    monkeypatch.setattr(machine, "clock", broken)

    said = dict(examination.examine(Patient({}, ("control",))))

    assert "no idea" in said["clock"].what
    assert set(said) == set(examination.CHECKS)


def test_the_doctor_comes_without_kernels(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.startswith('fastpath.'): raise ImportError('No module named ' + name, name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from services.cli.main import run\n"
        "sys.exit(run(['doctor', 'control', '--json']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    said = {each["check"]: each for each in json.loads(done.stdout)["findings"]}
    assert done.returncode == 1
    assert (said["kernels"]["level"], "make build-ext" in said["kernels"]["fix"]) == ("fault", True)
    assert set(said) == set(examination.CHECKS)


def test_every_page_that_is_named_is_there() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "services/cli/doctor").glob("*.py"))

    pages = set(re.findall(r'"(docs/\w+\.md)"', sources))
    assert pages
    assert [page for page in pages if not (ROOT / page).exists()] == []
