"""Interfaces that the engine asks of those around it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastpath.frame import MODE_LIVE
from fastpath.records import Cursor
from services.replay.queue.model import Adopted, Checkpoint
from services.replay.sources import Complaints, TickSource
from services.replay.sources.source_numbers import KnownNumbers
from services.runtime.errors import StartRefused
from services.runtime.session.hand_over import HandOverKind
from services.runtime.session.line_counts import LineCounts


@dataclass(frozen=True)
class Beginning:
    """How a session begins that no operator has touched yet."""

    mode: int
    speed: float
    hand_over: HandOverKind = HandOverKind.AT_ONCE


def check_sources(beginning: Beginning, *, historical: bool, live: bool) -> None:
    """Raise StartRefused when there is nothing to begin with."""
    if not historical and not live:
        raise StartRefused(
            "no source is configured: set MIDSTREAM_HISTORICAL to files, or MIDSTREAM_LIVE_URL to a feed"
        )
    if beginning.mode == MODE_LIVE and not live:
        raise StartRefused("the session is to begin live, but no feed is configured: set MIDSTREAM_LIVE_URL")
    if beginning.hand_over is not HandOverKind.AT_ONCE and not (historical and live):
        raise StartRefused(
            "MIDSTREAM_HAND_OVER: there is nothing to hand over between: set MIDSTREAM_HISTORICAL to files and "
            "MIDSTREAM_LIVE_URL to a feed, or leave it out"
        )


class Publishing(Protocol):
    """The part of the publisher that the engine uses; see services.replay.queue.Publisher."""

    def adopt(self) -> Adopted: ...
    def publish(
        self,
        batch: bytes,
        first_sequence: int,
        last_sequence: int,
        *,
        wake: threading.Event,
        arrival_time_ns: int,
        checkpoint: Checkpoint | None = None,
        urgent: bool = False,
        repeatable: bool = True,
        watermark_ns: int | None = None,
        order_state: bytes = b"",
    ) -> bool: ...
    def tell_watermark(self, arrival_time_ns: int) -> None: ...
    def entries_around(self, sequence: int, count: int = 2) -> list[bytes]: ...
    def save(self, checkpoint: Checkpoint) -> None: ...
    def flush(self) -> None: ...
    def tend(self) -> None: ...
    def close(self) -> None: ...


class CursorSource(TickSource, Protocol):
    """A source that can tell where to read again."""

    def cursor_sources(self) -> bytes:
        """Return the place from which the rows of the last poll, and everything behind them, can be read again."""


class RecordedSource(CursorSource, Protocol):
    """What the engine uses of services.replay.sources.HistoricalSource."""

    fingerprint: str
    first_read_monotonic_ns: int

    @property
    def files(self) -> Sequence[str]:
        """Return what is read, by rank; `names` are what the rejections of its rows are called after."""

    @property
    def lowest_ns(self) -> int:
        """Return the arrival time below which no row is still to be handed out, by what was read so far."""

    @property
    def skipped(self) -> int: ...
    @property
    def damaged(self) -> tuple[str, ...]: ...
    @property
    def complaints(self) -> Complaints: ...
    @property
    def line_counts(self) -> tuple[LineCounts, ...]: ...
    def has_grown(self) -> bool:
        """Tell whether there are more whole lines than when the files were opened."""

    def numbers(self) -> KnownNumbers:
        """Return what the source itself numbered, of the newest records."""


class OpenRecorded(Protocol):
    """Opens the recorded files at a place; `growing` has only whole lines read, and their growth told. Raises UnusableInput."""

    def __call__(self, resume: Cursor | None, *, growing: bool = False) -> RecordedSource: ...


class FeedSource(TickSource, Protocol):
    """What the engine uses of services.replay.engine.live.LiveSource."""

    connected: bool
    reconnects: int

    @property
    def problem(self) -> str: ...
    @property
    def lost_frames(self) -> int: ...
    @property
    def queued_frames(self) -> int: ...
    def note_numbers(self, note: Callable[[int, int, bytes], None] | None) -> None:
        """Have each frame that is polled from now on noted first: its number, receive time and payload. None ends that."""

    def discard(self) -> int:
        """Drop what was received and not polled; return how many frames that were."""
