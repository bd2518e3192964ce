"""Requests that are signed with a key's secret, which then never travels."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from clients.resilience.ports import MonotonicNs, WallNs
from services.runtime.access import AccessGate, Credentials, Identity
from services.runtime.access.failures import FailureCosts
from services.runtime.access.keys import KeyList, StoredKey
from services.runtime.access.keys.authenticator import check_readable, identity_of
from services.runtime.errors import MidstreamError, Unauthenticated

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
    body: bytes = field(default=b"", repr=False)

    def text(self) -> str:
        """Return what is signed."""
        digest = hashlib.sha256(self.body).hexdigest()
        return "\n".join((self.method, self.target, self.timestamp_ms, self.nonce, digest))


class SignedRequests:
    """Recognises them in two steps: `begin` before the body is read, `finish` with it."""

    def __init__(
        self, gate: AccessGate, keys: KeyList, costs: FailureCosts, *, wall_ns: WallNs, monotonic_ns: MonotonicNs
    ) -> None:
        self._gate = gate
        self._keys = keys
        self._costs = costs
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._nonces: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def begin(self, request: Signed, peer: str) -> None:
        """Refuse what can be refused without the body: an unknown key, an old time, a nonce that was used. Raises Unauthenticated."""
        if await self._key(request) is None or not self._is_fresh(request):
            raise self._refusal(peer)

    async def finish(self, request: Signed, peer: str, path: str) -> Identity:
        """Return who signed a whole request. Raises Unauthenticated, PermissionDenied, ResourceExhausted."""
        key = await self._key(request)
        secret = (key.signing_digest if key is not None else "").encode()
        expected = hmac.new(secret, request.text().encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
        same = hmac.compare_digest(expected.encode(), request.signature.encode("utf-8", "replace"))
        # Looked at again: the same request may have come while this one's body was being read.
        if not secret or not same or key is None or not self._is_fresh(request):
            raise self._refusal(peer)
        self._nonces[key.key_id, request.nonce] = self._monotonic_ns()
        return self._gate.decide([identity_of(key)], path)

    async def _key(self, request: Signed) -> StoredKey | None:
        key = await self._keys.find(request.key_id)
        check_readable(key)
        return key if key is not None and key.is_usable(self._wall_ns()) else None

    def _refusal(self, peer: str) -> MidstreamError:
        refusal = Unauthenticated("the signature is not valid, too old, or was used before")
        return self._costs.failed(Credentials(peer=peer), refusal)

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
