"""What every benchmark gets: how much to do, where to write, and how to run children."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.data import Ticks, make_ticks, warm
from benchmarks.processes import Finished, run_watched

ROOT: Final = Path(__file__).resolve().parents[1]
TIMEOUT_S: Final = 300.0
MEMORY: Final = Path("/dev/shm")


@dataclass
class Context:
    """Options of one run of the benchmarks, and what several of them share."""

    ticks: int
    pairs: int
    quick: bool
    scratch: Path
    """On a disk: logs are to become durable there."""
    seconds_per_row: float
    """No further pair begins when a row took longer than this."""
    say: Callable[[str], None]
    _data: dict[int, Ticks] = field(default_factory=dict)

    @property
    def data(self) -> Ticks:
        """The ticks of the usual size, in the page cache."""
        return self.data_of(self.ticks)

    def data_of(self, count: int) -> Ticks:
        """Ticks of another size."""
        if count not in self._data:
            self.say(f"  preparing {count:,} ticks")
            self._data[count] = make_ticks(count)
        warm(self._data[count])
        return self._data[count]

    def rounds(self, count: int = 0) -> Iterator[int]:
        """Count the rounds of a row, the usual number or `count`, and end early when the row took too long."""
        started = time.monotonic()
        for number in range(count or self.pairs):
            if number and time.monotonic() - started > self.seconds_per_row:
                self.say(f"  out of time after {number} rounds")
                return
            yield number

    def pairs_of(self, ours: Callable[[], float], theirs: Callable[[], float], *, pairs: int = 0) -> list[float]:
        """Run both alternately and return theirs / ours per pair: how many times ours is faster when they return times."""
        ratios: list[float] = []
        for _ in self.rounds(pairs):
            mine, other = ours(), theirs()
            ratios.append(other / mine)
            self.say(f"  ours {mine:.3g}, theirs {other:.3g}: {ratios[-1]:.2f}")
        return ratios

    def directory(self, name: str) -> Path:
        """An empty directory below the scratch directory."""
        path = self.scratch / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def clean_directory(self, name: str) -> Path:
        """An empty directory on a disk that has nothing else to write: what one side leaves behind is not the other's load."""
        path = self.directory(name)
        os.sync()
        return path

    def python(self, *arguments: str) -> Finished:
        """Run a Python module of the checkout as a child, watched; raises RuntimeError when it fails."""
        command = [sys.executable, "-m", *arguments]
        finished = run_watched(command, environment=clean_environment(), cwd=ROOT, timeout_s=TIMEOUT_S)
        if finished.returncode != 0:
            raise RuntimeError(
                f"`{' '.join(command)[:300]}` ended with {finished.returncode}: {finished.stderr.decode()[-2000:]}"
            )
        return finished

    def answer(self, *arguments: str) -> Any:
        """Run a child that prints one JSON object, and return it."""
        return json.loads(self.python(*arguments).stdout)

    @contextlib.contextmanager
    def child(
        self, *arguments: str, log: Path, settings: Mapping[str, str] | None = None, stdin: bool = False
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Keep a Python module of the checkout running for a block; its stdout is a pipe."""
        with log.open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                env=clean_environment(settings or {}),
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()


def clean_environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without settings of Midstream, plus `settings`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIDSTREAM_")}
    return kept | dict(settings or {})


def until(condition: Callable[[], object], *, what: str, timeout_s: float = 60.0, poll_s: float = 0.005) -> None:
    """Wait for something that another process does; raises TimeoutError naming it."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {timeout_s:g} s")
        time.sleep(poll_s)


def same_files(first: Sequence[Path], second: Sequence[Path]) -> None:
    """Raise AssertionError unless the files are equal byte by byte."""
    import filecmp

    for one, other in zip(first, second, strict=True):
        if not filecmp.cmp(one, other, shallow=False):
            raise AssertionError(f"{one} and {other} differ: the competitors did not do the same work")


@contextlib.contextmanager
def scratch_directory(parent: Path | None) -> Iterator[Path]:
    """A directory that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as directory:
        yield Path(directory)
