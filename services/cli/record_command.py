"""`midstream record`: a live feed to a recording, until it is long enough or nobody wants more."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Final

from fastpath.values import format_timestamp
from services.cli.output import ExitCode, error_object, fail
from services.cli.record_progress import RecordProgress
from services.cli.terminal import say, shown_path, write
from services.replay.engine.config import check_live_url
from services.replay.engine.live_feed import open_live_source
from services.replay.recording.recorder import Bounds, Figures, Recorder
from services.replay.recording.records import Head
from services.replay.recording.segments import (
    Ending,
    Place,
    RecordingFailed,
    SegmentLimits,
    SegmentWriter,
    find_ending,
    place_of,
)
from services.runtime.clock import SystemClock
from services.runtime.errors import StartRefused

COMMAND: Final = "midstream record"
CLOCK_BACK_NS: Final = 1_000_000_000
"""A clock that is further behind the end of a recording would give its next frames no times worth the name."""
REASONS_SHOWN: Final = 3


@dataclass(frozen=True)
class RecordRun:
    """What to record, where to, and for how long."""

    url: str
    out: Path
    bounds: Bounds
    append: bool
    limits: SegmentLimits
    sync_s: float
    message_bytes_max: int
    as_json: bool


def run_record(run: RecordRun) -> int:
    """Record and return the exit code; says on stdout (`--json`: one object) what was recorded, on stderr what went wrong."""
    clock = SystemClock()
    try:
        check_live_url(run.url)
        feed = open_live_source(run.url, clock=clock, random=Random(), message_bytes_max=run.message_bytes_max)
        with _locked(place_of(run.out), run.append) as place:
            ending = _ending(run, place, feed.names[0], clock.time_ns())
            writer = SegmentWriter(place, ending.head, run.limits, sync_s=run.sync_s, monotonic_ns=clock.monotonic_ns)
            progress = RecordProgress(lambda: feed.problem, quiet=run.as_json, monotonic_ns=clock.monotonic_ns)
            recorder = Recorder(feed, writer, ending, run.bounds, clock=clock, on_progress=progress.show)
            with _Signals() as signals:
                return _record(run, recorder, signals, progress, source=feed.names[0])
    except StartRefused as exc:
        return fail(str(exc).replace("MIDSTREAM_LIVE_URL", "URL"), exc.exit_code, as_json=run.as_json, command=COMMAND)
    except RecordingFailed as exc:
        return fail(str(exc), ExitCode.FAILED, as_json=run.as_json, command=COMMAND)


def _record(run: RecordRun, recorder: Recorder, signals: _Signals, progress: RecordProgress, *, source: str) -> int:
    why, error = "error", ""
    try:
        with progress:
            why = recorder.run(lambda: signals.number > 0)
    except RecordingFailed as exc:
        error = str(exc)
    figures = recorder.figures
    if not error and figures.frames == 0:
        error = _nothing(why, recorder.problem)
    elif not error and figures.lost_frames:
        error = (
            f"{figures.lost_frames:,} frames came faster than they could be written; the gaps are in the recording. "
            "Use a faster disk, or record less in one process"
        )
    code = ExitCode.FAILED if error else ExitCode.COMPLETE
    if not error and signals.number and (run.bounds.seconds or run.bounds.size):
        # It was to end by itself.
        code = ExitCode(128 + signals.number)
    summary = _summary(run, figures, source, why)
    if error:
        say(f"{COMMAND}: {error}")
        summary |= error_object(error, code)
    write(json.dumps(summary) if run.as_json else _sentence(run, figures))
    for reason, count, frames in recorder.survey.rejections()[:REASONS_SHOWN]:
        say(f"{COMMAND}: {count:,} cannot be used when it is replayed: {reason} (frame {frames[0]})")
    return code


def _nothing(why: str, problem: str) -> str:
    if why == "size":
        return "--max-bytes leaves no room for the first frame; raise it"
    return f"nothing was received{': ' if problem else ''}{problem}; check the feed"


@contextmanager
def _locked(place: Place, append: bool) -> Iterator[Place]:
    """Keep the place for this recorder alone. Raises StartRefused."""
    if append and place.is_file:
        raise StartRefused(
            "--append goes on in a new file of a folder; name a folder, or another file without --append"
        )
    if place.is_file and os.path.lexists(place.path):
        raise StartRefused(f"--out: {place.path} exists, and nothing is ever replaced; name another file")
    place.prepare()
    descriptor = place.lock()
    try:
        yield place
    finally:
        os.close(descriptor)


def _ending(run: RecordRun, place: Place, source: str, now_ns: int) -> Ending:
    if not run.append:
        if not place.is_file and any(place.path.iterdir()):
            raise StartRefused(f"--out: {place.path} is not empty; use --append to go on in it, or name another folder")
        return Ending(Head(source, 1, 0, 0), 0, None)
    ending = find_ending(place, source)
    behind_ns = ending.head.latest_ns - now_ns
    if behind_ns > CLOCK_BACK_NS:
        raise StartRefused(
            f"--append: the clock of this machine is {behind_ns / 1e9:,.1f} s behind the end of the recording; set it right, or name "
            "another folder"
        )
    return ending


def _summary(run: RecordRun, figures: Figures, source: str, why: str) -> dict[str, Any]:
    first_ns, last_ns = figures.first_receive_time_ns, figures.last_receive_time_ns
    return {
        "source": source,
        "out": str(run.out),
        "ended_by": why,
        "frames": figures.frames,
        "ticks": figures.ticks,
        "rejected": figures.rejected,
        "disconnects": figures.disconnects,
        "reconnects": figures.reconnects,
        "gaps": figures.gaps,
        "lost_frames": figures.lost_frames,
        "held_back": figures.held_back,
        "bytes": figures.bytes,
        "segments": figures.segments,
        "first_receive_time": format_timestamp(first_ns) if first_ns else "",
        "last_receive_time": format_timestamp(last_ns) if last_ns else "",
        "span_seconds": (last_ns - first_ns) / 1e9,
    }


def _sentence(run: RecordRun, figures: Figures) -> str:
    span_s = (figures.last_receive_time_ns - figures.first_receive_time_ns) / 1e9
    events = [
        f"{count:,} {name}"
        for count, name in (
            (figures.disconnects, "disconnects"),
            (figures.gaps, "gaps"),
            (figures.rejected, "unusable"),
        )
        if count
    ]
    return (
        f"{shown_path(run.out.absolute())}: {figures.ticks:,} ticks in {figures.frames:,} frames, {figures.bytes:,} bytes in "
        f"{figures.segments:,} file{'s' * (figures.segments != 1)}, {span_s:,.1f} s"
        + "".join(f", {event}" for event in events)
    )


class _Signals:
    """Ends a recording in order. The handler only notes the number: it runs in the thread that waits for frames."""

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.number = self.number or number
