"""Files of a recording: whole records whatever happens to the process and the disk, and a beginning where the last one ended."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.replay.engine.feed_buffer import FeedLimits
from services.replay.recording.recorder import Bounds
from services.replay.recording.records import Head, frame_of, is_record, parse_head
from services.replay.recording.segments import (
    Disk,
    Place,
    RecordingFailed,
    SegmentLimits,
    SegmentWriter,
    find_ending,
    place_of,
)
from services.runtime.errors import StartRefused
from tests.support.recordings import NEVER_LATE_NS, SOURCE, followed, recorder_of, script, segments
from tests.support.replayed import replay, write_logs

MONOTONIC_NS = 1_000_000_000


class SmallDisk(Disk):
    """Takes so many bytes and no more; the last write is taken in part, as a file system does it."""

    def __init__(self, room: int, error: int = errno.ENOSPC) -> None:
        self.room = room
        self.error = error

    def write(self, descriptor: int, chunk: memoryview) -> int:
        if self.room == 0:
            raise OSError(self.error, os.strerror(self.error))
        taken = min(self.room, len(chunk))
        self.room -= taken
        return super().write(descriptor, chunk[:taken])


class CountingDisk(Disk):
    def __init__(self) -> None:
        self.syncs = 0

    def sync(self, descriptor: int) -> None:
        self.syncs += 1


class BrokenDisk(Disk):
    """The first sync after the head fails, as it does once only for what a kernel could not write."""

    def __init__(self) -> None:
        self.syncs = 0

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        if self.syncs == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def whole_records(path: str | Path) -> list[bytes]:
    """The lines behind the head; every one has to be whole."""
    content = Path(path).read_bytes()
    assert content.endswith(b"\n")
    lines = content.splitlines(keepends=True)[1:]
    assert all(is_record(line) for line in lines)
    return lines


@pytest.mark.parametrize("seed", range(12))
def test_a_full_disk_ends_it_with_whole_records_only_and_it_goes_on_when_there_is_room(
    tmp_path: Path, seed: int
) -> None:
    plan, out = script(seed, 40), tmp_path / "day"
    room = random.Random(seed).randrange(200, 30_000)
    print(f"room {room}")  # noqa: T201  (shown when the test fails)
    recorder = recorder_of(followed(plan), out, segment_bytes=8000, disk=SmallDisk(room))

    with pytest.raises(RecordingFailed, match=r"cannot be (written|made): No space left on device; make room"):
        recorder.run(lambda: True)

    frames = [line for path in segments(out) for line in whole_records(path) if frame_of(line)]
    assert recorder.figures.frames == len(frames)
    assert recorder.figures.bytes == sum(Path(path).stat().st_size for path in segments(out))
    ending = find_ending(place_of(out), SOURCE)
    recorder_of(followed(plan), out, ending=ending).run(lambda: True)
    replayed = replay(segments(out))
    assert len({row[0] for row in replayed.rows}) == len(replayed.rows)


def test_a_recording_in_one_file_is_told_to_go_on_in_another_one(tmp_path: Path) -> None:
    with pytest.raises(RecordingFailed, match=r"one\.rec cannot be written: .*, then record to another file$"):
        recorder_of(followed(script(1, 40)), tmp_path / "one.rec", disk=SmallDisk(2000)).run(lambda: True)

    assert whole_records(tmp_path / "one.rec")


def test_a_failed_sync_ends_it_and_is_not_asked_again(tmp_path: Path) -> None:
    disk = BrokenDisk()

    with pytest.raises(RecordingFailed, match="cannot be written to the disk: Input/output error"):
        recorder_of(followed(script(1, 20)), tmp_path / "day", disk=disk, sync_s=0).run(lambda: True)

    assert disk.syncs == 2


@pytest.mark.parametrize(("sync_s", "syncs"), [(0.0, 6), (2.0, 4), (100.0, 2)])
def test_it_is_synced_as_often_as_was_asked_and_at_the_end(tmp_path: Path, sync_s: float, syncs: int) -> None:
    now, disk, place = [MONOTONIC_NS], CountingDisk(), place_of(tmp_path / "day")
    place.prepare()
    writer = SegmentWriter(
        place, Head(SOURCE, 1, 0, 0), SegmentLimits(), sync_s=sync_s, monotonic_ns=lambda: now[0], disk=disk
    )
    for _ in range(5):
        now[0] += 1_000_000_000
        writer.append(b"F 1 1 {}\n")
        writer.tend(frames=1, latest_ns=1)
    writer.close()

    assert disk.syncs == syncs


def test_segments_are_bounded_in_size_and_age_and_say_what_came_before(tmp_path: Path) -> None:
    now, place = [MONOTONIC_NS], place_of(tmp_path / "day")
    place.prepare()
    writer = SegmentWriter(
        place, Head(SOURCE, 1, 0, 0), SegmentLimits(200, 60.0), sync_s=1.0, monotonic_ns=lambda: now[0]
    )
    for number in range(1, 5):
        writer.append(b"F %d %d %s\n" % (number, number, b"x" * (100 if number < 3 else 1)))
        now[0] += 40_000_000_000
        writer.tend(frames=number, latest_ns=number)
    writer.close()

    heads = [Path(path).read_bytes().splitlines()[0].decode() for path in segments(tmp_path / "day")]
    assert [Path(path).name for path in segments(tmp_path / "day")] == [f"{number:06d}.rec" for number in range(1, 5)]
    assert [parse_head(head.encode()) for head in heads] == [
        Head(SOURCE, 1, 0, 0),
        Head(SOURCE, 2, 1, 1),
        Head(SOURCE, 3, 2, 2),
        Head(SOURCE, 4, 4, 4),
    ]


def test_a_file_is_never_rotated_and_nothing_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "one.rec"
    recorder_of(followed(script(2, 30)), out, segment_bytes=10).run(lambda: True)
    before = out.read_bytes()

    with pytest.raises(RecordingFailed, match="exists; a recording never replaces anything"):
        recorder_of(followed(script(2, 30)), out)

    assert len(whole_records(out)) > 30
    assert out.read_bytes() == before


@pytest.mark.parametrize("seed", range(3))
def test_a_recording_that_was_cut_anywhere_is_continued_behind_its_last_whole_record(tmp_path: Path, seed: int) -> None:
    plan, out = script(seed, 30), tmp_path / "day"
    recorder_of(followed(plan), out, segment_bytes=1 << 20).run(lambda: True)
    [path] = segments(out)
    content, random_ = Path(path).read_bytes(), random.Random(seed)
    for size in [0, 1, len(content), *random_.sample(range(len(content)), 8)]:
        Path(path).write_bytes(content[:size] + b"\0" * random_.choice([0, 100]))
        kept = max(content.rfind(b"\n", 0, size) + 1, 0)
        frames = [frame for frame in map(frame_of, content[:kept].splitlines(keepends=True)) if frame]

        ending = find_ending(place_of(out), SOURCE)

        if b"\n" not in content[:size]:
            assert (segments(out), ending.head) == ([], Head(SOURCE, 1, 0, 0))
            continue
        assert Path(path).read_bytes() == content[:kept]
        assert ending.head.segment == 2
        assert ending.latest == (frames[-1] if frames else None)
        assert ending.head.frames_before == (frames[-1].number if frames else 0)


def test_a_continued_recording_tells_the_gap_and_numbers_go_on(tmp_path: Path) -> None:
    out, plan = tmp_path / "day", script(3, 30)
    first = recorder_of(followed(plan), out, segment_bytes=1 << 20)
    first.run(lambda: True)
    with Path(segments(out)[0]).open("ab") as file:
        file.write(b"F 123 99 {half")
    ending = find_ending(place_of(out), SOURCE)
    recorder = recorder_of(followed(plan), out, segment_bytes=1 << 20, ending=ending)
    recorder.run(lambda: True)

    records = [line for path in segments(out) for line in whole_records(path)]
    numbers = [frame.number for frame in map(frame_of, records) if frame is not None]
    [gap] = [line for line in records if b'"gap"' in line]
    logs = write_logs(segments(out), threshold_ns=NEVER_LATE_NS)

    assert ending.cut_bytes == len(b"F 123 99 {half")
    assert b'"reason": "no recorder was running", "after_frame": %d' % first.figures.frames in gap
    assert b'"cut_bytes": 14' in gap
    assert recorder.figures.gaps == 1
    assert numbers == list(range(1, 2 * first.figures.frames + 1))
    # The second one was received at the times of the first: what went back stands still, and nothing is reordered.
    assert recorder.figures.held_back > 0
    assert logs.counts.rejected == 2 * first.figures.rejected


def test_what_another_feed_or_recorder_writes_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "day"
    recorder_of(followed(script(4, 5)), out).run(lambda: True)

    with pytest.raises(StartRefused, match=f"records {SOURCE}, not ws://other"):
        find_ending(place_of(out), "ws://other")
    held = Place(out, is_file=False).lock()
    with pytest.raises(StartRefused, match="another recorder writes to"):
        Place(out, is_file=False).lock()
    os.close(held)


@pytest.mark.parametrize("size", [1000, 12_345])
def test_a_bound_in_bytes_is_kept(tmp_path: Path, size: int) -> None:
    recorder = recorder_of(followed(script(5, 60)), tmp_path / "day", bounds=Bounds(size=size))

    assert recorder.run(lambda: False) == "size"

    frames = sum(len(line) for path in segments(tmp_path / "day") for line in whole_records(path) if frame_of(line))
    assert size - 4000 < frames <= size


def test_frames_that_nobody_took_in_time_are_a_gap_in_the_recording(tmp_path: Path) -> None:
    source = followed(script(6, 60), limits=FeedLimits(frames=40))
    recorder = recorder_of(source, tmp_path / "day")
    recorder.run(lambda: True)

    [gap] = [line for path in segments(tmp_path / "day") for line in whole_records(path) if b'"gap"' in line]
    assert recorder.figures.lost_frames == source.lost_frames > 0
    assert b'"lost_frames": %d' % source.lost_frames in gap


KILLED = """
import os, sys
from pathlib import Path
from tests.support.recordings import followed, recorder_of, script
source = followed(script(int(sys.argv[2]), 400))
recorder = recorder_of(source, Path(sys.argv[1]), segment_bytes=30_000)
print("go", flush=True)
recorder.run(lambda: False)
"""


@pytest.mark.cases(2)
@pytest.mark.parametrize("seed", range(4))
def test_a_killed_recorder_leaves_whole_records_and_is_continued(tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201  (shown when the test fails)
    out, size = tmp_path / "day", random.Random(seed).randrange(1, 200_000)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(out), str(seed)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"seed")
        assert process.stdout.readline() == b"go\n"
        while process.poll() is None and sum(Path(path).stat().st_size for path in segments(out)) < size:
            pass
        process.send_signal(signal.SIGKILL)
    before = [Path(path).read_bytes() for path in segments(out)]

    ending = find_ending(place_of(out), SOURCE)
    recorder_of(followed(script(seed, 10)), out, ending=ending).run(lambda: True)

    after = [Path(path).read_bytes() for path in segments(out)]
    for was, now in zip(before, after, strict=False):
        assert was.startswith(now)
        assert len(was) - len(now) <= ending.cut_bytes
    numbers = [
        frame.number for path in segments(out) for frame in map(frame_of, whole_records(path)) if frame is not None
    ]
    assert numbers == list(range(1, len(numbers) + 1))
    assert any(b'"gap"' in content for content in after)
    replay(segments(out))
