"""Every metric there is, read from the declarations that the servers make them from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.health.metrics import HEALTH_FIGURES
from services.orders.metrics import ORDERS_FIGURES
from services.power.figures import DEAL_FIGURES, REFERENCE_FIGURES
from services.price.metrics import PRICE_FIGURES
from services.price.metrics import SESSION_FIGURES as CREATED_SINK_FIGURES
from services.replay.metrics import REPLAY_FIGURES
from services.replay.metrics import SESSION_FIGURES as CREATED_FIGURES
from services.reporting.measures import FIGURES as REPORTING_FIGURES
from services.runtime.engine_host import ENGINE_FIGURES
from services.runtime.exchanges.watcher import EXCHANGE_FIGURES
from services.runtime.figures import Figure, Kind
from services.runtime.metrics import CALL_FIGURES, SERVER_FIGURES
from services.runtime.refusal_pace import PACE_FIGURES
from services.runtime.subscriptions import SUBSCRIBER_FIGURES
from services.runtime.unreadable import UNREADABLE_FIGURES
from services.runtime.web.request_figures import REQUEST_FIGURES
from services.runtime.web.table import TABLE_FIGURES

__all__ = ["Series", "catalogue", "own_servers"]

# The Prometheus client for Python declares these itself; of the process, on Linux alone.
LIBRARY_FIGURES: Final = (
    Figure("python_info", "gauge", "Python platform information", ("implementation", "major", "minor", "patchlevel", "version")),
    Figure("python_gc_objects_collected_total", "counter", "Objects collected during gc", ("generation",)),
    Figure("python_gc_objects_uncollectable_total", "counter", "Uncollectable objects found during GC", ("generation",)),
    Figure("python_gc_collections_total", "counter", "Number of times this generation was collected", ("generation",)),
    Figure("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes."),
    Figure("process_resident_memory_bytes", "gauge", "Resident memory size in bytes."),
    Figure("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds."),
    Figure("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds."),
    Figure("process_open_fds", "gauge", "Number of open file descriptors."),
    Figure("process_max_fds", "gauge", "Maximum number of open file descriptors."),
)  # fmt: skip

_EVERYWHERE: Final = (SERVER_FIGURES, CALL_FIGURES, LIBRARY_FIGURES)
_OWN: Final[Mapping[str, Sequence[Sequence[Figure]]]] = {
    "replay": (REPLAY_FIGURES, ENGINE_FIGURES, SUBSCRIBER_FIGURES, CREATED_FIGURES),
    "control": (UNREADABLE_FIGURES,),
    "price": (
        PRICE_FIGURES,
        ENGINE_FIGURES,
        SUBSCRIBER_FIGURES,
        UNREADABLE_FIGURES,
        EXCHANGE_FIGURES,
        CREATED_SINK_FIGURES,
    ),
    "health": (HEALTH_FIGURES,),
    "orders": (ORDERS_FIGURES, PACE_FIGURES, EXCHANGE_FIGURES, TABLE_FIGURES, REQUEST_FIGURES),
    "reporting": (REPORTING_FIGURES, TABLE_FIGURES, REQUEST_FIGURES),
    "power-listener": (DEAL_FIGURES,),
    "power-etl": (REFERENCE_FIGURES,),
}
"""By the names of `midstream serve`. Simulators are the outside world and have no metrics."""


@dataclass(frozen=True)
class Series:
    """One metric, as every server that has it exposes it."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    servers: tuple[str, ...]

    @property
    def samples(self) -> tuple[str, ...]:
        """The names that a query may use: those of a histogram are three."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return (self.name,)


def own_servers() -> tuple[str, ...]:
    """Return the servers that have figures, by their names for `midstream serve`."""
    return tuple(_OWN)


def catalogue() -> tuple[Series, ...]:
    """Return every metric, by name. Raises ValueError when servers mean different things by one."""
    found: dict[str, tuple[Figure, list[str]]] = {}
    for server, figure in _declared():
        first, servers = found.setdefault(figure.name, (figure, []))
        if first != figure:
            raise ValueError(f"{figure.name} is one thing on {servers[0]} and another on {server}")
        servers.append(server)
    return tuple(
        Series(figure.name, figure.kind, figure.labels, figure.help, tuple(servers))
        for _, (figure, servers) in sorted(found.items())
    )


def _declared() -> Iterator[tuple[str, Figure]]:
    for server, own in _OWN.items():
        for figures in (*_EVERYWHERE, *own):
            for figure in figures:
                yield server, figure
