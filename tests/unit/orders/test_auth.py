"""S01, S02, S09: who may do what, how often, and signatures that work once."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import Any

import pytest

from protos.orders.v1 import orders_pb2
from services.orders.auth import SERVICE, Signed, SignedRequests, orders_needs
from services.orders.auth.stamps import Stamps
from services.runtime.access import METHODS, Credentials, Identity, Role, needed_role
from services.runtime.access.failures import FailureCosts
from services.runtime.access.key_shape import hashed
from services.runtime.access.keys import Pepper, StoredKey
from services.runtime.errors import PermissionDenied, ResourceExhausted, Unauthenticated
from tests.support.callers import key_access
from tests.support.clock import FakeClock
from tests.support.memory_floors import MemoryFloors

SECRET = "s" * 43
KEY_ID = "0123456789abcdef"
KEY = StoredKey(KEY_ID, "tester", "desk", frozenset({Role.TRADE}), hashed(SECRET), False, 1)
PLACE, GET = f"/{SERVICE}/PlaceOrder", f"/{SERVICE}/GetOrder"
OURS = {name for name in METHODS if name.startswith(SERVICE)}


class Keys:
    """A list of keys."""

    def __init__(self, *keys: StoredKey) -> None:
        self.keys = list(keys)

    async def __call__(self) -> list[StoredKey]:
        return self.keys


class Checked:
    """What the orders server asks about each request."""

    def __init__(self, keys: Keys, clock: FakeClock, *, per_second: float = 1e6) -> None:
        ports: dict[str, Any] = {"wall_ns": clock.time_ns, "monotonic_ns": clock.monotonic_ns}
        access = key_access(keys, needs=orders_needs(per_second), **ports)
        assert access.keys is not None
        self.gate = access.gate
        stamps = Stamps(MemoryFloors(), wall_ns=clock.time_ns)
        self.signatures = SignedRequests(
            access.gate, access.keys, FailureCosts(monotonic_ns=clock.monotonic_ns), stamps, wall_ns=clock.time_ns
        )

    async def bearer(self, authorization: str, path: str) -> Identity:
        return await self.gate.admit(Credentials(authorization=authorization, peer="peer"), path)

    async def signed(self, request: Signed, path: str) -> Identity:
        await self.signatures.begin(replace(request, body=b""), "peer")
        return await self.signatures.finish(request, "peer", path)


def header(secret: str = SECRET, key_id: str = KEY_ID) -> str:
    return f"Bearer mk_{key_id}_{secret}"


@pytest.mark.quick
def test_every_method_of_the_service_has_a_role_and_no_other_has() -> None:
    methods = {f"{SERVICE}/{method.name}" for method in orders_pb2.DESCRIPTOR.services_by_name["OrderService"].methods}

    assert methods == OURS


@pytest.mark.parametrize("method", sorted(OURS))
@pytest.mark.parametrize("role", list(Role))
async def test_the_matrix_of_methods_and_roles(method: str, role: Role, fake_clock: FakeClock) -> None:
    checked = Checked(Keys(replace(KEY, roles=frozenset({role}))), fake_clock)
    needed = needed_role(f"/{method}")
    assert needed is not None

    if role.covers(needed):
        assert (await checked.bearer(header(), f"/{method}")).roles == {role}
    else:
        with pytest.raises(PermissionDenied):
            await checked.bearer(header(), f"/{method}")


def test_what_nobody_decided_is_nobodys() -> None:
    for path in ("/midstream.orders.v1.OrderService/New", "/other.Service/GetOrder", "", "/", "GetOrder"):
        with pytest.raises(KeyError):
            needed_role(path)


def test_health_and_reflection_are_open() -> None:
    assert needed_role("/grpc.health.v1.Health/Check") is None
    assert needed_role("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo") is None


async def test_a_key_that_asks_too_often_waits_and_others_do_not(fake_clock: FakeClock) -> None:
    other = replace(KEY, key_id="f" * 16, name="other")
    checked = Checked(Keys(KEY, other), fake_clock, per_second=5.0)
    for _ in range(10):
        await checked.bearer(header(), GET)

    with pytest.raises(ResourceExhausted):
        await checked.bearer(header(), GET)
    await checked.bearer(header(key_id="f" * 16), GET)
    for _ in range(10):
        await checked.bearer(header(), f"/{SERVICE}/CancelOrder")
    fake_clock.advance(0.2)
    await checked.bearer(header(), GET)


def signed(clock: FakeClock, **changes: str | bytes) -> Signed:
    """Return a request as a client signs it; changes come after the signing."""
    request = Signed(
        key_id=KEY_ID, timestamp_ms=str(clock.time_ns() // 1_000_000), nonce="n" * 16, signature="", method="POST",
        path="/v1/orders", query="x=1", idempotency_key="k1", body=b'{"quantity":"1"}',
    )  # fmt: skip
    secret = hashlib.sha256(SECRET.encode()).hexdigest()
    signature = hmac.new(secret.encode(), request.text().encode(), hashlib.sha256).hexdigest()
    return replace(replace(request, signature=signature), **changes)  # type: ignore[arg-type]


@pytest.mark.quick
async def test_a_signed_request_works_exactly_once(fake_clock: FakeClock) -> None:
    checked = Checked(Keys(replace(KEY, signed_only=True)), fake_clock)
    request = signed(fake_clock)

    assert (await checked.signed(request, PLACE)).owner == "desk"
    with pytest.raises(Unauthenticated):
        await checked.signed(request, PLACE)
    with pytest.raises(Unauthenticated):
        await checked.bearer(header(), PLACE)


@pytest.mark.parametrize(
    "changes",
    [
        {"body": b'{"quantity":"2"}'},
        {"path": "/v1/orders/cancel"},
        {"query": "x=2"},
        {"query": ""},
        {"path": "/v1/orders?x=1", "query": ""},
        {"idempotency_key": "k2"},
        {"idempotency_key": ""},
        {"method": "DELETE"},
        {"nonce": "m" * 16},
        {"timestamp_ms": "1"},
        {"signature": ""},
        {"signature": "0" * 64},
        {"key_id": "f" * 16},
        {"timestamp_ms": "soon"},
        {"nonce": "short"},
    ],
    ids=lambda changes: "-".join(changes),
)
async def test_an_altered_request_is_refused(changes: dict[str, Any], fake_clock: FakeClock) -> None:
    checked = Checked(Keys(KEY), fake_clock)

    with pytest.raises(Unauthenticated):
        await checked.signed(signed(fake_clock, **changes), PLACE)


@pytest.mark.parametrize(
    ("seconds", "accepted"), [(29.0, True), (31.0, False), (-4.0, True), (-6.0, False), (-31.0, False)]
)
async def test_a_signature_is_valid_for_half_a_minute_and_a_little_ahead(
    seconds: float, accepted: bool, fake_clock: FakeClock
) -> None:
    fake_clock.advance(100.0)
    request = signed(fake_clock)
    moved = FakeClock()
    moved.advance(100.0 + seconds)
    late = Checked(Keys(KEY), moved)

    if accepted:
        await late.signed(request, PLACE)
    else:
        with pytest.raises(Unauthenticated):
            await late.signed(request, PLACE)


async def test_what_was_signed_before_is_refused_with_what_to_sign(fake_clock: FakeClock) -> None:
    request = signed(fake_clock)
    secret = hashlib.sha256(SECRET.encode()).hexdigest()
    lines = ("POST", "/v1/orders?x=1", request.timestamp_ms, request.nonce, hashlib.sha256(request.body).hexdigest())
    earlier = hmac.new(secret.encode(), "\n".join(lines).encode(), hashlib.sha256).hexdigest()

    with pytest.raises(Unauthenticated, match="midstream-signature-2, method, path, query, SHA-256 of the body"):
        await Checked(Keys(KEY), fake_clock).signed(replace(request, signature=earlier), PLACE)


@pytest.mark.parametrize("part", ["secret_hash", "sealed"])
async def test_a_row_of_the_database_signs_nothing(part: str, fake_clock: FakeClock) -> None:
    pepper = Pepper(b"p" * 32)
    row = replace(
        KEY, secret_hash=pepper.proof(hashed(SECRET)), sealed=pepper.sealed(KEY_ID, hashed(SECRET)),
        pepper_name=pepper.name, pepper=pepper,
    )  # fmt: skip
    checked, request = Checked(Keys(row), fake_clock), signed(fake_clock)
    assert (await checked.signed(request, PLACE)).name == "tester"
    other = replace(request, nonce="o" * 16)
    forged = hmac.new(getattr(row, part).encode(), other.text().encode(), hashlib.sha256).hexdigest()

    with pytest.raises(Unauthenticated):
        await checked.signed(replace(other, signature=forged), PLACE)


async def test_somebody_elses_failures_do_not_stop_a_signature(fake_clock: FakeClock) -> None:
    checked = Checked(Keys(KEY), fake_clock)
    told = []
    for _ in range(15):
        try:
            await checked.signed(signed(fake_clock, signature="0" * 64), PLACE)
        except (Unauthenticated, ResourceExhausted) as exc:
            told.append(type(exc))

    assert told == [Unauthenticated] * 10 + [ResourceExhausted] * 5
    assert (await checked.signed(signed(fake_clock), PLACE)).name == "tester"
