"""G17: from a websocket into a recording, as fast as it goes, and what a frame costs. Nothing is lost on either side.

The goals were set after the first measurement: they say what has to stay, not what was aimed at.
"""

from __future__ import annotations

import json
import signal
import statistics
import time
from pathlib import Path
from typing import Final

from benchmarks.context import Context, until
from benchmarks.firehose import messages
from benchmarks.live import firehose_of
from benchmarks.processes import cpu_s
from benchmarks.results import Goal, Result

FRAMES, FRAMES_QUICK = 250_000, 60_000
NAIVE_FRAMES, NAIVE_FRAMES_QUICK = 100_000, 20_000
PATIENCE_S: Final = 60.0


def g17(context: Context) -> list[Result]:
    """Compare rates and CPU; the usual way gets fewer frames of the same feed, since it is so much slower."""
    frames = FRAMES_QUICK if context.quick else FRAMES
    few = NAIVE_FRAMES_QUICK if context.quick else NAIVE_FRAMES
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    for _ in context.rounds():
        ours.append(_ours(context, frames))
        theirs.append(_naive(context, few))
        context.say(
            "  " + ", ".join(f"{rate:,.0f} frames/s, {cpu_us:.2f} us" for rate, cpu_us in (ours[-1], theirs[-1]))
        )
    pairs = list(zip(ours, theirs, strict=True))
    against = "websockets, json, csv.writer"
    cpu_us = [statistics.median(side[1] for side in sides) for sides in (ours, theirs)]
    return [
        Result(
            "G17",
            "live websocket -> recording",
            against,
            tuple(mine[0] / other[0] for mine, other in pairs),
            Goal(1.2, 2),
            note=f"{max(ours)[0]:,.0f} frames/s of one tick against {max(theirs)[0]:,.0f} at best; nothing lost, ours synced each second",
        ),
        Result(
            "G17b",
            "the same, CPU per frame",
            against,
            tuple(other[1] / mine[1] for mine, other in pairs),
            Goal(1.5, 2.5),
            note=f"{cpu_us[0]:.2f} us against {cpu_us[1]:.2f} us; every frame is decoded, too, to say what a replay will make of it",
        ),
    ]


def _ours(context: Context, frames: int) -> tuple[float, float]:
    """Frames per second from the feed's first byte until all are in the file, and CPU microseconds per frame."""
    out = context.clean_directory("recording")
    with (
        firehose_of(context, frames) as (port, feed),
        context.child(
            "services.cli", "record", f"ws://127.0.0.1:{port}", "--out", str(out / "day.rec"), "--json", log=out / "log"
        ) as process,
    ):
        assert feed.stdout is not None
        assert process.stdout is not None
        begin, before = float(feed.stdout.readline()), cpu_s(process.pid)
        path, size = out / "day.rec", _size_of_frames(frames)
        until(lambda: path.stat().st_size >= size, what="the whole feed in the file", timeout_s=PATIENCE_S)
        seconds, cpu = time.monotonic() - begin, cpu_s(process.pid) - before
        process.send_signal(signal.SIGINT)
        found = json.loads(process.stdout.readline())
    if (found["frames"], found["ticks"], found["lost_frames"]) != (frames, frames, 0):
        raise AssertionError(f"{found['frames']} of {frames} frames were recorded: {(out / 'log').read_text()[-2000:]}")
    return frames / seconds, cpu / frames * 1e6


def _size_of_frames(frames: int) -> int:
    """Bytes of all records; the few of the head come on top, so that the last frame may be on its way yet."""
    digits = len(str(time.time_ns()))
    return sum(len(f"F  {number} \n") + digits + len(payload) for number, payload in enumerate(messages(frames), 1))


def _naive(context: Context, frames: int) -> tuple[float, float]:
    out = context.clean_directory("naive-recording")
    path = out / "day.csv"
    with (
        firehose_of(context, frames) as (port, feed),
        context.child(
            "benchmarks.competitors.naive_record", str(port), str(path), str(frames), log=out / "log"
        ) as process,
    ):
        assert feed.stdout is not None
        assert process.stdout is not None
        begin = float(feed.stdout.readline())
        found = json.loads(process.stdout.readline())
    _check(path, frames)
    return frames / (found["end"] - begin), found["cpu"] / frames * 1e6


def _check(path: Path, frames: int) -> None:
    with path.open("rb") as file:
        rows = sum(1 for _ in file)
    if rows != frames:
        raise AssertionError(f"the usual way recorded {rows} of {frames} ticks")
