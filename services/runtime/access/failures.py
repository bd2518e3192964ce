"""What failed attempts cost, and whom: the one who fails. Somebody with a usable key never meets this."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from clients.resilience.ports import MonotonicNs
from services.runtime.access.identity import Credentials
from services.runtime.errors import MidstreamError, ResourceExhausted, Unauthenticated

FAILURES_PER_MINUTE: Final = 10
REMEMBERED_MAX: Final = 4096
"""Addresses or key ids whose failures are remembered; the one not heard of for longest is forgotten."""
RETRY_AFTER: Final = "retry-after"
"""Trailing metadata, and the header of HTTP: whole seconds."""


class FailureCosts:
    """Counts failures per address and per key id in a bounded memory. Call it only once an attempt has failed:

    ```
    try:
        identity = await gate.admit(credentials, path)
    except Unauthenticated as exc:
        raise costs.failed(credentials, exc) from exc
    ```
    """

    def __init__(
        self,
        *,
        monotonic_ns: MonotonicNs,
        key_id: Callable[[Credentials], str] = lambda credentials: "",
        per_minute: int = FAILURES_PER_MINUTE,
    ) -> None:
        """`key_id` returns the name of the key that was tried, if any: guesses at one from everywhere count together."""
        self._key_id = key_id
        self._windows = {
            kind: _Windows(per_minute=per_minute, monotonic_ns=monotonic_ns) for kind in ("address", "key")
        }

    def is_spent(self, peer: str) -> bool:
        """Whether an address has failed so often that its failures are answered without a look into the database."""
        return self._windows["address"].wait_s(_network(peer)) > 0

    def failed(self, credentials: Credentials, refusal: Unauthenticated) -> MidstreamError:
        """Count a failed attempt; return what its sender is told: the refusal, or that it was one too many."""
        address, key_id = _network(credentials.peer), self._key_id(credentials)
        waits = [self._windows["address"].wait_s(address), self._windows["key"].wait_s(key_id) if key_id else 0.0]
        if any(waits):
            wait_s = math.ceil(max(waits))
            return ResourceExhausted(
                f"too many attempts without a usable key; wait {wait_s} s", metadata=((RETRY_AFTER, str(wait_s)),)
            )
        self._windows["address"].count(address)
        if key_id:
            self._windows["key"].count(key_id)
        return refusal


class _Windows:
    """Times of the last failures, by name."""

    def __init__(self, *, per_minute: int, monotonic_ns: MonotonicNs) -> None:
        self._per_minute = per_minute
        self._monotonic_ns = monotonic_ns
        self._failures: OrderedDict[str, deque[int]] = OrderedDict()

    def wait_s(self, name: str) -> float:
        """Return how long until the next failure is counted instead of refused; 0 when it is now."""
        failures = self._failures.get(name)
        if failures is None:
            return 0.0
        now_ns = self._monotonic_ns()
        while failures and now_ns - failures[0] >= 60_000_000_000:
            failures.popleft()
        if len(failures) < self._per_minute:
            return 0.0
        return (failures[0] + 60_000_000_000 - now_ns) / 1e9

    def count(self, name: str) -> None:
        failures = self._failures.setdefault(name, deque(maxlen=self._per_minute))
        failures.append(self._monotonic_ns())
        self._failures.move_to_end(name)
        if len(self._failures) > REMEMBERED_MAX:
            self._failures.popitem(last=False)


def _network(peer: str) -> str:
    """Return what counts as one sender: an IPv4 address, or the 64 bits of an IPv6 address that a network hands out as a whole."""
    try:
        address = ipaddress.ip_address(peer.strip("[]").partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)
