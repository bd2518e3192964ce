"""Run one sink as a child process: take its partition or the directory's lock, consume, report."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final
from uuid import uuid4

from services.price.engine.claim import SinkClaim
from services.price.engine.disk import PRIVATE_DIRECTORY
from services.price.engine.kept_memory import keep_freed_memory
from services.price.engine.lock import DirectoryLock
from services.price.engine.options import EngineOptions
from services.price.engine.position import Position
from services.price.engine.segments import open_lock
from services.price.engine.sink import Sink
from services.price.engine.take_over import take_over
from services.price.engine.wake import Waker
from services.runtime.clock import SystemClock
from services.runtime.engine_channel import EngineChannel, run_engine
from services.runtime.errors import StartRefused, cannot_start
from services.runtime.logs import LogOptions, start_logs

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
    with contextlib.ExitStack() as stack:
        hold: SinkClaim | None = None
        begin: Position | None = None
        if options.partition is None:
            if not _take_lock(_open_lock(options.out), options, channel):
                return 0
        else:
            keep_freed_memory()
            hold = SinkClaim(options.redis_url, options.keys, options.sink, token=uuid4().hex, owner=options.owner)
            stack.callback(hold.release)
            segment = take_over(options, hold, channel)
            if segment is None:
                return 0
            # Before the lease: whoever takes the partition over may go on in the same directory.
            stack.callback(segment.lock.release)
            options, begin = replace(options, out=segment.directory), segment.begin
        return _open_sink(options, channel, waker, hold, begin).run()


def _open_sink(
    options: EngineOptions, channel: EngineChannel, waker: Waker, hold: SinkClaim | None, begin: Position | None
) -> Sink:
    try:
        return Sink(
            options,
            report=channel.report,
            stopping=channel.stopping,
            waker=waker,
            clock=SystemClock(),
            random=Random(),
            hold=hold,
            begin=begin,
        )
    except OSError as exc:
        raise cannot_start(
            exc,
            f"cannot write to `{options.out}`: {exc.strerror or exc}; make it writable or choose another MIDSTREAM_OUT",
        ) from exc


def _open_lock(out: Path) -> DirectoryLock:
    try:
        return open_lock(out)
    except OSError as exc:
        raise cannot_start(
            exc,
            f"cannot create `{out / PRIVATE_DIRECTORY}`: {exc.strerror or exc}; make it writable or choose another MIDSTREAM_OUT",
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
