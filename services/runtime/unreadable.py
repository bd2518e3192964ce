"""Entries that somebody else wrote and nobody can read: skipped where others do not depend on them, counted, and said once per kind."""

from __future__ import annotations

import logging
from typing import Final

from services.runtime.clock import Clock
from services.runtime.figures import Figure
from services.runtime.log_fields import fields
from services.runtime.logs import REPEAT_S, LogLimit
from services.runtime.metrics import Metrics

__all__ = ["UNREADABLE_FIGURES", "Unreadable"]

logger = logging.getLogger(__name__)
_FIGURE: Final = "midstream_unreadable_entries_total"
UNREADABLE_FIGURES: Final = (Figure(_FIGURE, "counter", "Entries in Redis that could not be read and were skipped"),)


class Unreadable:
    """The count of one process. `note` is for entries that are skipped; what must not be skipped raises instead."""

    def __init__(self, metrics: Metrics | None = None, *, clock: Clock | None = None) -> None:
        if metrics is not None:
            metrics.declare(UNREADABLE_FIGURES)
        self._metrics = metrics
        self._clock = clock
        self._limits: dict[str, LogLimit] = {}

    def note(self, kind: str, where: object, error: Exception) -> None:
        """Count one of a `kind` (from a fixed set); `where` and `error` stand in the log line, once per kind and minute."""
        if self._metrics is not None:
            self._metrics.add(_FIGURE)
        limit = self._limits.setdefault(kind, LogLimit(REPEAT_S, clock=self._clock))
        if (more := limit.passes()) is not None:
            logger.warning(
                "unreadable entry skipped", extra=fields(kind=kind, where=where, error=repr(error), more_before=more)
            )
