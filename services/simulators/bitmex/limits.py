"""The two buckets of an account, the bucket of a stranger, and the ban of those who do not listen."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from clients.resilience.token_bucket import TokenBucket
from services.simulators.bitmex.errors import BitmexError
from services.simulators.venue.limits import Ban, WindowCounter

KEPT_MAX: Final = 4096


@dataclass(frozen=True)
class LimitOptions:
    """The limits."""

    signed_per_minute: int = 120
    unsigned_per_minute: int = 30
    orders_per_s: int = 10
    errors_per_minute: int = 600
    """Refused requests of an address before it is banned."""
    ban_first_s: float = 3600.0
    ban_longest_s: float = 7 * 86_400.0
    sockets_per_hour: int = 60


class BitmexLimits:
    """All buckets. What is refused by one has taken nothing of the other."""

    def __init__(self, options: LimitOptions) -> None:
        self.options = options
        self._buckets: OrderedDict[tuple[str, str], TokenBucket] = OrderedDict()
        self._errors: OrderedDict[str, tuple[WindowCounter, Ban]] = OrderedDict()
        self._sockets = TokenBucket(size=options.sockets_per_hour, per_s=options.sockets_per_hour / 3600)

    def admit(self, *, account: str | None, address: str, is_order: bool, now_ns: int) -> dict[str, str]:
        """Take from the buckets and return the headers that tell what is left; raise 429 when there is nothing."""
        general = self._general(account, address)
        orders = self._bucket("orders", account or address, self.options.orders_per_s, self.options.orders_per_s)
        empty = [bucket for bucket in ([general, orders] if is_order else [general]) if not bucket.remaining(now_ns)]
        if empty:
            wait_s = max(1, round(max(bucket.next_s(now_ns) for bucket in empty) + 0.5))
            raise BitmexError(
                429,
                f"Rate limit exceeded, retry in {wait_s} seconds.",
                headers={**self._headers(general, orders, is_order, now_ns), "retry-after": str(wait_s)},
            )
        general.take(now_ns)
        if is_order:
            orders.take(now_ns)
        return self._headers(general, orders, is_order, now_ns)

    def check_ban(self, address: str, now_ns: int) -> None:
        """Raise 403 for a banned address."""
        if self.is_banned(address, now_ns):
            raise BitmexError(403, "Access Denied")

    def is_banned(self, address: str, now_ns: int) -> bool:
        """Whether an address is banned."""
        return self._record(address)[1].active(now_ns)

    def count_error(self, address: str, now_ns: int) -> None:
        """Count a refused request of an address."""
        counter, ban = self._record(address)
        counter.add(1, now_ns)
        if counter.over(0, now_ns):
            ban.offend(now_ns)

    def admit_socket(self, now_ns: int) -> int | None:
        """Take one connection; return how many are left, None when there was none."""
        return self._sockets.remaining(now_ns) if self._sockets.take(now_ns) else None

    def _general(self, account: str | None, address: str) -> TokenBucket:
        if account is None:
            size = self.options.unsigned_per_minute
            return self._bucket("unsigned", address, size, size / 60)
        size = self.options.signed_per_minute
        return self._bucket("signed", account, size, size / 60)

    def _headers(self, general: TokenBucket, orders: TokenBucket, is_order: bool, now_ns: int) -> dict[str, str]:
        headers = {
            "x-ratelimit-limit": str(general.size),
            "x-ratelimit-remaining": str(general.remaining(now_ns)),
            "x-ratelimit-reset": str(int(now_ns / 1e9 + general.full_s(now_ns)) + 1),
        }
        if is_order:
            headers["x-ratelimit-limit-1s"] = str(orders.size)
            headers["x-ratelimit-remaining-1s"] = str(orders.remaining(now_ns))
        return headers

    def _bucket(self, kind: str, owner: str, size: int, per_s: float) -> TokenBucket:
        bucket = self._buckets.get((kind, owner))
        if bucket is None:
            bucket = self._buckets[kind, owner] = TokenBucket(size=size, per_s=per_s)
            if len(self._buckets) > KEPT_MAX:
                self._buckets.popitem(last=False)
        return bucket

    def _record(self, address: str) -> tuple[WindowCounter, Ban]:
        record = self._errors.get(address)
        if record is None:
            options = self.options
            record = (
                WindowCounter(window_s=60, limit=options.errors_per_minute),
                Ban(options.ban_first_s, options.ban_longest_s, tolerance=0, factor=168.0),
            )
            self._errors[address] = record
            if len(self._errors) > KEPT_MAX:
                self._errors.popitem(last=False)
        return record
