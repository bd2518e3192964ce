"""Run one sink as a child process: take the directory's lock, consume, report."""

from __future__ import annotations

import logging
from pathlib import Path
from random import Random
from typing import Final

from services.price.engine.disk import PRIVATE_DIRECTORY
from services.price.engine.lock import DirectoryLock
from services.price.engine.options import EngineOptions
from services.price.engine.sink import Sink
from services.price.engine.wake import Waker
from services.runtime.clock import SystemClock
from services.runtime.engine_channel import EngineChannel, run_engine
from services.runtime.errors import StartRefused, cannot_start
from services.runtime.logs import LogOptions, start_logs
from services.runtime.private_files import make_private, private_directory

logger = logging.getLogger(__name__)

STANDBY_POLL_S: Final = 0.1
STANDBY_REPORT_POLLS: Final = 50


def main() -> int:
    return run_engine(_run)


def _run(channel: EngineChannel) -> int:
    start_logs("price-engine", LogOptions.of(channel.config))
    options = EngineOptions.from_config(channel.config)
    waker = Waker()
    channel.on_stop(waker.wake)
    lock = _open_lock(options.out)
    if not _take_lock(lock, options, channel):
        return 0
    try:
        sink = Sink(
            options, report=channel.report, stopping=channel.stopping, waker=waker, clock=SystemClock(), random=Random()
        )
    except OSError as exc:
        raise cannot_start(
            exc,
            f"cannot write to `{options.out}`: {exc.strerror or exc}; make it writable or choose another MIDSTREAM_OUT",
        ) from exc
    return sink.run()


def _open_lock(out: Path) -> DirectoryLock:
    directory = out / PRIVATE_DIRECTORY
    try:
        private_directory(directory)
        make_private(directory / "lock", directory / "position")
        return DirectoryLock(directory)
    except OSError as exc:
        raise cannot_start(
            exc, f"cannot create `{directory}`: {exc.strerror or exc}; make it writable or choose another MIDSTREAM_OUT"
        ) from exc


def _take_lock(lock: DirectoryLock, options: EngineOptions, channel: EngineChannel) -> bool:
    """Hold the lock, after standing by if need be; False when stopped meanwhile."""
    polls = 0
    while not lock.acquire():
        reason = f"`{options.out}` is written by {lock.holder()}"
        if not options.lock_wait:
            raise StartRefused(f"{reason}; stop it, or write to another directory")
        if polls % STANDBY_REPORT_POLLS == 0:
            channel.report("standby", reason=f"standing by: {reason}")
        polls += 1
        if channel.stopping.wait(STANDBY_POLL_S):
            return False
    return True
