"""Options of reading recorded files, checked against each other."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Literal

from fastpath.columns import AFTER_EVERYTHING, BEFORE_EVERYTHING
from fastpath.rules import NegativeLatency
from services.replay.sources.errors import UnusableInput
from services.replay.sources.latency_models import parse_entry
from services.runtime.session.partitions import Partition

NegativeLatencyPolicy = Literal["keep", "clamp", "shift"]
UnsortedPolicy = Literal["refuse", "sort"]
LATENCY_MS_LIMIT = 9e12
"""285 years: what fits into nanoseconds."""


@dataclass(frozen=True)
class HistoricalOptions:
    """Everything that changes which rows come out of the files, and when they arrive.

    Times are arrival times in UTC nanoseconds, `start_time_ns` inclusive and `end_time_ns` exclusive; None is
    unbounded. No `tickers` means all. `min_latency_ms` declares the lowest latency of the files and saves the scan for it. `latency`
    holds entries of `latency_models`; none: rows arrive as their files say.
    """

    fraction_unit_us: bool = False
    start_time_ns: int | None = None
    end_time_ns: int | None = None
    tickers: tuple[str, ...] = ()
    negative_latency: NegativeLatencyPolicy = "keep"
    min_latency_ms: float | None = None
    unsorted: UnsortedPolicy = "refuse"
    latency: tuple[str, ...] = ()
    partition: Partition = field(default_factory=Partition)
    """Rows of others are read, for the order's sake, and not handed out."""

    def __post_init__(self) -> None:
        """Check the values against each other."""
        if self.negative_latency not in ("keep", "clamp", "shift"):
            raise UnusableInput(f"negative latency `{self.negative_latency}` is unknown; use keep, clamp or shift")
        if self.unsorted not in ("refuse", "sort"):
            raise UnusableInput(f"unsorted `{self.unsorted}` is unknown; use refuse or sort")
        if self.min_latency_ms is not None and not abs(self.min_latency_ms) < LATENCY_MS_LIMIT:
            raise UnusableInput(f"minimum latency {self.min_latency_ms} ms is not a latency; give milliseconds")
        for entry in self.latency:
            parse_entry(entry)
        if any(not name.strip() for name in self.tickers):
            raise UnusableInput("a ticker to filter by is empty; name one, or leave the filter out")
        if self.start_ns >= self.end_ns:
            raise UnusableInput("the start is not before the end, nothing would be replayed; swap or drop one of them")

    @property
    def start_ns(self) -> int:
        """Return the first arrival time that counts."""
        return BEFORE_EVERYTHING if self.start_time_ns is None else self.start_time_ns

    @property
    def end_ns(self) -> int:
        """Return the arrival time from which on nothing counts."""
        return AFTER_EVERYTHING if self.end_time_ns is None else self.end_time_ns

    @property
    def min_latency_ns(self) -> int | None:
        """Return the declared lower bound in nanoseconds, rounded down."""
        return None if self.min_latency_ms is None else math.floor(self.min_latency_ms * 1e6)

    @property
    def policy(self) -> NegativeLatency:
        """Return the kernel's name of the policy."""
        return NegativeLatency[self.negative_latency.upper()]

    def canonical(self) -> str:
        """Spell the options so that equal options are equal text."""
        spelt = asdict(self) | {"tickers": sorted(set(self.tickers))}
        # What the models come to is in the fingerprint by itself. Without any, options are spelt as before there were models, so that
        # what was begun then is still continued.
        del spelt["latency"]
        if self.partition.is_all:
            del spelt["partition"]
        return json.dumps(spelt, sort_keys=True)
