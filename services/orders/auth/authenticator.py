"""Turn an API key into a caller."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from clients.resilience.ports import MonotonicNs, WallNs
from services.orders.auth.keys import KEY_PATTERN, StoredKey, matches
from services.orders.auth.rates import FailureWindow, KeyRates
from services.orders.auth.roles import Role
from services.orders.engine.commands import Caller
from services.runtime.errors import PermissionDenied, ResourceExhausted, Unauthenticated

logger = logging.getLogger(__name__)

FRESH_NS: Final = 5_000_000_000
"""How old the list of keys may be: a revoked key works that much longer."""
SIGNED_WINDOW_NS: Final = 30_000_000_000
NONCES_MAX: Final = 100_000
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_NOT_KNOWN: Final = "the API key is missing or not usable; send `authorization: Bearer mk_...`"


@dataclass(frozen=True)
class Signed:
    """The parts of a signed request. The key id names the key; its secret never travels."""

    key_id: str
    timestamp_ms: str
    nonce: str
    signature: str = field(repr=False)
    method: str
    target: str
    """Path and query exactly as sent."""
    body: bytes = field(repr=False)

    def text(self) -> str:
        """Return what is signed."""
        digest = hashlib.sha256(self.body).hexdigest()
        return "\n".join((self.method, self.target, self.timestamp_ms, self.nonce, digest))


class Authenticator:
    """Knows the usable keys, refuses everything else with one sentence, and slows down whoever guesses."""

    def __init__(
        self,
        load: Callable[[], Awaitable[Sequence[StoredKey]]],
        *,
        wall_ns: WallNs,
        monotonic_ns: MonotonicNs,
        failures_per_minute: int = 10,
        per_second: float = 100.0,
    ) -> None:
        self._load = load
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._keys: dict[str, StoredKey] = {}
        self._loaded_ns: int | None = None
        self._lock = asyncio.Lock()
        self._failures = FailureWindow(failures_max=failures_per_minute, window_s=60.0, monotonic_ns=monotonic_ns)
        self._rates = KeyRates(per_second=per_second, burst=2 * per_second, monotonic_ns=monotonic_ns)
        self._nonces: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def bearer(self, authorization: str | None, peer: str, needed: Role) -> Caller:
        """Return the caller behind an `authorization` header. Raises Unauthenticated, PermissionDenied, ResourceExhausted."""
        self._check_peer(peer)
        scheme, _, token = (authorization or "").partition(" ")
        parts = KEY_PATTERN.fullmatch(token.strip()) if scheme.lower() == "bearer" else None
        key = await self._key(parts.group(1) if parts is not None else "")
        if not matches(key, parts.group(2) if parts is not None else "") or key is None:
            raise self._refused(peer)
        if key.signed_only:
            raise self._refused(peer, "this key is for signed requests only")
        return self._admitted(key, needed)

    async def signed(self, request: Signed, peer: str, needed: Role) -> Caller:
        """Return the caller behind a signed request: fresh, unaltered, and not seen before."""
        self._check_peer(peer)
        key = await self._key(request.key_id)
        secret = (key.secret_hash if key is not None else "").encode()
        expected = hmac.new(secret, request.text().encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
        same = hmac.compare_digest(expected.encode(), request.signature.encode("utf-8", "replace"))
        if not same or key is None or key.revoked_ns is not None or not self._is_fresh(request):
            raise self._refused(peer, "the signature is not valid, too old, or was used before")
        self._nonces[key.key_id, request.nonce] = self._monotonic_ns()
        return self._admitted(key, needed)

    def _is_fresh(self, request: Signed) -> bool:
        if not request.timestamp_ms.isascii() or not request.timestamp_ms.isdecimal() or len(request.timestamp_ms) > 16:
            return False
        age_ns = self._wall_ns() - int(request.timestamp_ms) * 1_000_000
        if abs(age_ns) > SIGNED_WINDOW_NS or _NONCE.fullmatch(request.nonce) is None:
            return False
        now_ns = self._monotonic_ns()
        # Whatever is older than twice the window can no longer pass the check of its timestamp.
        while self._nonces and now_ns - next(iter(self._nonces.values())) > 2 * SIGNED_WINDOW_NS:
            self._nonces.popitem(last=False)
        return len(self._nonces) < NONCES_MAX and (request.key_id, request.nonce) not in self._nonces

    def _check_peer(self, peer: str) -> None:
        wait_s = self._failures.wait_s(peer)
        if wait_s:
            raise ResourceExhausted(f"too many attempts without a usable key; wait {wait_s:.0f} s")

    def _refused(self, peer: str, text: str = _NOT_KNOWN) -> Unauthenticated:
        self._failures.failed(peer)
        return Unauthenticated(text)

    def _admitted(self, key: StoredKey, needed: Role) -> Caller:
        if not self._rates.take(key.key_id):
            raise ResourceExhausted("this key asks too often; wait a second")
        if not key.role.covers(needed):
            raise PermissionDenied(f"role {key.role} may not do this, it needs role {needed}")
        return Caller(key.name, key.owner, key.role.value)

    async def _key(self, key_id: str) -> StoredKey | None:
        now_ns = self._monotonic_ns()
        if self._loaded_ns is None or now_ns - self._loaded_ns > FRESH_NS:
            async with self._lock:
                if self._loaded_ns is None or self._monotonic_ns() - self._loaded_ns > FRESH_NS:
                    await self._reload()
        return self._keys.get(key_id)

    async def _reload(self) -> None:
        try:
            self._keys = {key.key_id: key for key in await self._load()}
        except Exception:  # everything: keys that were usable a moment ago stay usable while the database is away
            if self._loaded_ns is None:
                raise
            logger.warning("keys not read again, the last list counts", exc_info=True)
        self._loaded_ns = self._monotonic_ns()
