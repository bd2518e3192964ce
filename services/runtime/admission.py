"""How many calls may be under way: in all, of one address, and of the methods that must always get in."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

from services.runtime.addresses import network_of
from services.runtime.call_limits import METADATA_BYTES_CERTAINLY_REFUSED, RESERVED_CALLS_MAX, CallLimits
from services.runtime.errors import Overloaded
from services.runtime.exposure import is_local_address
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

PEERS_REMEMBERED: Final = 1024
"""Connections whose address need not be parsed again for each of their calls."""

REPORT_S: Final = 10.0
"""Between two lines of the log about refused calls: a flood must not fill the disk as well."""


class CallAdmission:
    """Counts what is under way. Refusing costs a look into two counters."""

    def __init__(self, limits: CallLimits, *, clock_s: Callable[[], float]) -> None:
        self._limits = limits
        self._clock_s = clock_s
        self._reserved: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._reported_s = -REPORT_S
        self.under_way = 0
        """Calls under way, those with a share of their own left out."""

    def check(self, path: str, peer: str) -> None:
        """Raise Overloaded when another call of a method would be too many: before its request is read, so that it costs nothing."""
        if path in self._limits.always_admitted:
            if self._reserved[path] >= RESERVED_CALLS_MAX:
                raise self._too_many(path, f"{RESERVED_CALLS_MAX} calls of this method are under way already; end some")
            return
        source, local = source_of(peer)
        if self.under_way >= self._limits.calls_max:
            raise self._too_many(
                source,
                f"{self._limits.calls_max} calls are under way already; try again with backoff, or raise MIDSTREAM_GRPC_CALLS_MAX",
            )
        if not local and self._sources[source] >= self._limits.calls_per_address:
            raise self._too_many(
                source,
                f"{self._limits.calls_per_address} calls from {source} are under way already; end some, or raise "
                "MIDSTREAM_GRPC_CALLS_PER_ADDRESS",
            )

    def enter(self, path: str, peer: str) -> Callable[[], None]:
        """Count a call whose request is there; return what ends it. Raises Overloaded as `check` does.

        Calls without their request do not count: thousands of those, which cost their sender nothing, would keep everybody else out.
        How many of them there are is bounded by the memory for requests.
        """
        self.check(path, peer)
        if path in self._limits.always_admitted:
            self._reserved[path] += 1
            return lambda: self._reserved.subtract((path,))
        source, _ = source_of(peer)
        self.under_way += 1
        self._sources[source] += 1
        return lambda: self._leave(source)

    def _leave(self, source: str) -> None:
        self.under_way -= 1
        self._sources[source] -= 1
        if not self._sources[source]:
            del self._sources[source]

    def _too_many(self, whose: str, sentence: str) -> Overloaded:
        self.refused(whose, sentence)
        return Overloaded(sentence)

    def refused(self, whose: str, sentence: str) -> None:
        """Count a call that was refused for want of room; a line of the log sums them up now and then."""
        self._refused[whose] += 1
        now_s = self._clock_s()
        if now_s - self._reported_s >= REPORT_S:
            self._reported_s = now_s
            worst, count = self._refused.most_common(1)[0]
            logger.warning(
                "calls refused",
                extra=fields(
                    count=self._refused.total(),
                    most_from=worst,
                    of_them=count,
                    under_way=self.under_way,
                    reason=sentence,
                ),
            )
            self._refused.clear()


@lru_cache(maxsize=PEERS_REMEMBERED)
def source_of(peer: str) -> tuple[str, bool]:
    """Return whom a call of `peer`, as gRPC writes it, counts for, and whether that is this machine."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return peer, True
    # The port changes with every connection. The library writes brackets as they are, or as a URL has them.
    address = rest.rpartition(":")[0].replace("%5B", "[").replace("%5D", "]").strip("[]")
    return network_of(address), is_local_address(address)


def check_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> None:
    """Raise Overloaded when headers are larger than any call's.

    The library holds a client to them only once that has acknowledged the server's settings, which it need not hurry with.
    """
    size = sum(len(key) + len(value) for key, value in metadata)
    if size > METADATA_BYTES_CERTAINLY_REFUSED:
        raise Overloaded(
            f"the call's metadata has {size} bytes; {METADATA_BYTES_CERTAINLY_REFUSED} is the most that is taken"
        )
