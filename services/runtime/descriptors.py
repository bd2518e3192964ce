"""How many files and sockets a process may have open, and how many of them go to whom."""

from __future__ import annotations

import logging
import resource
from dataclasses import dataclass
from typing import Final

from services.runtime.log_fields import fields

__all__ = ["DescriptorBudget", "announce_budget", "descriptor_budget", "raise_descriptors"]

logger = logging.getLogger(__name__)

WANTED: Final = 65_536
"""What the process asks for where the system allows it: above every cap of ours together, and below the millions that some containers
have, which make every child process slow to start."""

OWN_MAX: Final = 1_024
"""Files, logs, databases, connections to Redis and to exchanges, threads' wake-up pipes, listeners. Far above what was ever counted."""

METRICS_MAX: Final = 64
"""A handful of scrapers, each with a connection or two."""

TIGHT: Final = 512
"""A process with fewer than these is warned about: its shares are so small that ordinary use may reach them."""


@dataclass(frozen=True)
class DescriptorBudget:
    """Who may have how many at most; together no more than the limit, so that accepting a connection never fails for want of one."""

    limit: int
    """What the system lets the process have open."""
    own: int
    """Everything that is no connection of a client."""
    metrics: int
    """Connections to the metrics."""
    grpc: int
    """Connections to the gRPC port."""
    web: int
    """Connections to the web port."""

    @property
    def alone(self) -> int:
        """Connections to the only port of a process that has just one."""
        return self.metrics + self.grpc + self.web


def raise_descriptors() -> int:
    """Raise the soft limit of open files as far as the hard one, or `WANTED`, allows; return it. Children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as exc:
            # Some systems have a lower limit of their own that no call tells. What there is will do: the shares follow it.
            logger.warning("limit of open files not raised", extra=fields(limit=soft, wanted=wanted, reason=exc))
    return _limit()


def descriptor_budget(limit: int | None = None) -> DescriptorBudget:
    """Divide `limit` (as it stands for this process) among the process itself and its listeners."""
    limit = _limit() if limit is None else limit
    own = min(OWN_MAX, limit // 4 if limit >= TIGHT else limit // 2)
    rest = limit - own
    metrics = min(METRICS_MAX, max(2, rest // 16))
    grpc = (rest - metrics) // 2
    return DescriptorBudget(limit=limit, own=own, metrics=metrics, grpc=grpc, web=rest - metrics - grpc)


def announce_budget() -> DescriptorBudget:
    """Log once, when the process serves, who gets how much of the limit; return that."""
    budget = descriptor_budget()
    logger.log(
        logging.WARNING if budget.limit < TIGHT else logging.INFO,
        "open files",
        extra=fields(limit=budget.limit, own=budget.own, grpc=budget.grpc, web=budget.web, metrics=budget.metrics),
    )
    return budget


def _limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WANTED if soft == resource.RLIM_INFINITY else min(soft, WANTED)
