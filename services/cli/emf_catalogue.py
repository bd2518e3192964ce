"""Every metric of CloudWatch that servers write lines for, with its dimensions: what alarms and dashboards there may name."""

from __future__ import annotations

from dataclasses import dataclass

from services.cli.metrics_catalogue import catalogue
from services.runtime.emf import SERVER, STAGE
from services.runtime.emf_choice import CHOSEN, Unit, unit_of

__all__ = ["EmfMetric", "emf_catalogue"]


@dataclass(frozen=True)
class EmfMetric:
    """One metric of the namespace `Midstream`; its name is that of the figure."""

    name: str
    unit: Unit
    dimensions: tuple[str, ...]
    """All of them, always together: a metric is found under no other set."""
    zeros: bool
    """Whether it is there while it is 0."""
    servers: tuple[str, ...]


def emf_catalogue() -> tuple[EmfMetric, ...]:
    """Return them all, by name."""
    return tuple(
        EmfMetric(series.name, unit_of(series.name), (STAGE, SERVER, *chosen.labels), chosen.zeros, series.servers)
        for series in catalogue()
        if (chosen := CHOSEN.get(series.name)) is not None
    )
