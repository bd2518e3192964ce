"""Run one replay engine as a child process: wire it up, replay, drain when told to stop."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from random import Random
from typing import TYPE_CHECKING, Final, NoReturn

import redis

from fastpath.records import Cursor
from services.replay.engine.config import EngineConfig, parse_config
from services.replay.engine.engine import Engine
from services.replay.engine.figures import EngineFigures
from services.replay.engine.journal import JournalTail
from services.replay.engine.pacing import WakeableWaiter, use_precise_timers
from services.replay.engine.ports import RecordedSource
from services.replay.engine.reporter import StateReporter
from services.replay.engine.time_debt import TimeDebtExceeded
from services.replay.queue import Fenced, Publisher
from services.replay.queue.patience import SHARED_WAIT_S, WAIT_S_MIN
from services.replay.queue.pipeline import LINGER_NS, SHARED_LINGER_NS
from services.replay.sources import HistoricalSource, SourceFailed
from services.runtime.clock import SystemClock
from services.runtime.connection import connect
from services.runtime.engine_channel import EngineChannel, run_engine
from services.runtime.errors import StartRefused
from services.runtime.log_fields import fields
from services.runtime.logs import start_logs
from services.runtime.private_files import keep_files_private
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partitions import ChosenTickers
from services.runtime.tracing import start_tracing, stop_tracing

if TYPE_CHECKING:
    from services.replay.engine.live import LiveSource

logger = logging.getLogger(__name__)

DRAIN_S: Final = 4.5
"""An engine that was told to stop is gone after this long; what is not acknowledged is settled at the next start."""
REPORT_S: Final = 1.0
FLUSH_S: Final = 0.5
"""For what is left of traces at the end; the engine is told to be gone soon."""
SWITCH_INTERVAL_S: Final = 0.001
"""Threads hand the interpreter over this fast: the pacing thread must not wait 5 ms for one that writes a report."""


def main() -> NoReturn:
    """Run one engine until it ends, and end the process with its exit code."""
    code = run_engine(_run)
    logging.shutdown()
    sys.stderr.flush()
    # Not sys.exit: a thread that waits for a name server would hold the process.
    os._exit(code)


def _run(channel: EngineChannel) -> int:
    config = parse_config(channel.config)
    keep_files_private()
    start_logs("replay-engine", config.logs)
    start_tracing("replay-engine", config.tracing, service="replay", stage=config.logs.stage)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # A handler runs in the thread that waits for the very events it would set, so another thread sets them.
    signal.signal(
        signal.SIGTERM, lambda _number, _frame: threading.Thread(target=channel.request_stop, daemon=True).start()
    )
    wiring = _Wiring(channel, config)
    try:
        return _replay(wiring)
    finally:
        wiring.close()
        stop_tracing(within_s=FLUSH_S)


def _replay(wiring: _Wiring) -> int:
    config, channel = wiring.config, wiring.channel
    try:
        wiring.reporter.start()
        use_precise_timers()
        # What is there now stays to the end: looking through it for garbage would take 10 ms in the midst of pacing.
        gc.freeze()
        wiring.engine.run()
    except StartRefused:
        raise
    except Fenced as exc:
        logger.error("another producer took over the session", extra=fields(session=config.session, reason=exc))
        channel.report("error", message=f"another producer took over session {config.session}")
        return 1
    except TimeDebtExceeded as exc:
        logger.error("replay is too far behind its clock", extra=fields(session=config.session, reason=exc))
        channel.report("failed", message=str(exc))
        return 1
    except SourceFailed as exc:
        logger.error("replay failed", extra=fields(reason=exc))
        channel.report("error", message=str(exc))
        return 1
    return 0


class _Wiring:
    """The engine and everything around it."""

    def __init__(self, channel: EngineChannel, config: EngineConfig) -> None:
        self.channel = channel
        self.config = config
        clock, random, keys = SystemClock(), Random(), SessionKeys(config.session, config.partition.number)
        self._wake, self._interrupt = threading.Event(), threading.Event()
        self._sources: list[HistoricalSource] = []
        self.report = EngineFigures(
            config.session,
            historical_configured=bool(config.historical),
            live_configured=bool(config.live_url),
            reading=config.reading,
            acknowledged=config.acknowledged.value,
            partition=config.partition.number,
            partitions=config.partition.of.count,
        )
        self.reporter = StateReporter(
            self.report,
            connect=lambda: self._connect("state"),
            keys=keys,
            tell=channel.report,
            clock=clock,
            overdue=self._interrupt_engine,
        )
        self._journal = JournalTail(lambda: self._connect("journal"), keys, wake=self._interrupt_engine, random=random)
        publisher = Publisher(
            url=config.redis_url,
            keys=keys,
            limits=config.limits,
            sinks=config.sinks,
            live_configured=bool(config.live_url),
            stopping=channel.stopping,
            clock=clock,
            random=random,
            on_state=lambda _state: self.reporter.changed(),
            acknowledged=config.acknowledged,
            durable_engine=config.durable_engine,
            owner=config.owner,
            linger_ns=LINGER_NS if config.partition.is_all else SHARED_LINGER_NS,
            room_wait_s=WAIT_S_MIN if config.partition.is_all else SHARED_WAIT_S,
        )
        live = self._live_source(clock, random) if config.live_url else None
        self.report.queue, self.report.live = publisher, live
        self.engine = Engine(
            beginning=config.beginning,
            publisher=publisher,
            open_historical=self._open_historical if config.historical else None,
            live=live,
            live_tickers_max=config.live_tickers_max,
            partitioned=not config.partition.is_all,
            pace=config.pace,
            proving=config.proving,
            journal=self._journal,
            report=self.report,
            changed=self.reporter.changed,
            clock=clock,
            waiter=WakeableWaiter(self._wake, clock),
            wake=self._wake,
            interrupt=self._interrupt,
            stopping=channel.stopping,
        )
        channel.on_stop(self._on_stop)

    def close(self) -> None:
        """Say a last word and end the threads."""
        self._journal.stop()
        self.reporter.stop(REPORT_S)

    def _live_source(self, clock: SystemClock, random: Random) -> LiveSource:
        # Only here: an engine that replays files alone starts without the websocket library.
        from services.replay.engine.live_feed import LIVE_RANK, open_live_source

        config = self.config
        only = frozenset(config.options.tickers)
        return open_live_source(
            config.live_url,
            clock=clock,
            random=random,
            message_bytes_max=config.live_message_bytes_max,
            tickers=ChosenTickers(config.partition, only) if only or not config.partition.is_all else None,
            rejections_elsewhere=not config.partition.has_source(LIVE_RANK),
            limits=config.feed_limits,
        )

    def _open_historical(self, resume: Cursor | None, *, growing: bool = False) -> RecordedSource:
        config = self.config
        source = HistoricalSource(
            config.historical,
            config.options,
            resume=resume,
            growing=growing,
            cache_dir=config.cache_dir,
            temp_dir=config.temp_dir,
        )
        # The one before may be in use for as long as a position is looked for in this one.
        self._sources[:] = [*self._sources[-1:], source]
        source.open()
        return source

    def _connect(self, purpose: str) -> redis.Redis:
        return connect(self.config.redis_url, client_name=f"midstream-replay-{purpose}-{os.getpid()}")

    def _interrupt_engine(self) -> None:
        self._interrupt.set()
        self._wake.set()

    def _on_stop(self) -> None:
        self._interrupt_engine()
        for source in self._sources:
            source.interrupt()
        watchdog = threading.Timer(DRAIN_S, self._give_up)
        watchdog.daemon = True
        watchdog.start()

    @staticmethod
    def _give_up() -> None:
        logger.warning("not drained in time; the rest is settled at the next start", extra=fields(waited_s=DRAIN_S))
        os._exit(0)
