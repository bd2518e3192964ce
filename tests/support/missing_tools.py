"""What other people's programs some tests need. Where one is missing, one test says so for all that need it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.support.cases import test_of
from tests.support.contracts import MISSING, RECORDED
from tests.support.postgres import postgres_missing

GO_PACKAGES = {
    "grpcurl": "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4",
    "buf": "github.com/bufbuild/buf/cmd/buf@v1.59.0",
    "ghz": "github.com/bojand/ghz/cmd/ghz@v0.121.0",
    "grpc-health-probe": "github.com/grpc-ecosystem/grpc-health-probe@v0.4.42",
}
"""Programs that `go install` installs, in the versions that tests were written with."""
DEBIAN_PACKAGES = {
    "cc": "gcc",
    "curl": "curl",
    "openssl": "openssl",
    "redis-server": "redis-server",
    "promtool": "prometheus",
    "amtool": "prometheus-alertmanager",
}

LEFT_OUT_TO = "PYTEST_LEFT_OUT_TO"
"""Names a file that gets the ids of all tests and modules that are left out as something is missing, for whoever has it.

Programs of ours, which tests start, would take a name like theirs for a setting.
"""

OF_DEPLOYMENT = ("cfn-lint", "check-jsonschema", "hadolint")
"""Programs that `make test-deployment` installs beside Python."""


@cache
def tool(name: str) -> str | None:
    """Return the path of a program, also where `go install` puts it, which need not be on PATH."""
    found = shutil.which(name)
    if found is None and (go := shutil.which("go")) is not None:
        folder = subprocess.run([go, "env", "GOPATH"], capture_output=True, text=True, check=True).stdout.strip()
        found = shutil.which(name, path=str(Path(folder) / "bin"))
    return found


def beside_python(name: str) -> Path:
    """Return where a program lies that was installed with this Python's packages, or would."""
    return Path(sys.executable).with_name(name)


def chromium() -> str | None:
    """Return the path of the browser."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def missing(name: str) -> str:
    """Return why a tool cannot be used and what installs it; empty where it can."""
    return _CHECKS[name]()


def leave_out(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the tests that go ahead. Of those that need a missing tool the first one stays, skipped, and speaks for the others."""
    kept: list[pytest.Item] = []
    left: dict[str, list[pytest.Item]] = {}
    go_ahead: set[str] = set()
    for item in items:
        reason = next(filter(None, map(missing, needs(item))), "")
        if reason:
            left.setdefault(reason, []).append(item)
            if len(left[reason]) > 1:
                continue
        else:
            go_ahead.add(test_of(item))
        kept.append(item)
    for reason, (first, *others) in left.items():
        more = f"; {len(others)} more tests need it" if others else ""
        first.add_marker(pytest.mark.skip(reason=f"{reason}{more}"))
        # Where no case of a test goes ahead, its cases may be others where the tool is.
        note_left_out(item.nodeid if test_of(item) in go_ahead else test_of(item) for item in (first, *others))
    return kept


def note_left_out(ids: Iterable[str]) -> None:
    """Write down ids where `LEFT_OUT_TO` says; of the workers of a run, which have the same tests, the first one does."""
    file = os.environ.get(LEFT_OUT_TO, "")
    if file and os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0":
        with Path(file).open("a", encoding="utf-8") as lines:
            lines.writelines(f"{each}\n" for each in dict.fromkeys(ids))


def needs(item: pytest.Item) -> list[str]:
    """Return the tools that a test needs: by its mark `needs`, or for the database that it is run with."""
    named = [name for mark in item.iter_markers("needs") for name in mark.args]
    fixtures = getattr(item, "fixturenames", ())
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if "shared_postgres" in fixtures or "postgres" in [
        value for value in parameters.values() if isinstance(value, str)
    ]:
        named.append("postgres")
    return named


def _program(name: str, how: str) -> Callable[[], str]:
    return lambda: "" if tool(name) else f"{name} is not installed ({how})"


def _of_deployment(name: str) -> Callable[[], str]:
    # The same words for all of them, so that one test speaks for all.
    return lambda: (
        "" if beside_python(name).exists() else "what judges deployments is not installed (make test-deployment)"
    )


_CHECKS: Mapping[str, Callable[[], str]] = {
    "recordings": lambda: "" if RECORDED.is_dir() else MISSING,
    "postgres": postgres_missing,
    "chromium": lambda: "" if chromium() else "no chromium on PATH (apt-get install chromium)",
    **{name: _program(name, f"go install {package}") for name, package in GO_PACKAGES.items()},
    **{name: _program(name, f"apt-get install {package}") for name, package in DEBIAN_PACKAGES.items()},
    **{name: _of_deployment(name) for name in OF_DEPLOYMENT},
}
