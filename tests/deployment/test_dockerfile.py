"""The Dockerfile as a linter sees it, and what no linter looks for; what comes out of it is judged by tests/image."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.imports import ROOT
from tests.support.missing_tools import beside_python

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
HADOLINT = beside_python("hadolint")


def lint(text: str, folder: Path) -> list[str]:
    """Return the rules that hadolint finds broken."""
    (folder / "Dockerfile").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [HADOLINT, "--no-color", folder / "Dockerfile"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert (done.returncode == 0) == (done.stdout == "")
    return re.findall(r" ((?:DL|SC)\d+) ", done.stdout)


@pytest.mark.needs("hadolint")
def test_the_linter_finds_nothing(tmp_path: Path) -> None:
    assert lint(TEXT, tmp_path) == []


@pytest.mark.needs("hadolint")
@pytest.mark.parametrize(
    ("rule", "break_it"),
    [
        pytest.param(
            "DL3025",
            lambda text: text.replace('ENTRYPOINT ["midstream"]', "ENTRYPOINT midstream"),
            id="a shell in between",
        ),
        pytest.param("DL3015", lambda text: text.replace(" --no-install-recommends", ""), id="recommended packages"),
        pytest.param(
            "DL3008", lambda text: text.replace("# hadolint ignore=DL3008\n", ""), id="versions without a reason"
        ),
        pytest.param("DL3002", lambda text: text.replace("USER 10001:10001", "USER root"), id="root"),
        pytest.param(
            "DL3009", lambda text: text.replace("rm -rf /var/lib/apt/lists/*", "true"), id="lists of packages"
        ),
        pytest.param("DL3020", lambda text: text.replace("COPY . ./", "ADD . ./"), id="ADD"),
    ],
)
def test_the_linter_finds_a_planted_fault(tmp_path: Path, rule: str, break_it: Callable[[str], str]) -> None:
    broken = break_it(TEXT)

    assert broken != TEXT
    assert rule in lint(broken, tmp_path)


def test_what_the_linter_is_told_to_ignore_has_its_reason() -> None:
    ignored = re.findall(r"^# hadolint ignore=(\S+)$", TEXT, re.MULTILINE)

    assert set(ignored) == {"DL3008"}
    assert "# Versions are not pinned: " in TEXT


def test_both_stages_have_one_base_which_may_be_another() -> None:
    assert re.findall(r"^(?:ARG BASE|FROM).*$", TEXT, re.MULTILINE) == [
        "ARG BASE=docker.io/library/debian:trixie-slim",
        "FROM ${BASE} AS build",
        "FROM ${BASE}",
    ]


def test_every_package_of_others_is_a_wheel_with_its_hash() -> None:
    commands = TEXT.replace("\\\n", " ")
    installs = re.findall(r"pip(?: --python \S+)? install ([^&\n]*)", commands)

    of_others = [each for each in installs if " -r " in f" {each}"]
    assert len(of_others) == 2
    assert all("--require-hashes --only-binary :all:" in each for each in of_others)
    (ours,) = (each for each in installs if each not in of_others)
    assert "--no-deps --no-index" in ours
    assert {name for each in of_others for name in re.findall(r"-r (\S+)", each)} == {
        "requirements.lock",
        "requirements/extras.lock",
        "requirements/build.lock",
    }


def test_no_machine_and_no_secret_is_named() -> None:
    assert re.findall(r"PIP_CERT|PIP_INDEX_URL|TRUSTED|proxy|PASSWORD|TOKEN|SECRET", TEXT, re.IGNORECASE) == []


def test_the_context_lets_in_what_is_named_and_nothing_else() -> None:
    rules = [line for line in IGNORED if line and not line.startswith("#")]

    assert rules[0] == "*"
    allowed = {line.removeprefix("!").rstrip("/") for line in rules if line.startswith("!")}
    assert not allowed & {".", "*", ".git", ".venv", "tests", "deploy", "benchmarks"}
    named = {word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", TEXT, re.MULTILINE) for word in line.split()} - {
        "."
    }
    assert named <= allowed
    # A folder that setuptools packs and that the context lacks would be missing from the image without a word.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packed = {name.removesuffix("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packed
    assert packed <= allowed
