"""What operators ask for: intents of the journal, applied in order, and the seams that they leave."""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from typing import Final

from fastpath.frame import BATCH_ROWS_MAX, MARKER_GAP, MODE_LIVE
from fastpath.records import Marker
from services.replay.engine import state
from services.replay.engine.journal import Intent, Journal
from services.replay.engine.lanes import Lanes
from services.replay.engine.outlet import Outlet
from services.replay.engine.ports import MODE_NAMES
from services.replay.engine.standing import Standing
from services.replay.engine.state import EngineReport
from services.runtime.clock import Clock

logger = logging.getLogger(__name__)

SPEED_MAX: Final = 1e6


class Steering:
    """Applies intents. What they change is saved before it is reported."""

    def __init__(
        self,
        *,
        standing: Standing,
        lanes: Lanes,
        outlet: Outlet,
        journal: Journal,
        report: EngineReport,
        clock: Clock,
    ) -> None:
        self._standing = standing
        self._lanes = lanes
        self._outlet = outlet
        self._journal = journal
        self._report = report
        self._clock = clock
        self._intents: deque[Intent] = deque()
        self._never_wait = threading.Event()
        self._never_wait.set()

    def apply(self) -> bool:
        """Apply what the journal brought; False when that was nothing."""
        self._intents.extend(self._journal.take())
        if not self._intents:
            return False
        while self._intents:
            # It leaves the line only when it is applied: publishing what is left of a feed may fail on the way.
            self._apply(self._intents[0])
            self._intents.popleft()
        self._outlet.save()
        self._report.effective = self._standing.effective()
        return True

    def _apply(self, intent: Intent) -> None:
        standing = self._standing
        if not intent.restarts and intent.revision <= standing.revision:
            return
        problem = intent.problem or self._problem_of(intent)
        if problem:
            logger.warning("intent refused: revision=%d reason=%s", intent.revision, problem)
            standing.refused = (intent.revision, problem)
        else:
            self._take_effect(intent)
            logger.info(
                "intent applied: revision=%d kind=%s mode=%s speed=%g correlation_id=%s",
                *(intent.revision, intent.kind, MODE_NAMES[standing.mode], standing.pacing.speed),
                intent.correlation_id,
            )
        standing.revision = intent.revision

    def _problem_of(self, intent: Intent) -> str:
        match intent.kind:
            case "mode":
                if intent.mode not in MODE_NAMES:
                    return f"mode {intent.mode} is unknown"
                if not self._lanes.configured(intent.mode):
                    setting = "MIDSTREAM_LIVE_URL" if intent.mode == MODE_LIVE else "MIDSTREAM_HISTORICAL"
                    return f"no {MODE_NAMES[intent.mode]} source is configured; set {setting} and restart the server"
            case "speed":
                if not (math.isfinite(intent.speed) and 0 <= intent.speed <= SPEED_MAX):
                    return f"speed {intent.speed} is not between 0 and {SPEED_MAX:g}"
            case "pause" | "resume" | "none":
                pass
            case _:
                return f"intent {intent.kind!r} is unknown"
        return ""

    def _take_effect(self, intent: Intent) -> None:
        standing, now_ns = self._standing, self._clock.monotonic_ns()
        match intent.kind:
            case "mode" if intent.mode != standing.mode:
                self._switch(intent.mode, intent.revision, now_ns)
            case "pause" if not standing.paused:
                standing.pacing.hold(now_ns)
                standing.paused = True
            case "resume":
                standing.paused = False
            case "speed":
                standing.pacing.set_speed(intent.speed, now_ns)

    def _switch(self, mode: int, revision: int, now_ns: int) -> None:
        standing = self._standing
        previous = standing.mode
        if mode == MODE_LIVE:
            standing.pacing.hold(now_ns)
            standing.mode = mode
            self._lanes.start_live()
        else:
            self._leave_live()
            standing.mode = mode
        standing.add_seam(previous, time_ns=self._clock.time_ns(), revision=revision)
        if self._report.phase == state.COMPLETED:
            self._report.phase = state.RUNNING

    def _leave_live(self) -> None:
        """Disconnect and publish what was received, as far as there is room at once; the rest is a gap."""
        lane, standing = self._lanes.live, self._standing
        if lane is None:
            return
        lane.source.stop()
        while not standing.paused and not standing.repeating:
            if lane.remaining == 0:
                poll = lane.poll()
                standing.take_markers(poll)
                if not poll.rows:
                    break
            stop = min(lane.start + BATCH_ROWS_MAX, len(lane.block))
            if not self._outlet.publish(lane, stop, MODE_LIVE, self._never_wait, urgent=True):
                break
        standing.urgent = False
        lost = lane.discard()
        if lost:
            why = "the session was paused" if standing.paused else "the queue had no room"
            standing.markers.append(
                Marker(
                    kind=MARKER_GAP,
                    previous_mode=MODE_LIVE,
                    mode=MODE_LIVE,
                    last_key=standing.last_key,
                    time_ns=self._clock.time_ns(),
                    reason=f"frames received before the switch were dropped, because {why}",
                    lost_frames=lost,
                )
            )
