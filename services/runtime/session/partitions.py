"""Which partition of a session a ticker belongs to: the same for every process, machine and version."""

from __future__ import annotations

import zlib
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Final

from services.runtime.errors import InvalidRequest

PARTITIONS_MAX: Final = 1024
"""Each is a process of its own and up to 100 MB of the queue."""
RANK_SHIFT: Final = 48
"""A record's place among those of one arrival time is `source_rank << RANK_SHIFT | row`, as `tie_order` in market.proto says."""


@dataclass(frozen=True)
class Partitioning:
    """How the tickers of a session are spread over its partitions."""

    count: int = 1
    assigned: Mapping[str, int] = field(default_factory=dict)
    """Tickers that have a partition of their own choice; all others go by their hash."""

    def __post_init__(self) -> None:
        if not 1 <= self.count <= PARTITIONS_MAX:
            raise InvalidRequest("partitions", f"must be 1 to {PARTITIONS_MAX:,} (got {self.count})")
        for ticker, partition in self.assigned.items():
            if not 0 <= partition < self.count:
                raise InvalidRequest(
                    "partition_of", f"ticker `{ticker}` must be in one of 0 to {self.count - 1} (got {partition})"
                )

    def of_ticker(self, ticker: str) -> int:
        """Return the ticker's partition: the CRC-32 (of zlib, gzip and PNG) of its UTF-8 bytes modulo the number of partitions."""
        chosen = self.assigned.get(ticker)
        return zlib.crc32(ticker.encode()) % self.count if chosen is None else chosen

    def of_source(self, rank: int) -> int:
        """Return the partition of what has no ticker: a source's rows that cannot be used."""
        return rank % self.count


@dataclass(frozen=True)
class Partition:
    """One partition of a session, as whoever fills it sees it; by default all of it."""

    number: int = 0
    of: Partitioning = field(default_factory=Partitioning)

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.of.count:
            raise InvalidRequest("partition", f"must be one of 0 to {self.of.count - 1} (got {self.number})")

    @property
    def is_all(self) -> bool:
        """Tell whether there is no other one."""
        return self.of.count == 1

    def has_ticker(self, ticker: str) -> bool:
        """Tell whether the records of a ticker are in it."""
        return self.of.of_ticker(ticker) == self.number

    def has_source(self, rank: int) -> bool:
        """Tell whether the rows of a source that cannot be used are in it."""
        return self.of.of_source(rank) == self.number


@dataclass(frozen=True)
class ChosenTickers(Container[str]):
    """The tickers of a partition, of those that a filter leaves; no `only` leaves all."""

    partition: Partition
    only: frozenset[str] = frozenset()

    def __contains__(self, ticker: object) -> bool:
        return (
            isinstance(ticker, str)
            and (not self.only or ticker in self.only)
            and (self.partition.is_all or self.partition.has_ticker(ticker))
        )
