"""The options of the sink's engine, as its host hands them over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from services.runtime.errors import StartRefused
from services.runtime.session.keys import SessionKeys

SHARES_MAX: Final = 4
"""More partitions than these make neither commits rarer, because what is not committed is read again after a crash, nor reads longer."""
_INT64_MAX: Final = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What one sink does; the defaults are those of a server."""

    redis_url: str
    session: str
    out: Path
    sink: str = "price"
    latency_threshold_ns: int = 20_000_000
    log_arrival: bool = False
    with_mids: bool = True
    with_csv: bool = False
    retain_bytes: int = 64 * 1024 * 1024
    partition: int | None = None
    """The partition whose sink this is; None in a session of one."""
    partitions: int = 1
    """How many there are."""
    owner: str = ""
    """Name of the server that this engine works for, where several share the partitions."""
    lock_wait: bool = True
    """Stand by while another sink holds the directory; False refuses at once."""
    commit_records: int = 64 * 1024
    """A commit is due when so many records wait for one; about twice as many are ever held. More is slower: the text leaves the cache."""
    commit_interval_s: float = 0.05
    """A commit is due when the oldest record waits so long, in a session of one partition."""
    idle_linger_s: float = 0.002
    """A commit is due when nothing new came for so long: a paced line is in the log at once."""
    read_count: int = 4
    """Entries per read in a session of one partition; each holds at most 4,096 records."""

    @property
    def keys(self) -> SessionKeys:
        """Where its ticks, its position and its mids are."""
        return SessionKeys(self.session, self.partition or 0)

    @property
    def commit_due_s(self) -> float:
        """How long the oldest record may wait for a commit.

        The sinks of a session share disks and cores, and each gets a part of its records: so that they do not sync them far more often than
        one sink would, each waits longer. What comes now and then is committed at once all the same.
        """
        return self.commit_interval_s * min(self.partitions, SHARES_MAX)

    @property
    def entries_per_read(self) -> int:
        """How many entries one read may bring.

        Each read has its reply, its publication of mids and its turn of the loop. So that the sinks of a session, which share cores, do not
        have far more of these than one sink would, each takes more at a time where it is there.
        """
        return self.read_count * min(self.partitions, SHARES_MAX)

    @property
    def with_index(self) -> bool:
        """Whether its logs need an index: they are a part of what one partition would have."""
        return self.partition is not None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> EngineOptions:
        """Read the host's JSON object; raises StartRefused naming the field that is wrong."""
        log_timestamp = config.get("log_timestamp", "event")
        if log_timestamp not in ("event", "arrival"):
            raise StartRefused(f"`log_timestamp` must be event or arrival (got {log_timestamp!r})")
        for name in ("redis_url", "session", "out"):
            if not config.get(name):
                raise StartRefused(f"`{name}` is missing from the configuration of the price engine")
        return cls(
            redis_url=str(config["redis_url"]),
            session=str(config["session"]),
            out=Path(config["out"]),
            sink=str(config.get("sink", cls.sink)),
            latency_threshold_ns=nanoseconds_of(config.get("latency_threshold_ms", 20)),
            log_arrival=log_timestamp == "arrival",
            with_mids=_flag(config, "mids", cls.with_mids),
            with_csv=_flag(config, "mids_csv", cls.with_csv),
            retain_bytes=_count(config, "retain_bytes", cls.retain_bytes),
            partition=_partition(config),
            partitions=_count(config, "partitions", cls.partitions),
            owner=str(config.get("owner", cls.owner)),
            lock_wait=_flag(config, "lock_wait", cls.lock_wait),
            commit_records=_count(config, "commit_records", cls.commit_records),
            commit_interval_s=_count(config, "commit_interval_ms", int(cls.commit_interval_s * 1000)) / 1000,
            read_count=_count(config, "read_count", cls.read_count),
        )


def nanoseconds_of(milliseconds: str | int | float) -> int:
    """Convert milliseconds, exactly as written, to whole nanoseconds; raises StartRefused when that is impossible."""
    try:
        exact = Decimal(str(milliseconds).strip()) * 1_000_000
        nanoseconds = int(exact)
    except (InvalidOperation, ValueError, OverflowError):
        nanoseconds = _INT64_MAX + 1
        exact = Decimal(0)
    if not -_INT64_MAX <= nanoseconds <= _INT64_MAX:
        raise StartRefused(
            f"the latency threshold must be a number of milliseconds, like 20 or 0.5 (got {milliseconds!r})"
        )
    if exact != nanoseconds:
        raise StartRefused(
            f"the latency threshold is exact to a nanosecond, 0.000001 ms, not finer (got {milliseconds!r})"
        )
    return nanoseconds


def _flag(config: Mapping[str, Any], name: str, default: bool) -> bool:
    value = config.get(name, default)
    if not isinstance(value, bool):
        raise StartRefused(f"`{name}` must be true or false (got {value!r})")
    return value


def _partition(config: Mapping[str, Any]) -> int | None:
    partition, partitions = config.get("partition"), _count(config, "partitions", EngineOptions.partitions)
    if partition is None:
        return None
    if isinstance(partition, bool) or not isinstance(partition, int) or not 0 <= partition < partitions:
        raise StartRefused(f"`partition` must be one of 0 to {partitions - 1} (got {partition!r})")
    return partition


def _count(config: Mapping[str, Any], name: str, default: int) -> int:
    value = config.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise StartRefused(f"`{name}` must be a whole number above 0 (got {value!r})")
    return value
