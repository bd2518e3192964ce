"""Runs the `midstream` command as a user does, and reads what it leaves behind."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.cli.main import run
from tests.reference.history import Expected
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 100.0
REPORT_KEYS = (
    "rows_in",
    "mids",
    "latency_filtered",
    "missing_side",
    "rejected",
    "skipped",
    "first_arrival",
    "last_arrival",
    "ticks_per_second",
    "order_digest",
    "order_digest_version",
)


def command(*arguments: str | Path) -> list[str]:
    """Return the command line of `midstream ARGUMENTS`."""
    return [sys.executable, "-m", "services.cli", *map(str, arguments)]


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without any setting of Midstream, plus `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIDSTREAM_")}
    return {**kept, "COLUMNS": "80", **(extra or {})}


@dataclass(frozen=True)
class Completed:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def error_line(self) -> str:
        """The one line that it wrote to stderr beside its progress; fails when there is not exactly one."""
        lines = [line for line in self.stderr.splitlines() if not line.endswith("records committed")]
        assert len(lines) == 1, self.stderr
        return lines[0]


def midstream(*arguments: str | Path, cwd: Path = ROOT, environment: Mapping[str, str] | None = None) -> Completed:
    """Run `midstream ARGUMENTS` to its end."""
    done = subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Completed(done.returncode, done.stdout, done.stderr)


def midstream_here(*arguments: str | Path) -> Completed:
    """Run `midstream ARGUMENTS` inside this process: for what is refused before anything starts."""
    with contextlib.redirect_stdout(io.StringIO()) as stdout, contextlib.redirect_stderr(io.StringIO()) as stderr:
        code = run([str(argument) for argument in arguments])
    return Completed(code, stdout.getvalue(), stderr.getvalue())


@dataclass(frozen=True)
class Outputs:
    """What a replay left in its directory."""

    path: Path
    report: dict[str, Any]
    mid_log: bytes
    error_log: bytes
    completed: Completed = field(repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """The counts of the report, by name."""
        names = ("rows_in", "mids", "latency_filtered", "missing_side", "rejected", "skipped", "crossed", "locked")
        return {name: self.report[name] for name in names}


def read_outputs(out: Path, completed: Completed) -> Outputs:
    """Read DIR, and check what holds after every run: the report accounts for every row and for every line."""
    report = json.loads((out / "report.json").read_text())
    outputs = Outputs(out, report, (out / "mid_prices.log").read_bytes(), (out / "errors.log").read_bytes(), completed)
    assert_conserved(outputs)
    return outputs


def assert_conserved(outputs: Outputs) -> None:
    """Rows in = mids + latency-filtered + missing side + rejected, and each of them is one line."""
    report = outputs.report
    errors = report["latency_filtered"] + report["missing_side"] + report["rejected"]
    assert report["rows_in"] == report["mids"] + errors, report
    assert outputs.mid_log.count(b"\n") == report["mids"]
    assert outputs.error_log.count(b"\n") == errors


def replay(files: Sequence[str | Path], out: Path, *options: str, code: int = 0, cwd: Path = ROOT) -> Outputs:
    """Replay `files` into `out`, expecting the exit code `code`."""
    completed = midstream("replay", *files, "--out", out, "--json", *options, cwd=cwd)
    assert completed.code == code, f"exit code {completed.code}: {completed.stderr}"
    outputs = read_outputs(out, completed)
    assert json.loads(completed.stdout) == outputs.report
    return outputs


def assert_exact(outputs: Outputs, expected: Expected) -> None:
    """Compare everything with what the slow reference says."""
    assert outputs.mid_log == expected.mid_log
    assert outputs.error_log == expected.error_log
    assert outputs.counts == {name: getattr(expected.counts, name) for name in outputs.counts}
    assert outputs.report["order_digest"] == expected.digest
    assert outputs.report["order_digest_version"] == 2


def start_replay(files: Sequence[str | Path], out: Path, *options: str) -> subprocess.Popen[str]:
    """Start a replay that the test ends itself. Wait for it with `communicate`."""
    return subprocess.Popen(
        command("replay", *files, "--out", out, "--json", *options),
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def interrupt_replay(
    files: Sequence[str | Path], out: Path, *options: str, number: signal.Signals, after_bytes: int
) -> Completed:
    """Start a replay and send it a signal as soon as its logs hold `after_bytes`."""
    process = start_replay(files, out, *options)
    try:
        wait_until(
            lambda: process.poll() is not None or log_bytes(out) >= after_bytes, timeout_s=PATIENCE_S, what="output"
        )
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
    finally:
        kill(process)
    return Completed(process.returncode, stdout, stderr)


def log_bytes(out: Path) -> int:
    """How much both logs hold so far."""
    paths = (out / "mid_prices.log", out / "errors.log")
    return sum(path.stat().st_size for path in paths if path.exists())


def kill(process: subprocess.Popen[Any]) -> None:
    """kill -9 where it still runs; its children go with it."""
    if process.poll() is None:
        process.kill()
    process.wait(timeout=PATIENCE_S)


def until(condition: Callable[[], Any], *, what: str, timeout_s: float = 30.0) -> Any:
    """Poll until `condition` returns something true, and return that."""
    deadline_s = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline_s:
            raise AssertionError(f"{what} did not happen within {timeout_s:g} s")
        time.sleep(0.01)
    return found
