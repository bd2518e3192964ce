"""CONTRIBUTING.md tells the truth: its commands exist, and the quick ones are run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.imports import ROOT
from tests.support.pages import shell_lines

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


COMMANDS = shell_lines(PAGE)


def test_the_page_has_commands_to_check() -> None:
    assert len(COMMANDS) > 8


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one_that_exists(command: str) -> None:
    words = [word for word in shlex.split(command) if "=" not in word or word.startswith("-")]
    part = re.search(r"\bT=(\S+)", command)

    match words:
        case ["make", target]:
            assert target in TARGETS
            assert part is None or (ROOT / part[1]).exists()
        case [".venv/bin/python", "-m", "pytest", path, "-k", _]:
            assert (ROOT / path).exists()
        case [".venv/bin/python", "setup.py", "build_ext", "--inplace"]:
            assert (ROOT / "setup.py").exists()
        case _:
            raise AssertionError(f"nothing checks {command!r}")


def test_every_target_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`make ([a-z-]+)", PAGE))

    assert {"test", "test-long", "test-nightly", "protos", "settings", "sanitize"} <= named <= TARGETS


def test_every_switch_of_the_build_that_the_page_names_is_one() -> None:
    switches = set(re.findall(r"FASTPATH_[A-Z]+", PAGE))

    assert switches == set(re.findall(r"FASTPATH_[A-Z]+", (ROOT / "setup.py").read_text())) - {
        "FASTPATH_SANITIZE",
        "FASTPATH_SKIP",
    }


def test_every_target_of_the_makefile_says_what_it_does_and_is_phony() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    documented = set(re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE))

    assert phony is not None
    assert documented == TARGETS == set(phony[1].split())


@pytest.mark.parametrize("command", [each for each in COMMANDS if " -m pytest " in each])
def test_the_commands_that_run_tests_find_and_pass_some(command: str) -> None:
    words = shlex.split(command.replace(".venv/bin/python", sys.executable))
    # This process' own options are not for the one below it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}

    done = subprocess.run([*words, "-q"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)

    assert done.returncode == 0, done.stdout[-2000:]
    assert re.search(r"\b\d+ passed", done.stdout)


def test_one_part_of_the_suite_is_run_without_the_third_parties(tmp_path: Path) -> None:
    def asked(*arguments: str) -> str:
        make = ["make", "--dry-run", "--always-make", f"VENV={tmp_path}", *arguments]
        return subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    part, whole = asked("test", "T=tests/unit/cli"), asked("test")

    assert "python -m pytest tests/unit/cli\n" in part
    assert "tests/third_parties.lock" not in part
    assert "tests/third_parties.lock" in whole
    assert "tests/third_parties.lock" not in asked("check")
    assert "ruff" not in (ROOT / "requirements.txt").read_text()


def test_the_hooks_before_a_commit_download_nothing() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")

    assert set(re.findall(r"repo: (\S+)", text)) == {"local"}
    assert set(re.findall(r"language: (\S+)", text)) == {"system"}
    assert all(entry.startswith(".venv/bin/") for entry in re.findall(r"entry: (\S+)", text))


def test_tools_that_ci_installs_are_pinned() -> None:
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    installed = re.findall(r"go install (\S+)", text)
    assert len(installed) == 4
    assert all(re.fullmatch(r"\S+@v\d+\.\d+\.\d+", each) for each in installed)
