"""Up to where a partition is known to be whole, for whoever merges it with the others."""

from __future__ import annotations

from typing import Final

from fastpath.columns import AFTER_EVERYTHING, BEFORE_EVERYTHING
from fastpath.frame import MODE_LIVE
from services.replay.engine.lanes import Lanes
from services.replay.engine.playback import Playback
from services.replay.engine.ports import Publishing
from services.runtime.clock import Clock

TELL_NS: Final = 50_000_000
"""A partition that finds no rows of its own tells how far it has read this often: the readers of all the others wait for it."""
LIVE_SLACK_NS: Final = 50_000_000
"""What the feed's thread has received and not yet queued may bear a time that is a little in the past."""


class Watermarks:
    """Tells the lowest arrival time that can still come, where nothing that is published says it."""

    def __init__(self, *, playback: Playback, lanes: Lanes, publisher: Publishing, clock: Clock) -> None:
        self._playback = playback
        self._lanes = lanes
        self._publisher = publisher
        self._clock = clock
        self._told: tuple[str, int, int] | None = None
        self._told_ns = -TELL_NS

    def tell(self, now_ns: int, *, at_once: bool = False) -> None:
        """Have it stored when it is news. Raises what the publisher raises."""
        if now_ns - self._told_ns < TELL_NS and not at_once:
            return
        lowest_ns = self._lowest_ns()
        if lowest_ns is None:
            return
        news = self._playback.epoch, self._playback.next, lowest_ns
        if news == self._told:
            return
        self._told, self._told_ns = news, now_ns
        self._publisher.tell_watermark(lowest_ns)

    def forget(self) -> None:
        """The queue was adopted again: what it was told may be gone."""
        self._told = None

    def _lowest_ns(self) -> int | None:
        playback = self._playback
        if playback.repeating:
            return None
        lowest_ns = self._lowest_live_ns() if playback.mode == MODE_LIVE else self._lowest_historical_ns()
        return None if lowest_ns == BEFORE_EVERYTHING else lowest_ns

    def _lowest_historical_ns(self) -> int | None:
        lane = self._lanes.historical
        if lane is None or lane.failure is not None:
            return None
        if lane.remaining:
            return lane.block.key(lane.start)[0]
        if not lane.ended:
            return lane.source.lowest_ns
        # Files that are still written may have more rows later.
        return None if self._lanes.growing else AFTER_EVERYTHING

    def _lowest_live_ns(self) -> int | None:
        lane = self._lanes.live
        # The time first: what is queued afterwards was received later.
        time_ns = self._clock.time_ns() - LIVE_SLACK_NS
        if lane is None or lane.remaining or lane.source.queued_frames:
            return None
        return time_ns
