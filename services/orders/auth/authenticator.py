"""Turn an API key or a signature into a caller."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from clients.resilience.ports import MonotonicNs, WallNs
from services.orders.engine.commands import Caller
from services.runtime.access import Credentials, Identity, Role
from services.runtime.access.failures import FAILURES_PER_MINUTE, FailureCosts
from services.runtime.access.keys import KeyAuthenticator, KeyList, StoredKey, key_id_of
from services.runtime.access.keys.authenticator import NOT_USABLE, check_readable, identity_of
from services.runtime.access.keys.rates import KeyRates
from services.runtime.access.roles import any_covers
from services.runtime.errors import PermissionDenied, ResourceExhausted, Unauthenticated

SERVICE: Final = "midstream.orders.v1.OrderService"
GETTING_OUT: Final = tuple(f"{SERVICE}/{method}" for method in ("CancelOrder", "CancelOrders", "SetKillSwitch"))
"""What a key that asks too often may still do, as often again."""
SIGNED_WINDOW_NS: Final = 30_000_000_000
NONCES_MAX: Final = 100_000
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")


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
        failures_per_minute: int = FAILURES_PER_MINUTE,
        per_second: float = 100.0,
    ) -> None:
        self.costs = FailureCosts(monotonic_ns=monotonic_ns, key_id=key_id_of, per_minute=failures_per_minute)
        self._list = KeyList(load, monotonic_ns=monotonic_ns)
        self.keys = KeyAuthenticator(self._list, wall_ns=wall_ns, is_costly=self.costs.is_spent)
        self.rates = KeyRates(
            per_second=per_second, burst=2 * per_second, monotonic_ns=monotonic_ns, reserved=GETTING_OUT
        )
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._nonces: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def bearer(self, authorization: str | None, peer: str, needed: Role, path: str = "") -> Caller:
        """Return the caller behind an `authorization` header. Raises Unauthenticated, PermissionDenied, ResourceExhausted."""
        credentials = Credentials(authorization=authorization, peer=peer)
        try:
            identity = await self.keys.identify(credentials)
            if identity is None:
                raise Unauthenticated(NOT_USABLE)
        except Unauthenticated as exc:
            raise self.costs.failed(credentials, exc) from exc
        return self._admitted(identity, needed, path)

    async def signed(self, request: Signed, peer: str, needed: Role, path: str = "") -> Caller:
        """Return the caller behind a signed request: fresh, unaltered, and not seen before."""
        key = await self._list.find(request.key_id)
        check_readable(key)
        secret = (key.signing_digest if key is not None else "").encode()
        expected = hmac.new(secret, request.text().encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
        same = hmac.compare_digest(expected.encode(), request.signature.encode("utf-8", "replace"))
        if not secret or not same or key is None or not key.is_usable(self._wall_ns()) or not self._is_fresh(request):
            refusal = Unauthenticated("the signature is not valid, too old, or was used before")
            raise self.costs.failed(Credentials(peer=peer), refusal)
        self._nonces[key.key_id, request.nonce] = self._monotonic_ns()
        return self._admitted(identity_of(key), needed, path)

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

    def _admitted(self, identity: Identity, needed: Role, path: str) -> Caller:
        if not self.rates.take(identity.subject, path):
            raise ResourceExhausted("this key asks too often; wait a second")
        if not any_covers(identity.roles, needed):
            held = ", ".join(sorted(identity.roles))
            raise PermissionDenied(f"role {held} may not do this, it needs role {needed}")
        return Caller(identity.name, identity.owner, identity.roles)
