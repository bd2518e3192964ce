"""For how long created sessions have been of no use to anybody."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from services.runtime.session.report import EngineReport, EngineState

_AT_REST: Final = (EngineState.COMPLETED, EngineState.PAUSED, EngineState.FAILED)
"""What an engine does that publishes nothing until somebody asks for something."""


class _Standing(NamedTuple):
    """Where a session stands; any change of it is use."""

    epoch: str
    last_sequence: int
    revision: int
    backlog_records: int
    state: EngineState


class Idleness:
    """Remembers since when sessions have been idle: their engine at rest, nobody streaming, no reader catching up."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._since: dict[str, tuple[_Standing, float]] = {}

    def note(self, session: str, report: EngineReport | None, *, subscribed: bool) -> float:
        """Take in how a session is; return for how many seconds it has been idle, 0.0 while it is not."""
        if report is None or subscribed or report.state not in _AT_REST:
            self._since.pop(session, None)
            return 0.0
        standing = _Standing(
            report.epoch,
            report.last_sequence,
            report.effective.revision,
            # Of readers that have everything there is none; one that works through the rest is at work.
            report.backlog.records,
            report.state,
        )
        now_s = self._monotonic_s()
        before, since_s = self._since.get(session, (standing, now_s))
        if before != standing:
            since_s = now_s
        self._since[session] = standing, since_s
        return now_s - since_s

    def idle_s(self, session: str) -> float:
        """Return for how many seconds a session has been idle, as of the last note."""
        return self._monotonic_s() - self._since[session][1] if session in self._since else 0.0

    def keep(self, sessions: Collection[str]) -> None:
        """Forget every other one."""
        for session in self._since.keys() - set(sessions):
            del self._since[session]
