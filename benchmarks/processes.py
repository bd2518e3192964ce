"""Watch a process and everything below it: CPU time and peak memory by role, read from /proc."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SAMPLE_S: Final = 0.05
"""What a process does between its last sample and its end is missed; at most this much."""
CLOCK_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
KIBIBYTE: Final = 1024

ROLES: Final = {
    "services.replay.engine": "replay engine",
    "services.price.engine": "price engine",
    "services.replay": "replay server",
    "services.price": "price server",
    "services.control": "control server",
    "services.health": "health server",
    "services.simulators.feed": "feed",
    "services.cli": "command line",
}


@dataclass
class Usage:
    """What one process took, as of its last sample."""

    role: str
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0


@dataclass
class Finished:
    """A command that ended."""

    returncode: int
    stdout: bytes
    stderr: bytes
    cpu_s: float
    """Of all its processes, to their ends."""
    by_pid: dict[int, Usage] = field(default_factory=dict)

    def by_role(self) -> dict[str, Usage]:
        """Add up the CPU time, and take the highest peak, of the processes of each role."""
        total: dict[str, Usage] = {}
        for usage in self.by_pid.values():
            entry = total.setdefault(usage.role, Usage(usage.role))
            entry.cpu_s += usage.cpu_s
            entry.peak_rss_bytes = max(entry.peak_rss_bytes, usage.peak_rss_bytes)
        return total


class Watch:
    """Samples a process tree from a thread until `stop`."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._stopping = threading.Event()
        self.by_pid: dict[int, Usage] = {}
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> dict[int, Usage]:
        """End the sampling and return what was seen."""
        self._stopping.set()
        self._thread.join()
        return self.by_pid

    def sample(self) -> None:
        """Look at every process of the tree once."""
        for pid in _descendants(self._root):
            found = _usage(pid)
            if found is None:
                continue
            known = self.by_pid.setdefault(pid, found)
            # A child is called like its parent, and has its memory, until it has become what it is.
            became = found.role and found.role != known.role
            known.role = found.role or known.role
            known.cpu_s = max(known.cpu_s, found.cpu_s)
            known.peak_rss_bytes = found.peak_rss_bytes if became else max(known.peak_rss_bytes, found.peak_rss_bytes)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.sample()
            self._stopping.wait(SAMPLE_S)


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has taken so far. Raises ProcessLookupError when it is gone."""
    usage = _usage(pid)
    if usage is None:
        raise ProcessLookupError(f"process {pid} is gone")
    return usage.cpu_s


def run_watched(command: Sequence[str], *, environment: Mapping[str, str], cwd: Path, timeout_s: float) -> Finished:
    """Run `command` to its end and watch it; raises TimeoutExpired after killing it. Nothing else may run meanwhile."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(environment), cwd=cwd)
    watch = Watch(process.pid)
    try:
        stdout, stderr = process.communicate(timeout=timeout_s)
    except BaseException:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        raise
    finally:
        by_pid = watch.stop()
    # Processes that were waited for by their parents are in here too, unlike in the samples, to the last moment.
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Finished(process.returncode, stdout, stderr, cpu_s, by_pid)


def _descendants(root: int) -> list[int]:
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        try:
            # Any thread may have started a child.
            for thread in os.scandir(f"/proc/{pid}/task"):
                queue += map(int, Path(thread.path, "children").read_text().split())
        except OSError:
            continue
    return found


def _usage(pid: int) -> Usage | None:
    try:
        before = Path(f"/proc/{pid}/cmdline").read_bytes()
        stat = Path(f"/proc/{pid}/stat").read_text()
        status = Path(f"/proc/{pid}/status").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    if command != before:
        # It became another program meanwhile: these may be the figures of the one before.
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    cpu_s = (int(fields[11]) + int(fields[12])) * CLOCK_TICK_S
    peak = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)
    return Usage(_role(command), cpu_s, peak * KIBIBYTE)


def _role(command: bytes) -> str:
    words = [word.decode(errors="replace") for word in command.split(b"\0") if word]
    if not words:
        return ""
    # Valkey too; its own path stands in the first word until it has given itself a title.
    if any(engine in Path(words[0]).name for engine in ("redis", "valkey")):
        return "redis"
    for word in words:
        if word in ROLES:
            return ROLES[word]
    return Path(words[0]).name
