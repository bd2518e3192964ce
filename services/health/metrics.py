"""Figures for Prometheus about what the checks found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from protos.health.v1.health_pb2 import STATUS_DEGRADED, STATUS_DOWN, STATUS_OK, QueueLag, Status
from services.runtime.figures import Figure
from services.runtime.metrics import Metrics

__all__ = ["HEALTH_FIGURES", "HealthMetrics"]

CHECK_STATUS: Final = Figure(
    "midstream_health_check_status", "gauge", "How a check found things: 0 ok, 1 degraded, 2 down", ("check",)
)
CHECK_AGE: Final = Figure("midstream_health_check_age_seconds", "gauge", "Since a check was last made", ("check",))
REPORT_AGE: Final = Figure(
    "midstream_session_report_age_seconds", "gauge", "Since the engine of a session last reported", ("session",)
)
_GROUP: Final = ("session", "group")
LAG_RECORDS: Final = Figure(
    "midstream_group_lag_records", "gauge", "Records between the newest one and a consumer group's position", _GROUP
)
LAG_SECONDS: Final = Figure(
    "midstream_group_lag_seconds",
    "gauge",
    "Data time between the newest record and a consumer group's position",
    _GROUP,
)
HEALTH_FIGURES: Final = (CHECK_STATUS, CHECK_AGE, REPORT_AGE, LAG_RECORDS, LAG_SECONDS)

_LEVELS: Final[Mapping[Status, int]] = {STATUS_OK: 0, STATUS_DEGRADED: 1, STATUS_DOWN: 2}


class HealthMetrics:
    """What the report says, as figures; series are there for what has been looked at."""

    def __init__(self, metrics: Metrics) -> None:
        self._status = metrics.measured(CHECK_STATUS)
        self._check_age = metrics.measured(CHECK_AGE)
        self._report_age = metrics.measured(REPORT_AGE)
        self._lag_records = metrics.measured(LAG_RECORDS)
        self._lag_seconds = metrics.measured(LAG_SECONDS)

    def checks(self, statuses: Callable[[], Mapping[str, tuple[Status, float]]]) -> None:
        """Show from now on what `statuses` returns: by check how it is, and for how many seconds that has been known."""
        self._status.follow(
            lambda: {(name,): _LEVELS[status] for name, (status, _) in statuses().items() if status in _LEVELS}
        )
        self._check_age.follow(lambda: {(name,): age_s for name, (_, age_s) in statuses().items()})

    def sessions(self, reported_ns: Mapping[str, int], *, wall_ns: Callable[[], int]) -> None:
        """Show from now on how old the newest report of each session is."""
        self._report_age.follow(
            lambda: {(name,): max(0.0, (wall_ns() - at_ns) / 1e9) for name, at_ns in reported_ns.items()}
        )

    def queues(self, queues: Sequence[QueueLag]) -> None:
        """Show how far these consumer groups are behind, and no others."""
        records: dict[tuple[str, ...], float] = {}
        seconds: dict[tuple[str, ...], float] = {}
        for queue in queues:
            # A group of several partitions is as far behind as where it is furthest, with the records of all.
            reader = (queue.session, queue.group)
            records[reader] = records.get(reader, 0) + queue.lag_records
            seconds[reader] = max(seconds.get(reader, 0.0), queue.lag_data_time_ns / 1e9)
        self._lag_records.replace(records)
        self._lag_seconds.replace(seconds)
