"""A private Redis beside us, for those who have none: on a unix socket, never evicting, gone when we are."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Final

import redis

from services.runtime import parent_death, redis_data
from services.runtime.child_python import bare_command
from services.runtime.connection import connect
from services.runtime.descriptors import raise_descriptors
from services.runtime.errors import StartRefused
from services.runtime.private_files import UMASK, make_private_below, open_private, private_directory, private_opener
from services.runtime.redis_binary import Engine, find_engine

START_S: Final = 5.0
"""Bound on the first answer to PING."""

LOADING_S: Final = 120.0
"""Bound on reading an append-only file back; Redis answers LOADING meanwhile."""

LOG_LINES: Final = 8
"""Last lines of Redis' log in the error of a failed start."""

DEAD_SOCKET_AGE_S: Final = 3600.0
"""Age at which the socket of a killed Redis is removed by the next one that starts."""

_SOCKET_PREFIX: Final = "midstream-redis-"

_FOREIGN_ADVICE: Final = re.compile(r": make a backup .*-check-(?:aof|rdb) .*")
"""What Redis advises for damaged files names programs that nobody has who uses ours."""


class EmbeddedRedis:
    """One running redis-server of ours. It is killed when this process ends, however that happens."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        engine: Engine,
        socket_directory: Path,
        log_path: Path,
        lock: TextIOWrapper,
    ) -> None:
        self._process = process
        self._engine = engine
        self._lock = lock
        self._socket_directory = socket_directory
        self.log_path = log_path
        self.url = f"unix://{socket_directory / 'redis.sock'}"
        self.pid = process.pid
        self.notes: tuple[str, ...] = ()
        """What people should know of how it found its files."""

    @classmethod
    def start(cls, directory: Path, *, append_only: bool, extra: Sequence[str] = ()) -> EmbeddedRedis:
        """Start a Redis whose files live in `directory`, and wait until it answers (blocking; bounded).

        With `append_only` its data survives a restart in the same directory, losing at most the last second. A restart in
        the same directory has the same URL, so that clients come back by themselves; a second Redis there is refused.
        `extra` are further redis-server arguments.
        """
        # Redis takes 10,000 clients where it may, and refuses all but a few where this process may not open more files.
        raise_descriptors()
        engine = find_engine()
        make_private_below(private_directory(directory))
        directory = directory.resolve()
        log_path = directory / "redis.log"
        lock = _lock(directory)
        found = None
        try:
            if append_only:
                found = redis_data.admit(engine, directory)
                redis_data.record(engine, directory)
        except BaseException:
            lock.close()
            raise
        socket_directory = _socket_directory(directory)
        command = [
            str(engine.path),
            *("--port", "0"),
            *("--unixsocket", str(socket_directory / "redis.sock")),
            *("--unixsocketperm", "700"),
            *("--dir", str(directory)),
            *("--save", ""),
            *("--appendonly", "yes" if append_only else "no"),
            *("--appendfsync", "everysec"),
            *("--maxmemory-policy", "noeviction"),
            *("--daemonize", "no"),
            *extra,
        ]
        try:
            process = _spawn(command, log_path)
        except OSError as exc:
            shutil.rmtree(socket_directory, ignore_errors=True)
            lock.close()
            raise StartRefused(f"cannot start {engine.path}: {exc.strerror or exc}") from exc
        embedded = cls(process, engine, socket_directory, log_path, lock)
        try:
            embedded._wait_until_ready(append_only)
            if found is not None:
                embedded.notes = redis_data.notes(found)
        except BaseException:
            embedded.stop(timeout_s=0.0)
            raise
        return embedded

    def poll(self) -> int | None:
        """Return the exit code when Redis has ended (negative: killed by that signal), None while it runs."""
        code = self._process.poll()
        if code is not None:
            # Whoever learns of the end may start the next one in the same directory.
            self._lock.close()
        return code

    def stop(self, timeout_s: float = 5.0) -> None:
        """End Redis, in order if it manages within `timeout_s`; harmless when repeated."""
        deadline_s = time.monotonic() + timeout_s
        # Repeated, because Redis forgets a SIGTERM that comes while it writes its first append-only file.
        while self._process.poll() is None and (left_s := deadline_s - time.monotonic()) > 0:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(min(left_s, 0.25))
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if not self._lock.closed:
            shutil.rmtree(self._socket_directory, ignore_errors=True)
            self._lock.close()

    def _wait_until_ready(self, append_only: bool) -> None:
        client = connect(self.url, client_name="midstream-embedded", timeout_s=1.0)
        begun_s = time.monotonic()
        limit_s = START_S
        try:
            while True:
                if self._process.poll() is not None:
                    ways_on = redis_data.ways_on(self._engine, self.log_path.parent) if append_only else ""
                    raise StartRefused(
                        f"Redis ended at once with code {self._process.returncode}: {self._last_lines()}.{ways_on}"
                    )
                try:
                    client.ping()
                except redis.BusyLoadingError:
                    limit_s = LOADING_S
                except (redis.RedisError, OSError):
                    pass
                else:
                    return
                if time.monotonic() - begun_s > limit_s:
                    raise StartRefused(f"Redis does not answer after {limit_s:g} s: {self._last_lines()}")
                time.sleep(0.005)
        finally:
            client.close()

    def _last_lines(self) -> str:
        try:
            lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        except OSError:
            lines = []
        return f"last lines of {self.log_path}: " + (
            " | ".join(_FOREIGN_ADVICE.sub("", line.strip()) for line in lines) or "(empty)"
        )


def _short_temp_directory() -> Path:
    """Return /tmp where it can be written, because TMPDIR may be long (on macOS it is)."""
    return Path("/tmp" if os.access("/tmp", os.W_OK | os.X_OK) else tempfile.gettempdir())


def _lock(directory: Path) -> TextIOWrapper:
    """Hold the data directory for as long as this process lives: two servers would ruin one append-only file."""
    lock = os.fdopen(open_private(directory / "redis.lock", os.O_WRONLY | os.O_APPEND), "a", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        lock.close()
        raise StartRefused(
            f"{directory} is in use by the Redis of another process: stop that one, or choose another MIDSTREAM_OUT"
        ) from exc
    return lock


def _socket_directory(directory: Path) -> Path:
    """Return a private directory for the socket, the same for the same data directory wherever possible."""
    # A socket path holds at most 107 bytes, so it cannot live below an arbitrary directory.
    parent_directory = _short_temp_directory()
    _remove_dead_sockets(parent_directory)
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    chosen = parent_directory / f"{_SOCKET_PREFIX}{os.getuid()}-{digest}"
    with contextlib.suppress(FileExistsError):
        chosen.mkdir(mode=0o700)
    found = chosen.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) == 0o700:
        return chosen
    # Somebody else took the name, which anybody can guess.
    return Path(tempfile.mkdtemp(prefix=_SOCKET_PREFIX, dir=parent_directory))


def _remove_dead_sockets(parent_directory: Path) -> None:
    """Remove what a Redis of ours left behind when it was killed: an old directory with a socket nobody listens on."""
    for directory in parent_directory.glob(_SOCKET_PREFIX + "*"):
        with contextlib.suppress(OSError):
            found = directory.lstat()
            # A young one may be about to be used again by its owner.
            old = time.time() - found.st_mtime > DEAD_SOCKET_AGE_S
            if old and found.st_uid == os.getuid() and _nobody_listens(directory / "redis.sock"):
                shutil.rmtree(directory, ignore_errors=True)


def _nobody_listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            # Unlike a missing socket, which may be that of a Redis about to start.
            return True
    return False


def _spawn(command: Sequence[str], log_path: Path) -> subprocess.Popen[bytes]:
    """Start the process so that it dies with this one.

    The kernel ties the child to the thread that forked it; from any other thread than the main one, a thread is started
    that lives as long as the child.
    """
    if threading.current_thread() is threading.main_thread():
        return _popen(command, log_path)
    started = threading.Event()
    outcome: list[subprocess.Popen[bytes] | OSError] = []

    def keep() -> None:
        try:
            process = _popen(command, log_path)
        except OSError as exc:
            outcome.append(exc)
            started.set()
            return
        outcome.append(process)
        started.set()
        process.wait()

    threading.Thread(target=keep, name="embedded-redis", daemon=True).start()
    started.wait()
    result = outcome[0]
    if isinstance(result, OSError):
        raise result
    return result


def _popen(command: Sequence[str], log_path: Path) -> subprocess.Popen[bytes]:
    with open(log_path, "ab", opener=private_opener) as log:
        process = subprocess.Popen(
            parent_death.dying_with_parent(command) if parent_death.available() else list(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A group of its own: Ctrl-C goes to us, and Redis outlives the servers that still drain.
            process_group=0,
            umask=UMASK,
        )
    if not parent_death.available():
        _guard(process.pid)
    return process


def _guard(pid: int) -> None:
    """Start a tiny process that kills `pid` when its stdin ends, which is when this process does."""
    subprocess.Popen(
        bare_command(f"import os,sys; sys.stdin.read(); os.kill({pid}, 9)"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
