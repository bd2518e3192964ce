"""Requests that are signed with a key's secret, which then never travels."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final

from clients.resilience.ports import WallNs
from services.orders.auth.stamps import Stamps
from services.runtime.access import AccessGate, Credentials, Identity
from services.runtime.access.failures import FailureCosts
from services.runtime.access.keys import KeyList, StoredKey
from services.runtime.access.keys.authenticator import check_readable, identity_of
from services.runtime.errors import Unauthenticated

FIRST_LINE: Final = "midstream-signature-2"
"""Of what is signed, so that no signature of another kind is ever taken for one of these."""
NOT_VALID: Final = "the signature is not valid"
EARLIER_FORM: Final = (
    f"the signature covers what was signed before, without the idempotency key: sign these lines instead: {FIRST_LINE}, method, path, "
    "query, SHA-256 of the body in hexadecimal, Idempotency-Key, X-Midstream-Timestamp, X-Midstream-Nonce; a line is empty where "
    "there is nothing of it"
)


@dataclass(frozen=True)
class Signed:
    """The parts of a signed request. The key id names the key; its secret never travels."""

    key_id: str
    timestamp_ms: str
    nonce: str
    signature: str = field(repr=False)
    method: str
    path: str
    """As sent, with its percent signs."""
    query: str = ""
    """As sent, without the question mark."""
    idempotency_key: str = ""
    body: bytes = field(default=b"", repr=False)

    def text(self) -> str:
        """Return what is signed. No part can hold a line end, so that no two requests have the same text."""
        return "\n".join(
            (FIRST_LINE, self.method, self.path, self.query, self._digest, self.idempotency_key, *self._once)
        )

    def earlier_text(self) -> str:
        """Return what was signed by clients of earlier versions."""
        target = f"{self.path}?{self.query}" if self.query else self.path
        return "\n".join((self.method, target, *self._once, self._digest))

    @property
    def _once(self) -> tuple[str, str]:
        return self.timestamp_ms, self.nonce

    @property
    def _digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


class SignedRequests:
    """Recognises them in two steps: `begin` before the body is read, `finish` with it."""

    def __init__(
        self, gate: AccessGate, keys: KeyList, costs: FailureCosts, stamps: Stamps, *, wall_ns: WallNs
    ) -> None:
        self._gate = gate
        self._keys = keys
        self._costs = costs
        self._stamps = stamps
        self._wall_ns = wall_ns

    async def begin(self, request: Signed, peer: str) -> None:
        """Refuse what can be refused without the body: an old time, an unknown key. Raises Unauthenticated, ResourceExhausted."""
        try:
            self._stamps.check_shape(request.timestamp_ms, request.nonce)
            if await self._key(request) is None:
                raise Unauthenticated(NOT_VALID)
        except Unauthenticated as exc:
            raise self._costs.failed(Credentials(peer=peer), exc) from exc

    async def finish(self, request: Signed, peer: str, path: str) -> Identity:
        """Return who signed a whole request. Raises Unauthenticated, PermissionDenied, ResourceExhausted, and Unavailable while the
        database is away."""
        try:
            key = await self._key(request)
            secret = key.signing_digest if key is not None else ""
            good, earlier = _signs(secret, request.text(), request), _signs(secret, request.earlier_text(), request)
            if key is None or not secret or not good:
                raise Unauthenticated(EARLIER_FORM if key is not None and secret and earlier else NOT_VALID)
            await self._stamps.accept(key.key_id, request.timestamp_ms, request.nonce)
        except Unauthenticated as exc:
            raise self._costs.failed(Credentials(peer=peer), exc) from exc
        return self._gate.decide([identity_of(key)], path)

    async def _key(self, request: Signed) -> StoredKey | None:
        key = await self._keys.find(request.key_id)
        check_readable(key)
        return key if key is not None and key.is_usable(self._wall_ns()) else None


def _signs(secret: str, text: str, request: Signed) -> bool:
    expected = hmac.new(secret.encode(), text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), request.signature.encode("utf-8", "replace"))
