"""Figures as lines of the log that CloudWatch makes metrics of: its embedded metric format, without an agent beside the server."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from prometheus_client import CollectorRegistry, Metric

from services.runtime.emf_choice import CHOSEN, Chosen, unit_of
from services.runtime.log_fields import fields

__all__ = ["NAMESPACE", "EmfLines", "write_emf"]

logger = logging.getLogger(__name__)

NAMESPACE: Final = "Midstream"
STAGE: Final = "stage"
SERVER: Final = "server"
METRICS_PER_LINE_MAX: Final = 100
"""CloudWatch takes no more in one directive."""
LINE_BYTES_MAX: Final = 4096
"""What several processes write to one pipe stays whole up to here (PIPE_BUF); CloudWatch would take 1 MB."""
SERIES_MAX: Final = 1_000
"""Of one server in one interval: what is beyond is left out and said once, since each may cost money."""
DIMENSION_CHARACTERS_MAX: Final = 1024
NOTHING: Final = "-"
"""The value of a dimension that has none; CloudWatch takes no empty ones."""

Key = tuple[str, tuple[str, ...]]
"""A figure's name and the values of the labels that are kept."""


@dataclass
class _Total:
    """What a counter or a histogram has come to, over all series that are added up."""

    value: float = 0.0
    buckets: dict[float, float] = field(default_factory=dict)
    """Observations up to a bound."""


class EmfLines:
    """Makes the lines of one process. Counters and histograms are what came since the lines before."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        stage: str,
        server: str,
        wall_ns: Callable[[], int],
        chosen: Mapping[str, Chosen] = CHOSEN,
    ) -> None:
        self._registry = registry
        self._constant = {STAGE: _dimension(stage), SERVER: _dimension(server)}
        self._wall_ns = wall_ns
        self._chosen = chosen
        self._before: dict[Key, _Total] = {}
        self._said = False

    def take(self) -> list[bytes]:
        """Return the lines about the time since the last call, each with its end."""
        at_ms = self._wall_ns() // 1_000_000
        groups: dict[tuple[tuple[str, ...], tuple[str, ...]], dict[str, Any]] = {}
        count = 0
        for name, labels, value in self._values():
            count += 1
            if count <= SERIES_MAX:
                groups.setdefault((self._chosen[name].labels, labels), {})[name] = value
        if count > SERIES_MAX and not self._said:
            self._said = True
            logger.warning("figures left out of CloudWatch", extra=fields(series=count, series_max=SERIES_MAX))
        return [
            line
            for (names, values), metrics in groups.items()
            for line in self._lines(at_ms, dict(zip(names, map(_dimension, values), strict=True)), metrics)
        ]

    def _values(self) -> Iterator[tuple[str, tuple[str, ...], Any]]:
        for family in self._registry.collect():
            name = f"{family.name}_total" if family.type == "counter" else str(family.name)
            chosen = self._chosen.get(name)
            if chosen is None:
                continue
            if family.type == "gauge":
                for labels, value in _largest(family, chosen).items():
                    if math.isfinite(value) and (value or chosen.zeros):
                        yield name, labels, value
                continue
            for labels, total in _added(family, chosen).items():
                before = self._before.get((name, labels), _Total())
                self._before[name, labels] = total
                if family.type == "histogram":
                    distribution = _distribution(total, before)
                    if distribution is not None:
                        yield name, labels, distribution
                    continue
                # Smaller than before: what is measured elsewhere has begun again.
                delta = total.value - before.value if total.value >= before.value else total.value
                if delta or chosen.zeros:
                    yield name, labels, delta

    def _lines(self, at_ms: int, labels: Mapping[str, str], metrics: Mapping[str, Any]) -> Iterator[bytes]:
        part: dict[str, Any] = {}
        made = b""
        for name, value in metrics.items():
            longer = _line(at_ms, {**self._constant, **labels}, {**part, name: value})
            if part and (len(longer) > LINE_BYTES_MAX or len(part) >= METRICS_PER_LINE_MAX):
                yield made
                part = {}
                longer = _line(at_ms, {**self._constant, **labels}, {name: value})
            part[name], made = value, longer
        if part:
            yield made


async def write_emf(lines: EmfLines, *, interval_s: float, write: Callable[[bytes], None] | None = None) -> None:
    """Write lines to standard output now and at every interval, and once more at the end."""
    put = _write_out if write is None else write
    try:
        while True:
            await _put(put, await asyncio.to_thread(lines.take))
            await asyncio.sleep(interval_s)
    finally:
        # What came since: an alarm on an increase must not miss why a server ended.
        for line in lines.take():
            put(line)


async def _put(put: Callable[[bytes], None], lines: Iterable[bytes]) -> None:
    for line in lines:
        # A collector that does not read holds up nothing but this.
        await asyncio.to_thread(put, line)


def _write_out(line: bytes) -> None:
    try:
        os.write(sys.stdout.fileno(), line)
    except (OSError, ValueError):
        logger.debug("figures not written: standard output is closed")


def _line(at_ms: int, dimensions: Mapping[str, str], metrics: Mapping[str, Any]) -> bytes:
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": name, "Unit": unit_of(name)} for name in metrics],
    }
    document = {"_aws": {"Timestamp": at_ms, "CloudWatchMetrics": [directive]}, **dimensions, **metrics}
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _dimension(value: str) -> str:
    return value.encode("ascii", "replace").decode().strip()[:DIMENSION_CHARACTERS_MAX] or NOTHING


def _kept(labels: Mapping[str, str], chosen: Chosen) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in chosen.labels)


def _largest(family: Metric, chosen: Chosen) -> dict[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}
    for sample in family.samples:
        labels = _kept(sample.labels, chosen)
        found[labels] = max(found.get(labels, -math.inf), sample.value)
    return found


def _added(family: Metric, chosen: Chosen) -> dict[tuple[str, ...], _Total]:
    found: dict[tuple[str, ...], _Total] = {}
    for sample in family.samples:
        if sample.name.endswith(("_total", "_sum")):
            found.setdefault(_kept(sample.labels, chosen), _Total()).value += sample.value
        elif sample.name.endswith("_bucket"):
            buckets = found.setdefault(_kept(sample.labels, chosen), _Total()).buckets
            bound = float(sample.labels["le"])
            buckets[bound] = buckets.get(bound, 0.0) + sample.value
    return found


def _distribution(total: _Total, before: _Total) -> dict[str, Any] | None:
    """Return the observations since `before`, each at the upper bound of its bucket; None without one.

    Those above the last bound count as that bound. The sum, and with it the average, is exact.
    """
    bounds = sorted(total.buckets)
    new = [total.buckets[bound] - before.buckets.get(bound, 0.0) for bound in bounds]
    each = [new[0], *(upper - lower for lower, upper in pairwise(new))] if new else []
    finite = [bound for bound in bounds if math.isfinite(bound)]
    counts: dict[float, float] = {}
    for bound, observed in zip(bounds, each, strict=True):
        if observed:
            value = bound if math.isfinite(bound) else finite[-1]
            counts[value] = counts.get(value, 0.0) + observed
    if not counts:
        return None
    return {
        "Values": list(counts),
        "Counts": list(counts.values()),
        "Min": min(counts),
        "Max": max(counts),
        "Count": sum(counts.values()),
        "Sum": total.value - before.value,
    }
