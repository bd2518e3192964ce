"""`midstream replay`: one shot, from files to logs, through the real servers and a Redis of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from services.cli.fleet import Watcher, child
from services.cli.options import ReplayOptions, in_option_names
from services.cli.output import ExitCode, error_object, fail
from services.cli.progress import ProgressDisplay
from services.cli.report import Report, build_report, print_report
from services.cli.run_directory import DirectoryRefused, RunDirectory
from services.cli.session_start import prepare_session
from services.cli.supervisor import ChildFailed, ChildRefused, Supervisor
from services.cli.verdict import judge
from services.replay.sources.inputs import open_inputs
from services.runtime.embedded import EmbeddedRedis
from services.runtime.errors import StartRefused
from services.runtime.session.announcement import SinkAnnouncement
from services.runtime.session.report import EngineReport, EngineState
from services.runtime.session.versions import NewerVersion

COMPLETE, FAILED, REFUSED = ExitCode.COMPLETE, ExitCode.FAILED, ExitCode.REFUSED
SINK = "price"
POLL_S = 0.05
"""A look costs a core a few hundred microseconds, which the replay itself wants."""
RETAIN_BYTES = 16 * 1024 * 1024
"""A private Redis has no late readers: keep little, so that its memory stays small."""


REFUSALS = (ChildRefused, StartRefused, NewerVersion)


class _Interrupted(Exception):
    """A signal asked for the end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@dataclass(frozen=True)
class ReplayRun:
    """Where one replay writes and which Redis it uses."""

    options: ReplayOptions
    directory: RunDirectory
    redis_url: str | None
    resume: bool
    overwrite: bool
    as_json: bool


def run_replay(run: ReplayRun) -> int:
    """Replay and return the exit code; says on stdout (`--json`: one object) what came of it, on stderr what went wrong."""
    try:
        # What can be known without starting anything is said at once.
        run.options.historical()
        inputs = open_inputs(run.options.files)
        for opened in inputs:
            opened.close()
        with run.directory.prepared(run.options, inputs, resume=run.resume, overwrite=run.overwrite, refusals=REFUSALS):
            return _finish(run, *asyncio.run(_replay(run)))
    except DirectoryRefused as exc:
        return _fail(run, str(exc), REFUSED)
    except REFUSALS as exc:
        sentences = [in_option_names(str(exc)), *getattr(exc, "__notes__", ())]
        return _fail(run, "; ".join(sentences), REFUSED)
    except ChildFailed as exc:
        return _fail(run, f"{exc}; what is committed stays, continue with --resume", FAILED)
    except OSError as exc:
        return _fail(run, f"{exc}; what is committed stays, continue with --resume", FAILED)


def _fail(run: ReplayRun, message: str, code: int) -> int:
    return fail(message, code, as_json=run.as_json, command="midstream replay")


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _finish(run: ReplayRun, code: int, report: Report | None) -> int:
    """Write the report and show it."""
    if report is not None:
        report.write(run.directory.path / "report.json")
        if run.as_json:
            print(json.dumps(asdict(report)))
        else:
            print_report(print, report)
    elif run.as_json:
        print(json.dumps(error_object("it ended before anything was committed; continue with --resume", code)))
    return code


async def _replay(run: ReplayRun) -> tuple[int, Report | None]:
    with contextlib.ExitStack() as stack:
        url, private = run.redis_url, None
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="midstream-")))
        if url is None:
            private = _private_redis(scratch)
            stack.callback(private.stop)
            url = private.url
        else:
            await asyncio.to_thread(
                prepare_session, url, run.options.session, sink=SINK, epoch=run.directory.committed_epoch()
            )
        watcher = Watcher(url, run.options.session, sink=SINK, own_run=True)
        stack.callback(watcher.close)
        specs = [
            child(name, _environment(run, url, private is not None), ready=scratch, log=run.directory.server_logs)
            for name in ("replay", "price")
        ]
        supervisor = Supervisor(
            specs,
            redis=private,
            restart_redis=lambda: _private_redis(scratch),
            progress=watcher.progress,
            on_event=_say,
        )
        return await _supervise(run, supervisor, watcher)


def _private_redis(scratch: Path) -> EmbeddedRedis:
    # Without an append-only file: recorded ticks can be read again, and the sink knows from where.
    return EmbeddedRedis.start(scratch / "redis", append_only=False)


async def _supervise(run: ReplayRun, supervisor: Supervisor, watcher: Watcher) -> tuple[int, Report | None]:
    interrupted = _interruption()
    display = ProgressDisplay(quiet=run.as_json)
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(supervisor.start())]
    code: int = COMPLETE
    try:
        await _first(tasks[0], interrupted)
        tasks.append(asyncio.create_task(supervisor.watch()))
        finished = asyncio.create_task(_wait_finished(watcher, display, run.directory.drop_replaced))
        tasks.append(finished)
        done = await _first(finished, tasks[1], interrupted)
        if done is finished:
            code = finished.result()
    except _Interrupted as exc:
        code = 128 + exc.number
        _say("interrupted: everything written is committed; continue with --resume")
    finally:
        display.close()
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # The servers stop while Redis still runs, so the last figures are those of the drained sink.
        await supervisor.stop_servers()
    engine, sink = watcher.both()
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
    )
    if engine is not None and code == COMPLETE:
        verdict = judge(
            engine.historical,
            run.options.historical(),
            run.options.files,
            usable_rows=report.rows_in - report.rejected,
            skipped=report.skipped,
        )
        for warning in verdict.warnings:
            _say(f"midstream replay: {warning}")
        report = replace(report, warnings=verdict.warnings)
        code = FAILED if verdict.is_loss else code
    return code, report


async def _wait_finished(watcher: Watcher, display: ProgressDisplay, on_output: Callable[[], None]) -> int:
    """Wait until every published record is committed by the sink; returns the exit code. `on_output` is told of the first one."""
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
            raise ChildRefused(engine.error)
        if engine is not None and engine.state is EngineState.COMPLETED and _is_committed(engine, sink):
            return COMPLETE
        await asyncio.sleep(POLL_S)


def _is_committed(engine: EngineReport, sink: SinkAnnouncement | None) -> bool:
    if sink is None or sink.position.epoch != engine.epoch:
        return engine.last_sequence == 0
    return sink.position.sequence >= engine.last_sequence


def _interruption() -> asyncio.Future[None]:
    """A future that SIGINT and SIGTERM fail."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def interrupt(number: int) -> None:
        if not future.done():
            future.set_exception(_Interrupted(number))

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt, number)
    return future


async def _first(*futures: asyncio.Future[Any]) -> asyncio.Future[Any]:
    """Wait for the first of them and raise what it raised."""
    done, _ = await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    for future in done:
        future.result()
    return next(future for future in futures if future in done)


def _environment(run: ReplayRun, redis_url: str, is_private: bool) -> dict[str, str]:
    options = run.options
    environment = {
        "MIDSTREAM_REDIS_URL": redis_url,
        "MIDSTREAM_SESSION": options.session,
        "MIDSTREAM_HISTORICAL": json.dumps(list(options.files)),
        "MIDSTREAM_LIVE_URL": "",
        "MIDSTREAM_START_MODE": "historical",
        "MIDSTREAM_SPEED": repr(options.speed),
        "MIDSTREAM_FRACTION_UNIT": options.fraction_unit,
        "MIDSTREAM_NEGATIVE_LATENCY": options.negative_latency,
        "MIDSTREAM_MIN_LATENCY_MS": options.min_latency_ms,
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
        # A refusal is told from log lines by not being JSON.
        "MIDSTREAM_LOG_FORMAT": "json",
    }
    if is_private:
        environment["MIDSTREAM_RETAIN_BYTES"] = str(RETAIN_BYTES)
    for name in ("REPLAY", "PRICE"):
        environment[f"MIDSTREAM_{name}_PORT"] = "0"
        environment[f"MIDSTREAM_{name}_METRICS_PORT"] = "0"
    return environment
