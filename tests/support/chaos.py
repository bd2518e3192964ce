"""Real servers on a real Redis, killed and suspended at random from a seed, restarted by a tiny supervisor of their own.

Only processes that a `Chaos` started are ever touched, by process id: Redis, the servers, and the engines below them.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import TracebackType
from typing import IO, Any, Protocol

import redis

from services.runtime.parent_death import dying_with_parent
from services.runtime.session.keys import SessionKeys
from tests.reference.history import Expected
from tests.support.cli import ROOT, clean_environment
from tests.support.redis_server import RedisForTests

MODULES = {
    "replay": "services.replay",
    "price": "services.price",
    "control": "services.control",
    "sim-feed": "services.simulators.feed",
}
LOGS = ("mid_prices.log", "errors.log")
HISTORY_TARGETS: Mapping[str, float] = {
    "replay engine": 6,
    "price engine": 6,
    "redis": 2,
    "replay": 1.5,
    "price": 1.5,
}
"""What random kills hit, and how often: servers take longer to come back."""
REFUSED = 2
GAVE_UP = 1
POLL_S = 0.004
OVERLAP_BYTES = 65_536


def can_see_processes() -> bool:
    """Whether engines can be found below their servers (Linux)."""
    return Path("/proc/self/task").is_dir()


def children_of(pid: int) -> list[int]:
    """Process ids of the direct children of `pid`; empty when it is gone."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def engine_of(pid: int, module: str) -> int | None:
    """Process id of the engine below the server `pid`; None while there is none."""
    for child in children_of(pid):
        with contextlib.suppress(OSError):
            if f"{module}.engine".encode() in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                return child
    return None


class Oracle(Protocol):
    """Both logs of an undisturbed run."""

    @property
    def mid_log(self) -> bytes: ...
    @property
    def error_log(self) -> bytes: ...


@dataclass(frozen=True)
class Fault:
    """One thing that was done to a process."""

    at_s: float
    what: str
    target: str
    pid: int
    log_bytes: int

    def __str__(self) -> str:
        return f"{self.at_s:8.3f} s  {self.what:<8} {self.target:<14} pid {self.pid:<8} logs at {self.log_bytes} bytes"


class Server:
    """One server process and its restarts."""

    def __init__(self, name: str, directory: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.environment = environment
        self.ready_file = directory / f"{name}.json"
        self.log = directory / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        directory.mkdir(parents=True, exist_ok=True)
        self._log_file: IO[bytes] = self.log.open("ab")

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        process = self.process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def code(self) -> int | None:
        """Exit code once it ended."""
        return None if self.process is None else self.process.poll()

    @property
    def engine_pid(self) -> int | None:
        """Process id of its engine while there is one."""
        return None if self.pid is None else engine_of(self.pid, MODULES[self.name])

    def start(self) -> None:
        self.ready_file.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            dying_with_parent([sys.executable, "-m", MODULES[self.name]]),
            cwd=ROOT,
            env=clean_environment({**self.environment, "MIDSTREAM_READY_FILE": str(self.ready_file)}),
            stdin=subprocess.DEVNULL,
            stdout=self._log_file,
            stderr=self._log_file,
            start_new_session=True,
        )
        self.starts += 1

    def announcement(self) -> dict[str, Any]:
        """What it said when it served; empty before."""
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads(self.ready_file.read_text()))
        return {}

    def stop(self, timeout_s: float = 30.0) -> tuple[int, float]:
        """SIGTERM; return the exit code and how long it took."""
        assert self.process is not None
        began_s = time.monotonic()
        self.process.terminate()
        code = self.process.wait(timeout_s)
        self.process = None
        return code, time.monotonic() - began_s

    def kill(self) -> None:
        """Make sure that it is gone; its engine goes with it."""
        if self.process is not None:
            if self.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.process.pid, signal.SIGCONT)
                self.process.kill()
            self.process.wait(timeout=10)

    def close(self) -> None:
        self.kill()
        self._log_file.close()

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Chaos:
    """A session under attack. Use as a context manager; on failure it prints seed, faults and the directory."""

    def __init__(
        self,
        directory: Path,
        *,
        seed: int,
        append_only: bool = False,
        servers: Sequence[str] = ("replay", "price"),
        redis_options: Sequence[str] = (),
        **settings: str,
    ) -> None:
        self.directory = directory
        self.out = directory / "out"
        self.seed = seed
        self.random = Random(seed)
        self.faults: list[Fault] = []
        self.keys = SessionKeys("default")
        self._began_s = time.monotonic()
        directory.mkdir(parents=True, exist_ok=True)
        self.redis = RedisForTests(directory / "redis", append_only=append_only, extra=redis_options)
        environment = {
            "MIDSTREAM_REDIS_URL": self.redis.url,
            "MIDSTREAM_OUT": str(self.out),
            # A sink that a busy machine takes long to restart still has to be waited for.
            "MIDSTREAM_SINK_GRACE": "30",
            "MIDSTREAM_LOG_LEVEL": "info",
            **{f"MIDSTREAM_{name}": value for name, value in settings.items()},
        }
        for name in MODULES:
            prefix = f"MIDSTREAM_{name.upper().replace('-', '_')}"
            environment |= {f"{prefix}_PORT": "0", f"{prefix}_METRICS_PORT": "0"} | {
                key: value for key, value in environment.items() if key.startswith(prefix)
            }
        self.servers = {name: Server(name, directory, dict(environment)) for name in servers}
        self._client = self.redis.client()
        self.restarted_after_give_up = 0

    def __enter__(self) -> Chaos:
        self.tend()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self.servers.values():
            server.close()
        self.redis.stop()
        self._client.close()
        if kind is not None:
            print(f"seed {self.seed}, files kept in {self.directory}, {len(self.faults)} faults:")  # noqa: T201
            print("\n".join(map(str, self.faults)))  # noqa: T201
            for server in self.servers.values():
                print(  # noqa: T201
                    f"--- {server.name} (started {server.starts} times), last lines of {server.log}:\n{server.tail()}"
                )

    # Supervision

    def tend(self) -> None:
        """Start what is not running. A server that refuses has found something wrong, which fails the test."""
        if self.redis.running.poll() is not None:
            self.redis.restart()
        for server in self.servers.values():
            if server.pid is None:
                code = server.code
                if code is not None:
                    assert code != REFUSED, f"{server.name} refused: {server.tail(3)}"
                    assert code in (GAVE_UP, -signal.SIGKILL), f"{server.name} ended with {code}: {server.tail()}"
                    # Engines that are killed faster than they start use up their restarts.
                    self.restarted_after_give_up += code == GAVE_UP
                server.start()

    def tend_for(self, seconds: float) -> None:
        """Keep everything running for a while."""
        deadline_s = time.monotonic() + seconds
        while True:
            self.tend()
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return
            time.sleep(min(left_s, POLL_S))

    def until(self, condition: Callable[[], Any], *, what: str, timeout_s: float = 30.0, tend: bool = True) -> Any:
        """Poll until `condition` returns something true, keeping everything running meanwhile; return that."""
        deadline_s = time.monotonic() + timeout_s
        while not (found := condition()):
            if time.monotonic() > deadline_s:
                raise AssertionError(f"{what} did not happen within {timeout_s:g} s")
            if tend:
                self.tend()
            time.sleep(POLL_S)
        return found

    # Faults

    def pid_of(self, target: str) -> int | None:
        """Process id of `target`: redis, a server, or "<server> engine"; None while it does not run."""
        if target == "redis":
            return self.redis.pid if self.redis.running.poll() is None else None
        name, _, engine = target.partition(" ")
        server = self.servers[name]
        return server.engine_pid if engine else server.pid

    def another(self, name: str, **settings: str) -> Server:
        """Start one more server like one of ours, with other settings; the caller closes it."""
        environment = {f"MIDSTREAM_{key}": value for key, value in settings.items()}
        server = Server(name, self.directory / "another", {**self.servers[name].environment, **environment})
        server.start()
        return server

    def stop(self, name: str) -> float:
        """SIGTERM to a server, which has to end in order; return how long it took."""
        server = self.servers[name]
        pid = server.pid
        assert pid is not None
        self.faults.append(Fault(time.monotonic() - self._began_s, "sigterm", name, pid, self.log_bytes()))
        code, took_s = server.stop()
        assert code == 0, f"{name} ended with {code}: {server.tail()}"
        return took_s

    def kill(self, target: str) -> bool:
        """kill -9; False when it does not run."""
        pid = self.pid_of(target)
        if pid is None or not self._signal("kill -9", target, pid, signal.SIGKILL):
            return False
        if target == "redis":
            self.redis.kill()
        elif " " not in target:
            process = self.servers[target].process
            assert process is not None
            process.wait(timeout=10)
        return True

    @contextlib.contextmanager
    def suspended(self, target: str) -> Iterator[bool]:
        """SIGSTOP for the length of a block; yields whether there was anything to suspend."""
        pid = self.pid_of(target)
        done = pid is not None and self._signal("sigstop", target, pid, signal.SIGSTOP)
        try:
            yield done
        finally:
            if done and pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _signal(self, what: str, target: str, pid: int, number: signal.Signals) -> bool:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        self.faults.append(Fault(time.monotonic() - self._began_s, what, target, pid, self.log_bytes()))
        return True

    def rampage(
        self, count: int, *, targets: Mapping[str, float] = HISTORY_TARGETS, delay_s: float = 0.3
    ) -> Counter[str]:
        """Do `count` random things, half of them just after ticks flowed; return how often each was done."""
        names, weights = list(targets), list(targets.values())
        done: Counter[str] = Counter()
        while done.total() < count:
            target = self.random.choices(names, weights)[0]
            if self.random.random() < 0.5:
                self._wait_for_output()
                self.tend_for(self.random.choice((0.0, 0.002, 0.02, 0.1)) * self.random.random())
            else:
                self.tend_for(self.random.random() * delay_s)
            if self.random.random() < 0.85:
                if self.kill(target):
                    done[f"kill {target}"] += 1
            elif self._suspend_for_a_while(target):
                done[f"suspend {target}"] += 1
        return done

    def _suspend_for_a_while(self, target: str) -> bool:
        with self.suspended(target) as done:
            if done:
                # Only Redis may be away while others die: a suspended engine would keep its claim on the session.
                victims = ("replay engine", "price engine") if target == "redis" else ()
                if victims and self.random.random() < 0.5:
                    self.kill(self.random.choice(victims))
                time.sleep(self.random.random() * 0.3)
        return done

    def _wait_for_output(self, timeout_s: float = 3.0) -> None:
        """Wait until the logs grow; not for ever, because there may be nothing left to write."""
        before, deadline_s = self.log_bytes(), time.monotonic() + timeout_s
        while self.log_bytes() <= before and time.monotonic() < deadline_s and not self._completed():
            self.tend()
            time.sleep(POLL_S)

    # What is there

    def log_bytes(self) -> int:
        """How much both logs hold."""
        return sum(path.stat().st_size for name in LOGS if (path := self.out / name).exists())

    def state(self) -> dict[str, Any]:
        """The engine's last report; empty before the first and while Redis is away."""
        return self._json(lambda: self._client.get(self.keys.state))

    def sink(self) -> dict[str, Any]:
        """The sink's last announcement; empty before the first and while Redis is away."""
        return self._json(lambda: self._client.hget(self.keys.sinks, "price"))

    def _json(self, read: Callable[[], Any]) -> dict[str, Any]:
        if self.redis.running.poll() is not None:
            return {}
        try:
            found = read()
        except (redis.RedisError, OSError):
            return {}
        return dict(json.loads(found)) if found else {}

    def _completed(self) -> bool:
        state, sink = self.state(), self.sink()
        return bool(
            state.get("state") == "COMPLETED"
            and sink
            and sink["epoch"] == state["epoch"]
            and sink["sequence"] >= state["last_sequence"]
        )

    def complete(self, *, timeout_s: float = 60.0) -> dict[str, Any]:
        """Let everything run until the sink has committed the last record; return its announcement."""
        self.until(self._completed, what="the end of the replay", timeout_s=timeout_s)
        return self.sink()

    def complete_at_full_speed(self, *, timeout_s: float = 60.0) -> dict[str, Any]:
        """Restart the replay server with full speed, then `complete`."""
        server = self.servers["replay"]
        server.environment["MIDSTREAM_SPEED"] = "max"
        self.kill("replay")
        return self.complete(timeout_s=timeout_s)


def assert_logs_exact(out: Path, expected: Oracle) -> None:
    """Compare both logs byte for byte."""
    for name, wanted in zip(LOGS, (expected.mid_log, expected.error_log), strict=True):
        found = (out / name).read_bytes()
        assert found == wanted, difference(name, found, wanted)


def assert_exact(out: Path, expected: Expected, sink: Mapping[str, Any]) -> None:
    """Compare both logs byte for byte, and the sink's counts and digest."""
    assert_logs_exact(out, expected)
    counts = {name: sink["counts"][name] for name in ("mids", "latency_filtered", "missing_side", "rejected")}
    assert counts == {name: getattr(expected.counts, name) for name in counts}
    assert sink["counts"]["markers"] == 0
    assert sink["digest"] == expected.digest


def difference(name: str, found: bytes, wanted: bytes) -> str:
    """Say where two logs differ without printing all of them."""
    ours, theirs = found.splitlines(), wanted.splitlines()
    pairs = enumerate(zip(ours, theirs, strict=False))
    line = next((number for number, pair in pairs if pair[0] != pair[1]), min(len(ours), len(theirs)))
    return (
        f"{name}: {len(ours)} lines instead of {len(theirs)}, different from line {line + 1} on: "
        f"{ours[line : line + 2]} instead of {theirs[line : line + 2]}"
    )


class TailReader:
    """Reads both logs all the time, as `tail -f` would, and holds what it sees against the oracle."""

    def __init__(self, out: Path, expected: Oracle) -> None:
        self._paths = [
            (out / name, wanted) for name, wanted in zip(LOGS, (expected.mid_log, expected.error_log), strict=True)
        ]
        self._seen = [0, 0]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, name="tail-reader", daemon=True)
        self.violations: list[str] = []
        self.reads = 0

    def __enter__(self) -> TailReader:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def assert_clean(self) -> None:
        """Every look at the logs showed the beginning of the oracle."""
        assert not self.violations, self.violations[:3]
        assert self.reads > 0

    def _read(self) -> None:
        while not self._stopping.wait(0.01):
            for number, (path, wanted) in enumerate(self._paths):
                with contextlib.suppress(FileNotFoundError), path.open("rb") as log:
                    # What was there may have been cut off and written again, so a part of it is read again.
                    start = max(0, min(self._seen[number], os.fstat(log.fileno()).st_size) - OVERLAP_BYTES)
                    log.seek(start)
                    found = log.read()
                    self.reads += 1
                    if wanted[start : start + len(found)] != found:
                        self.violations.append(
                            f"{path.name} from byte {start}: {difference(path.name, found, wanted[start:])}"
                        )
                    self._seen[number] = start + len(found)
