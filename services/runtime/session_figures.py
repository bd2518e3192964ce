"""Figures of created sessions: those of a server's own session under names of their own, with the session as their label.

Under the same names they would change what every sum over a server means. A session has series while its engine runs here, so that there
are never more than the quota of sessions times the figures, and one that was deleted leaves none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from services.runtime.engine_host import ENGINE_FIGURES
from services.runtime.figures import Figure, Values
from services.runtime.log_fields import fields
from services.runtime.metrics import Metrics

__all__ = ["Followed", "SessionFigures", "SessionMetrics", "chosen", "session_figures"]

logger = logging.getLogger(__name__)

LABEL: Final = "session"


def chosen(figures: Iterable[Figure], names: Collection[str]) -> tuple[Figure, ...]:
    """Return the figures of these names, and those of the engine's process."""
    return tuple(figure for figure in (*figures, *ENGINE_FIGURES) if figure.name in names or figure in ENGINE_FIGURES)


def session_figures(figures: Iterable[Figure]) -> tuple[Figure, ...]:
    """Return these gauges and counters as created sessions have them."""
    return tuple(
        replace(
            figure,
            name=_name_of(figure),
            help=f"{figure.help}, of a created session whose engine runs here",
            labels=(LABEL,),
            born=False,
        )
        for figure in figures
    )


def _name_of(figure: Figure) -> str:
    return figure.name.replace("midstream_", "midstream_session_", 1)


class SessionFigures:
    """The figures of all created sessions of one server."""

    def __init__(self, metrics: Metrics, figures: Sequence[Figure], *, running: Callable[[], Collection[str]]) -> None:
        """`figures` are those of the process. `running` names the sessions whose engines run here, also to the thread of a scrape."""
        self._running = running
        self._sessions: dict[str, SessionMetrics] = {}
        self._figures: Final = {figure.name: figure for figure in figures}
        for figure in self._figures.values():
            [shown] = session_figures([figure])
            metrics.measured(shown).follow(partial(self._values, figure.name))

    def of(self, session: str) -> SessionMetrics:
        """Return the figures of a session whose engine is about to run; counters begin at 0."""
        running, kept = self._running(), self._sessions
        made = SessionMetrics(self._figures)
        self._sessions = {name: kept[name] for name in kept if name in running} | {session: made}
        return made

    def _values(self, name: str) -> Values:
        running, sessions = self._running(), self._sessions
        found = ((session, metrics.value(name)) for session, metrics in sessions.items() if session in running)
        return {(session,): value for session, value in found if value is not None}


class SessionMetrics:
    """What an engine host tells of one session. Written from one thread, read from any."""

    def __init__(self, figures: Mapping[str, Figure]) -> None:
        self._figures = figures
        # As with a server's own: a counter is there at 0, and a gauge only where 0 is no lie.
        self._known: dict[str, float | None] = {
            name: 0.0 for name, figure in figures.items() if figure.kind == "counter" or figure.born
        }
        self._totals: dict[tuple[str, str], float] = {}
        self._told: set[str] = set()
        self._followed: dict[str, Followed] = {}

    def declare(self, figures: Iterable[Figure]) -> None:
        """Say what an engine reports; a part of it is shown of each session."""
        self._told |= {figure.name for figure in figures}

    def measured(self, figure: Figure) -> Followed:
        """Return what a figure is read from when somebody scrapes."""
        return self._followed.setdefault(figure.name, Followed())

    def add(self, name: str, amount: float = 1.0) -> None:
        """Raise a counter."""
        self._known[name] = (self._known.get(name) or 0.0) + amount

    def take(self, values: Mapping[str, Any], *, origin: str) -> None:
        """Take over the figures an engine reported, as `Metrics.take` does."""
        for name, value in values.items():
            figure = self._figures.get(name)
            if figure is None and name in self._told:
                continue
            if figure is None or isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
                logger.warning("figure ignored", extra=fields(name=name))
            elif figure.kind == "gauge":
                self._known[name] = value
            elif value is not None:
                before = self._totals.get((origin, name), 0.0)
                self._totals[origin, name] = value
                self.add(name, value - before if value >= before else value)

    def value(self, name: str) -> float | None:
        """Return what is known of a figure now."""
        followed = self._followed.get(name)
        return self._known.get(name) if followed is None else followed.read().get(())


class Followed:
    """One figure of one session that is read when somebody scrapes."""

    def __init__(self) -> None:
        self.read: Callable[[], Values] = dict

    def follow(self, read: Callable[[], Values]) -> None:
        """Ask `read` from now on."""
        self.read = read
