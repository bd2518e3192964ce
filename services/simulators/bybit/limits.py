"""The bucket that each account has for each route, and the count of requests of an address, with its ban."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final

from services.simulators.bybit.errors import TOO_FREQUENT
from services.simulators.bybit.listings import OPTION, SPOT

KEPT_MAX: Final = 4096
SECOND_NS: Final = 1_000_000_000

SIZES: Final = {
    "/v5/order/create": (10, 20, 10),
    "/v5/order/amend": (10, 10, 10),
    "/v5/order/cancel": (10, 20, 10),
    "/v5/order/cancel-all": (10, 20, 1),
    "/v5/order/create-batch": (10, 20, 10),
    "/v5/order/amend-batch": (10, 20, 10),
    "/v5/order/cancel-batch": (10, 20, 10),
    "/v5/order/disconnected-cancel-all": (5, 5, 5),
    "/v5/account/fee-rate": (5, 5, 5),
    "/v5/account/query-dcp-info": (5, 5, 5),
    "/v5/position/switch-mode": (10, 10, 10),
    "/v5/position/set-leverage": (10, 10, 10),
}
"""Per second: linear and inverse together, spot, options."""
OTHER_SIZE: Final = (50, 50, 50)


@dataclass(frozen=True)
class LimitOptions:
    """The limits."""

    factor: int = 1
    """What every bucket of a route is multiplied with."""
    address_requests: int = 600
    address_window_s: float = 5.0
    ban_s: float = 600.0


class RollingCount:
    """Counts what happened in the window that ends now."""

    def __init__(self, *, size: int, window_ns: int) -> None:
        self.size = size
        self._window_ns = window_ns
        self._times: deque[int] = deque()

    def take(self, units: int, now_ns: int) -> int:
        """Take that many, or what there is of them; return how many."""
        granted = min(units, self.left(now_ns))
        self._times.extend([now_ns] * granted)
        return granted

    def left(self, now_ns: int) -> int:
        """Return how many there are."""
        while self._times and self._times[0] <= now_ns - self._window_ns:
            self._times.popleft()
        return self.size - len(self._times)

    def free_ns(self, now_ns: int) -> int:
        """Return when there is one again; now where there is one."""
        return now_ns if self.left(now_ns) > 0 else self._times[0] + self._window_ns


@dataclass
class _Address:
    requests: RollingCount
    banned_until_ns: int = 0


class BybitLimits:
    """All counters."""

    def __init__(self, options: LimitOptions) -> None:
        self.options = options
        self._buckets: OrderedDict[tuple[str, str, int], RollingCount] = OrderedDict()
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    def admit_address(self, address: str, now_ns: int) -> None:
        """Count a request of an address; raise the edge's 403 when it is banned, or is now."""
        known = self._address(address)
        if now_ns < known.banned_until_ns:
            raise TOO_FREQUENT
        if not known.requests.take(1, now_ns):
            known.banned_until_ns = now_ns + round(self.options.ban_s * SECOND_NS)
            raise TOO_FREQUENT

    def take(
        self, account: str, path: str, category: str, units: int, now_ns: int, shown_ms: int
    ) -> tuple[int, dict[str, str]]:
        """Take from the bucket of a route; return how many were granted, and the headers that tell what is left."""
        group = 2 if category == OPTION else 1 if category == SPOT else 0
        bucket = self._bucket(account, path, group)
        granted = bucket.take(units, now_ns)
        wait_ms = -(-(bucket.free_ns(now_ns) - now_ns) // 1_000_000) if granted < units else 0
        return granted, {
            "X-Bapi-Limit": str(bucket.size),
            "X-Bapi-Limit-Status": str(bucket.left(now_ns)),
            "X-Bapi-Limit-Reset-Timestamp": str(shown_ms + wait_ms),
        }

    def _bucket(self, account: str, path: str, group: int) -> RollingCount:
        bucket = self._buckets.get((account, path, group))
        if bucket is None:
            size = SIZES.get(path, OTHER_SIZE)[group] * self.options.factor
            bucket = self._buckets[account, path, group] = RollingCount(size=size, window_ns=SECOND_NS)
            if len(self._buckets) > KEPT_MAX:
                self._buckets.popitem(last=False)
        return bucket

    def _address(self, address: str) -> _Address:
        known = self._addresses.get(address)
        if known is None:
            window_ns = round(self.options.address_window_s * SECOND_NS)
            known = _Address(RollingCount(size=self.options.address_requests, window_ns=window_ns))
            self._addresses[address] = known
            if len(self._addresses) > KEPT_MAX:
                self._addresses.popitem(last=False)
        return known
