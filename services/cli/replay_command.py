"""`midstream replay`: one shot, from files to logs, through the real servers and a Redis of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from services.cli.fleet import PRIVATE, Watcher, child, nursery_for
from services.cli.interruption import Interruption
from services.cli.nursery import Nursery
from services.cli.options import ReplayOptions, in_option_names
from services.cli.output import ExitCode, error_object, fail
from services.cli.parted_report import print_partitions, with_partitions
from services.cli.progress import ProgressDisplay
from services.cli.redis_url import usable_redis_url
from services.cli.report import Report, build_report, print_report
from services.cli.run_directory import DirectoryRefused, RunDirectory
from services.cli.session_start import prepare_session
from services.cli.supervisor import ChildFailed, ChildPostponed, ChildRefused, Supervisor
from services.cli.terminal import say, write
from services.cli.verdict import judge, unaccounted, unaccounted_lines
from services.replay.sources.inputs import open_inputs
from services.replay.sources.latency_kernels import source_latencies
from services.runtime.embedded import EmbeddedRedis
from services.runtime.errors import StartRefused
from services.runtime.scratch import scratch_directory
from services.runtime.session.announcement import SinkAnnouncement
from services.runtime.session.partitions import Partitioning
from services.runtime.session.report import EngineReport, EngineState
from services.runtime.session.versions import NewerVersion

COMPLETE, FAILED, REFUSED = ExitCode.COMPLETE, ExitCode.FAILED, ExitCode.REFUSED
QUIET_S = 0.5
"""An end that takes longer than this is spoken about."""
SIGNAL = 128
"""What is added to the number of a signal."""
SINK = "price"
PROCESSES = ("replay", "price")
POLL_S = 0.05
"""A look costs a core a few hundred microseconds, which the replay itself wants."""
HIGH_BYTES = 16 * 1024 * 1024
RETAIN_BYTES = 8 * 1024 * 1024
"""A private Redis has one reader, which is not late: hold little, so that its memory stays small, and does not grow with the input. Less
unread than this would leave the reader without work while its commits, of up to 10 MiB together, are under way."""


REFUSALS = (ChildRefused, StartRefused, NewerVersion)


class Repeating(Protocol):
    """A run that was played before, by commands, and is to end in the same bytes."""

    @property
    def partitioning(self) -> Partitioning:
        """Return how its records are spread."""

    def prepare(self, redis_url: str) -> None:
        """Have every command wait for its place, before anything is played."""

    def is_there(self, engine: EngineReport) -> bool:
        """Tell whether an engine has come to where its partition ended."""

    def differences(self, sinks: Sequence[SinkAnnouncement | None]) -> list[str]:
        """Say of each partition what came out otherwise than before; empty where nothing did."""


@dataclass(frozen=True)
class ReplayRun:
    """Where one replay writes and which Redis it uses."""

    options: ReplayOptions
    directory: RunDirectory
    redis_url: str | None
    resume: bool
    overwrite: bool
    as_json: bool
    rerun: Repeating | None = None
    """What is repeated; None is a run of its own, to the end of the files."""

    @property
    def command(self) -> str:
        """Name the command that this is."""
        return "midstream replay" if self.rerun is None else "midstream rerun"

    @property
    def way_on(self) -> str:
        """Say how somebody goes on who was interrupted."""
        return "continue with --resume" if self.rerun is None else "begin again with --overwrite"


def run_replay(run: ReplayRun) -> int:
    """Replay and return the exit code; says on stdout (`--json`: one object) what came of it, on stderr what went wrong."""
    try:
        # What can be known without starting anything is said at once.
        run.options.check_pace()
        historical = run.options.historical()
        inputs = open_inputs(run.options.files)
        for opened in inputs:
            opened.close()
        latencies = [one.digest for one in source_latencies(historical, [opened.name for opened in inputs])]
        with (
            nursery_for(PROCESSES) as nursery,
            run.directory.prepared(
                run.options,
                inputs,
                resume=run.resume,
                overwrite=run.overwrite,
                refusals=REFUSALS,
                latencies=latencies,
            ),
        ):
            with Interruption() as interruption:
                code, report = asyncio.run(_replay(run, interruption, nursery))
                _finish(run, SIGNAL + interruption.number if interruption.number else code, report)
                if interruption.number:
                    code = SIGNAL + interruption.number
                    say(f"interrupted: everything written is committed; {run.way_on}")
                return code
    except DirectoryRefused as exc:
        return _fail(run, str(exc), REFUSED)
    except REFUSALS as exc:
        sentences = [in_option_names(str(exc)), *getattr(exc, "__notes__", ())]
        return _fail(run, "; ".join(sentences), REFUSED)
    except (ChildFailed, OSError, ValueError) as exc:
        # A ValueError is a report in Redis that cannot be read.
        code = ExitCode.POSTPONED if isinstance(exc, ChildPostponed) else FAILED
        return _fail(run, f"{exc}; what is committed stays, {run.way_on}", code)


def _fail(run: ReplayRun, message: str, code: int) -> int:
    return fail(message, code, as_json=run.as_json, command=run.command)


def _finish(run: ReplayRun, code: int, report: Report | None) -> None:
    """Write the report and show it."""
    if report is not None:
        report.write(run.directory.path / "report.json")
        if run.as_json:
            write(json.dumps(asdict(report)))
        else:
            print_report(write, report)
            print_partitions(write, report, run.options.session)
    elif run.as_json:
        write(json.dumps(error_object(f"it ended before anything was committed; {run.way_on}", code)))


async def _replay(run: ReplayRun, interruption: Interruption, nursery: Nursery) -> tuple[int, Report | None]:
    interruption.attach()
    with contextlib.ExitStack() as stack:
        url, private = run.redis_url, None
        scratch = stack.enter_context(scratch_directory())
        if url is None:
            private = _private_redis(scratch)
            stack.callback(private.stop)
            url = private.url
            if run.rerun is not None:
                run.rerun.prepare(url)
        else:
            url = usable_redis_url(url)
            await asyncio.to_thread(
                prepare_session, url, run.options.session, sink=SINK, epoch=run.directory.committed_epoch()
            )
        watcher = Watcher(url, run.options.session, sink=SINK, own_run=True)
        stack.callback(watcher.close)
        specs = [
            child(
                name,
                _environment(run, url, private is not None),
                ready=scratch,
                log=run.directory.server_logs,
                nursery=nursery,
            )
            for name in PROCESSES
        ]
        supervisor = Supervisor(
            specs,
            redis=private,
            restart_redis=lambda: _private_redis(scratch),
            progress=watcher.progress,
            on_event=say,
            all_vital=True,
        )
        return await _supervise(run, supervisor, watcher, interruption)


def _private_redis(scratch: Path) -> EmbeddedRedis:
    # Without an append-only file: recorded ticks can be read again, and the sink knows from where.
    return EmbeddedRedis.start(scratch / "redis", append_only=False)


async def _supervise(
    run: ReplayRun, supervisor: Supervisor, watcher: Watcher, interruption: Interruption
) -> tuple[int, Report | None]:
    display = ProgressDisplay(quiet=run.as_json)
    asked = asyncio.create_task(interruption.asked())
    starting = asyncio.create_task(supervisor.start())
    tasks: list[asyncio.Task[Any]] = [asked]
    code: int = ExitCode.INTERRUPTED
    try:
        if await _first(starting, asked) is not asked:
            watching = asyncio.create_task(supervisor.watch())
            finished = asyncio.create_task(
                _wait_finished(watcher, display, run.directory.drop_replaced, rerun=run.rerun)
            )
            tasks += [watching, finished]
            if await _first(finished, watching, asked) is finished:
                code = finished.result()
    finally:
        display.close()
        for task in tasks:
            task.cancel()
        # A start that is under way is waited for: half a start would leave processes that nobody knows.
        await asyncio.gather(starting, *tasks, return_exceptions=True)
        # The servers stop while Redis still runs, so the last figures are those of the drained sink.
        await _stop_servers(supervisor, interruption)
    engine, sink = await asyncio.to_thread(watcher.both)
    await supervisor.stop()
    if sink is None:
        return code, None
    if engine is not None and engine.state is EngineState.FAILED and code == COMPLETE:
        code = FAILED
    report = build_report(
        run.directory.path,
        engine=engine,
        sink=sink,
        rows_before=watcher.rows_before,
        complete=code == COMPLETE,
        latency=run.options.latency,
    )
    if run.rerun is not None:
        differences = run.rerun.differences(watcher.sinks) if code == COMPLETE else []
        found = [difference for difference in differences if difference]
        if found:
            say(f"midstream rerun: {'; '.join(found)}")
            report = replace(report, warnings=tuple(found))
            code = FAILED
        if run.rerun.partitioning.count > 1:
            report = with_partitions(report, run.directory.path, watcher.sinks, differences)
    elif engine is not None and code == COMPLETE:
        verdict = judge(
            engine.historical,
            run.options.historical(),
            run.options.files,
            usable_rows=report.rows_in - report.rejected,
            skipped=report.skipped,
        )
        wrong = unaccounted(engine.last_sequence, sink) or unaccounted_lines(
            engine.historical, sink, rows_before=watcher.rows_before
        )
        warnings = (*verdict.warnings, wrong) if wrong else verdict.warnings
        for warning in warnings:
            say(f"midstream replay: {warning}")
        report = replace(report, warnings=warnings)
        code = FAILED if verdict.is_loss or wrong else code
    return code, report


async def _stop_servers(supervisor: Supervisor, interruption: Interruption) -> None:
    """Let the servers drain; whoever asks again does not wait for that."""
    stopping = asyncio.create_task(supervisor.stop_servers())
    again = asyncio.create_task(interruption.asked_again())
    try:
        await asyncio.wait({stopping}, timeout=QUIET_S)
        if not stopping.done() and interruption.number:
            say("stopping: what was published is being written; interrupt again not to wait for it")
        await asyncio.wait({stopping, again}, return_when=asyncio.FIRST_COMPLETED)
        if again.done():
            supervisor.hasten()
        await stopping
    finally:
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)


async def _wait_finished(
    watcher: Watcher, display: ProgressDisplay, on_output: Callable[[], None], *, rerun: Repeating | None = None
) -> int:
    """Wait until every record, or those that `rerun` names, are committed; returns the exit code. `on_output` is told of the first."""
    has_output = False
    while True:
        engine, sink = await asyncio.to_thread(watcher.both)
        display.show(engine, sink)
        if not has_output and sink is not None and sink.position.sequence:
            has_output = True
            on_output()
        if sink is not None and sink.finished_error:
            raise ChildFailed(f"the price engine stopped: {sink.finished_error}")
        if engine is not None and engine.state is EngineState.FAILED:
            if engine.time_debt.exceeded:
                # The report says how far behind it was.
                say(
                    f"midstream replay: {in_option_names(engine.error)}; what is committed stays, continue with --resume"
                )
                return FAILED
            raise ChildRefused(engine.error)
        if engine is not None and _is_over(engine, watcher.sinks, rerun):
            return COMPLETE
        await asyncio.sleep(POLL_S)


def _is_over(engine: EngineReport, sinks: Sequence[SinkAnnouncement | None], rerun: Repeating | None) -> bool:
    """Tell whether all that is to be played is in the logs, in every partition."""
    parts = engine.parts or (engine,)
    return len(parts) == len(sinks) and all(
        part is not None and _has_ended(part, rerun) and _is_committed(part, sink)
        for part, sink in zip(parts, sinks, strict=True)
    )


def _has_ended(engine: EngineReport, rerun: Repeating | None) -> bool:
    # At the end of the files everything is over, also for a run that was to come further.
    is_paused_there = rerun is not None and engine.state is EngineState.PAUSED and rerun.is_there(engine)
    return engine.state is EngineState.COMPLETED or is_paused_there


def _is_committed(engine: EngineReport, sink: SinkAnnouncement | None) -> bool:
    if sink is None or sink.position.epoch != engine.epoch:
        return engine.last_sequence == 0
    return sink.position.sequence >= engine.last_sequence


async def _first(*futures: asyncio.Future[Any]) -> asyncio.Future[Any]:
    """Wait for the first of them and raise what it raised."""
    done, _ = await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    for future in done:
        future.result()
    return next(future for future in futures if future in done)


def _environment(run: ReplayRun, redis_url: str, is_private: bool) -> dict[str, str]:
    options = run.options
    spread = Partitioning() if run.rerun is None else run.rerun.partitioning
    environment = {
        "MIDSTREAM_REDIS_URL": redis_url,
        "MIDSTREAM_SESSION": options.session,
        "MIDSTREAM_HISTORICAL": json.dumps(list(options.files)),
        "MIDSTREAM_LIVE_URL": "",
        "MIDSTREAM_START_MODE": "historical",
        "MIDSTREAM_HAND_OVER": "at-once",
        # One pair of logs, in the one order, unless what is repeated had several; whoever wants these of a run of his own serves them.
        "MIDSTREAM_PARTITIONS": str(spread.count),
        "MIDSTREAM_PARTITION_OF": json.dumps([f"{ticker}={number}" for ticker, number in spread.assigned.items()]),
        "MIDSTREAM_OWNER": "",
        "MIDSTREAM_SPEED": repr(options.speed),
        **{f"MIDSTREAM_{name.upper()}": value for name, value in options.pace_fields().items()},
        "MIDSTREAM_RATE": options.rate or "0",
        "MIDSTREAM_FRACTION_UNIT": options.fraction_unit,
        "MIDSTREAM_NEGATIVE_LATENCY": options.negative_latency,
        "MIDSTREAM_MIN_LATENCY_MS": options.min_latency_ms,
        "MIDSTREAM_LATENCY": json.dumps(list(options.latency)) if options.latency else "",
        "MIDSTREAM_UNSORTED": options.unsorted,
        "MIDSTREAM_TICKERS": json.dumps(list(options.tickers)),
        "MIDSTREAM_START": options.start,
        "MIDSTREAM_END": options.end,
        "MIDSTREAM_OUT": str(run.directory.path),
        "MIDSTREAM_LATENCY_THRESHOLD_MS": options.latency_threshold_ms,
        "MIDSTREAM_LOG_TIMESTAMP": options.log_timestamp,
        "MIDSTREAM_MIDS_CSV": "on" if options.mids_csv else "off",
        # Nobody can attach to a private Redis in time, so its mids stream would be work for nothing.
        "MIDSTREAM_MIDS": "off" if is_private else "on",
        "MIDSTREAM_PRICE_EXCHANGES": "",
        "MIDSTREAM_LOCK_WAIT": "off",
        "MIDSTREAM_SINK": SINK,
        "MIDSTREAM_SINKS": SINK,
        "MIDSTREAM_SINK_GRACE": "30",
        "MIDSTREAM_HOST": "127.0.0.1",
        **PRIVATE,
        # A refusal is told from log lines by not being JSON.
        "MIDSTREAM_LOG_FORMAT": "json",
    }
    if is_private:
        environment["MIDSTREAM_HIGH_BYTES"] = str(HIGH_BYTES)
        environment["MIDSTREAM_RETAIN_BYTES"] = str(RETAIN_BYTES)
    for name in ("REPLAY", "PRICE"):
        environment[f"MIDSTREAM_{name}_PORT"] = "0"
        environment[f"MIDSTREAM_{name}_METRICS_PORT"] = "0"
    return environment
