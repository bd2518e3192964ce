"""`midstream record` as a process: signals, a full disk, a feed that is away, a terminal and a pipe."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import stat
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.replay.recording.records import frame_of, is_record
from tests.support.cli import PATIENCE_S, ROOT, Completed, clean_environment, command, kill, midstream_here, until
from tests.support.ports import free_port
from tests.support.simulator_process import SimulatorProcess, simulator_process

COLUMNS = 60
SMALL_DISK = (
    "import os, resource, sys; size = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
)
"""No file may grow further: what would be beyond is written in part, then refused, as on a disk that is full."""


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """A feed that goes on for minutes."""
    with simulator_process("feed", tmp_path_factory.mktemp("feed")) as running:
        yield running


@contextlib.contextmanager
def recording(*arguments: str | Path, file_bytes_max: int = 0) -> Iterator[subprocess.Popen[str]]:
    """A recorder for the block."""
    python, *words = command("record", *arguments)
    process = subprocess.Popen(
        [python, *(("-c", SMALL_DISK, str(file_bytes_max)) if file_bytes_max else ()), *words],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        kill(process)


def ended(process: subprocess.Popen[str]) -> Completed:
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    return Completed(process.returncode, stdout, stderr)


def frames(path: Path) -> int:
    return sum(frame_of(line) is not None for line in path.read_bytes().splitlines()) if path.exists() else 0


def notes(path: Path) -> list[dict[str, Any]]:
    """What happened between the frames; every record has to be whole."""
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)[1:]
    assert content.endswith(b"\n")
    assert all(is_record(line) for line in lines)
    return [json.loads(line.split(b" ", 2)[2]) for line in lines if line.startswith(b"M ")]


@pytest.mark.parametrize(
    ("numbers", "bounds", "code"),
    [
        ((signal.SIGINT,), (), 0),
        ((signal.SIGTERM,), ("--duration", "3600"), 143),
        ((signal.SIGINT, signal.SIGINT), ("--max-bytes", "1000000000"), 130),
    ],
    ids=["without a bound", "within a bound", "twice"],
)
def test_a_signal_ends_it_in_order(
    tmp_path: Path, feed: SimulatorProcess, numbers: tuple[int, ...], bounds: tuple[str, ...], code: int
) -> None:
    segment = tmp_path / "day" / "000001.rec"
    with recording(feed.ws_url, "--out", tmp_path / "day", "--json", *bounds) as process:
        until(lambda: frames(segment) >= 5, what="five frames")
        for number in numbers:
            process.send_signal(number)
        done = ended(process)

    figures = json.loads(done.stdout)
    assert (done.code, done.stderr) == (code, "")
    assert figures["ended_by"] == "asked"
    assert [note["kind"] for note in notes(segment)] == ["started", "stopped"]
    assert segment.read_bytes().splitlines()[-1].startswith(b"M ")
    assert figures["frames"] == frames(segment)
    assert figures["bytes"] == segment.stat().st_size


def test_a_full_disk_ends_it_with_whole_records_and_it_goes_on_when_there_is_room(
    tmp_path: Path, feed: SimulatorProcess
) -> None:
    out, first = tmp_path / "day", tmp_path / "day" / "000001.rec"
    with recording(feed.ws_url, "--out", out, "--json", file_bytes_max=3000) as process:
        full = ended(process)
    with recording(feed.ws_url, "--out", out, "--append", "--max-bytes", "3000") as process:
        after = ended(process)

    figures = json.loads(full.stdout)
    assert full.code == figures["error"]["exit_code"] == 1
    # Whoever measures the process cannot write either, and says so behind it.
    [said] = [line for line in full.stderr.splitlines() if line.startswith("midstream record: ")]
    assert f"{first} cannot be written: File too large; make room" in said
    assert said.endswith("go on with --append")
    assert [note["kind"] for note in notes(first)] == ["started"]
    assert figures["frames"] == frames(first) > 0
    assert 2000 < figures["bytes"] == first.stat().st_size <= 3000
    assert (after.code, after.stderr) == (0, "")
    gap = notes(out / "000002.rec")[0]
    assert (gap["kind"], gap["after_frame"]) == ("gap", figures["frames"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("full", "is not empty; use --append to go on in it, or name another folder"),
        ("file", "is no folder; choose another place"),
        ("one.rec", "exists, and nothing is ever replaced; name another file"),
        ("away/one.rec", "does not exist; create it"),
    ],
)
def test_an_out_that_cannot_be_used_is_refused_and_left_as_it_is(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "full").mkdir()
    for path in ("full/000001.rec", "file", "one.rec"):
        (tmp_path / path).write_bytes(b"mine")
        (tmp_path / path).chmod(0o664)
    (tmp_path / "full").chmod(0o775)

    done = midstream_here("record", "ws://127.0.0.1:1", "--out", tmp_path / name)

    assert (done.code, done.stdout) == (2, "")
    assert said in done.error_line
    kept = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert kept == ["file", "full/000001.rec", "one.rec"]
    assert all((tmp_path / path).read_bytes() == b"mine" for path in kept)
    assert {stat.S_IMODE((tmp_path / path).stat().st_mode) for path in kept} == {0o664}
    assert stat.S_IMODE((tmp_path / "full").stat().st_mode) == 0o775


def test_a_feed_that_stays_away_is_named_with_the_reason(tmp_path: Path) -> None:
    with recording(f"ws://127.0.0.1:{free_port()}", "--out", tmp_path / "day", "--duration", "0.5") as process:
        done = ended(process)

    *logged, said = done.stderr.splitlines()
    assert done.code == 1
    assert "nothing was received: the live feed cannot be reached" in said
    assert said.endswith("; check the feed")
    # What goes to a pipe is for programs and files: nothing there moves a cursor.
    assert all(json.loads(line)["level"] == "warning" for line in logged)
    assert "\r" not in done.stderr
    assert "\x1b" not in done.stderr


class Terminal:
    """A terminal of `COLUMNS` columns, and all that was written to it."""

    def __init__(self, *arguments: str | Path) -> None:
        self._screen, keyboard = pty.openpty()
        fcntl.ioctl(keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        self.written = b""
        environment = {**clean_environment(), "NO_COLOR": "1"}
        environment.pop("COLUMNS")
        self.process = subprocess.Popen(
            command("record", *arguments),
            cwd=ROOT,
            env=environment,
            stdin=keyboard,
            stdout=keyboard,
            stderr=keyboard,
        )
        os.close(keyboard)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        # The end of a terminal is an error on Linux.
        with contextlib.suppress(OSError):
            while read := os.read(self._screen, 65536):
                self.written += read

    def wait(self) -> int:
        """Return the exit code, with everything read."""
        code = self.process.wait(timeout=PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def close(self) -> None:
        kill(self.process)
        self._reader.join(PATIENCE_S)
        os.close(self._screen)


def test_a_terminal_shows_one_line_until_a_feed_that_was_away_has_come(tmp_path: Path) -> None:
    port = free_port()
    with contextlib.closing(
        Terminal(f"ws://127.0.0.1:{port}", "--out", tmp_path / "day", "--max-bytes", "4000")
    ) as terminal:
        until(lambda: terminal.written.count(b"\x1b[K") >= 2, what="progress")
        with simulator_process("feed", tmp_path, PORT=str(port)):
            code = terminal.wait()

    written = terminal.written.decode()
    assert code == 0, written
    assert frames(tmp_path / "day" / "000001.rec") > 0
    shown = re.findall(r"\r\x1b\[K( +\d+ s  [^\r\n]*)", written)
    assert any("the live feed cannot" in text for text in shown)
    # A line that is wider would wrap, and could not be written over.
    assert {len(text) for text in shown if "the live feed" in text} == {COLUMNS - 1}
    logged = [line for line in written.splitlines() if "live feed is away" in line]
    assert logged
    # Log lines stand above it, each in a line of its own.
    assert [line for line in logged if re.search(r" s  .* live feed is away", line.rpartition("\x1b[K")[2])] == []
    assert "\x1b[K" + str(tmp_path / "day") in written
