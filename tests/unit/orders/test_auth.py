"""S01, S02, S08, S09: who may do what, keys that are compared in constant time, signatures that work once."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import Any

import pytest

from protos.orders.v1 import orders_pb2
from services.orders.auth import METHODS, Authenticator, Role, Signed, StoredKey, needed_role
from services.orders.auth.keys import KEY_PATTERN, hashed, matches
from services.orders.auth.rates import FailureWindow, KeyRates
from services.runtime.errors import PermissionDenied, ResourceExhausted, Unauthenticated
from tests.support.clock import FakeClock

SECRET = "s" * 43
KEY_ID = "0123456789abcdef"
KEY = StoredKey(KEY_ID, "tester", "desk", Role.TRADE, hashed(SECRET), False, 1, None)


class Keys:
    """A list of keys that can fail to load."""

    def __init__(self, *keys: StoredKey) -> None:
        self.keys = list(keys)
        self.loads = 0
        self.broken = False

    async def __call__(self) -> list[StoredKey]:
        self.loads += 1
        if self.broken:
            raise ConnectionError
        return self.keys


def authenticator(keys: Keys, clock: FakeClock, **options: Any) -> Authenticator:
    return Authenticator(keys, wall_ns=clock.time_ns, monotonic_ns=clock.monotonic_ns, **options)


def header(secret: str = SECRET, key_id: str = KEY_ID) -> str:
    return f"Bearer mk_{key_id}_{secret}"


@pytest.mark.quick
def test_every_method_of_the_service_has_a_role_and_no_other_has() -> None:
    methods = {method.name for method in orders_pb2.DESCRIPTOR.services_by_name["OrderService"].methods}

    assert methods == set(METHODS)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("role", list(Role))
async def test_the_matrix_of_methods_and_roles(method: str, role: Role, fake_clock: FakeClock) -> None:
    checked = authenticator(Keys(replace(KEY, role=role)), fake_clock)
    needed = needed_role(f"/midstream.orders.v1.OrderService/{method}")
    assert needed is not None

    if role.covers(needed):
        assert (await checked.bearer(header(), "peer", needed)).role == role
    else:
        with pytest.raises(PermissionDenied):
            await checked.bearer(header(), "peer", needed)


def test_what_nobody_decided_is_nobodys() -> None:
    for path in ("/midstream.orders.v1.OrderService/New", "/other.Service/GetOrder", "", "/", "GetOrder"):
        with pytest.raises(KeyError):
            needed_role(path)


def test_health_and_reflection_are_open() -> None:
    assert needed_role("/grpc.health.v1.Health/Check") is None
    assert needed_role("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo") is None


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", "Bearer ", f"Basic mk_{KEY_ID}_{SECRET}", f"mk_{KEY_ID}_{SECRET}", header("t" * 43),
     header(key_id="f" * 16), header() + "x", header().replace("mk_", "mx_"), "Bearer " + "x" * 5000, "Bearer ключ"],
)  # fmt: skip
async def test_no_key_a_wrong_key_and_garbage_are_refused_alike(given: str | None, fake_clock: FakeClock) -> None:
    checked = authenticator(Keys(KEY), fake_clock)

    with pytest.raises(Unauthenticated) as refused:
        await checked.bearer(given, "peer", Role.READ)

    assert "missing or not usable" in refused.value.message


async def test_a_revoked_key_stops_working_within_seconds(fake_clock: FakeClock) -> None:
    keys = Keys(KEY)
    checked = authenticator(keys, fake_clock)
    await checked.bearer(header(), "peer", Role.READ)
    keys.keys = [replace(KEY, revoked_ns=5)]

    fake_clock.advance(6.0)
    with pytest.raises(Unauthenticated):
        await checked.bearer(header(), "peer", Role.READ)


async def test_keys_stay_usable_while_the_database_is_away(fake_clock: FakeClock) -> None:
    keys = Keys(KEY)
    checked = authenticator(keys, fake_clock)
    await checked.bearer(header(), "peer", Role.READ)
    keys.broken = True

    fake_clock.advance(60.0)

    assert (await checked.bearer(header(), "peer", Role.READ)).owner == "desk"


def test_comparing_takes_the_same_path_for_unknown_and_wrong_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda one, other: compared.append((one, other)) or real(one, other))

    assert not matches(None, SECRET)
    assert not matches(KEY, "t" * 43)
    assert not matches(None, "")
    assert matches(KEY, SECRET)
    assert len(compared) == 4
    assert {len(one) for pair in compared for one in pair} == {64}


def test_secrets_have_enough_bits_and_are_not_kept() -> None:
    assert KEY_PATTERN.fullmatch(f"mk_{KEY_ID}_{SECRET}") is not None
    assert SECRET not in repr(KEY)
    assert KEY.secret_hash not in repr(KEY)


async def test_ten_failures_a_minute_from_one_address_and_then_it_waits(fake_clock: FakeClock) -> None:
    keys = Keys(KEY)
    checked = authenticator(keys, fake_clock)
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            await checked.bearer("Bearer no", "guesser", Role.READ)

    with pytest.raises(ResourceExhausted):
        await checked.bearer(header(), "guesser", Role.READ)
    assert (await checked.bearer(header(), "elsewhere", Role.READ)).name == "tester"
    fake_clock.advance(60.0)
    assert (await checked.bearer(header(), "guesser", Role.READ)).name == "tester"


async def test_a_key_that_asks_too_often_waits_and_others_do_not(fake_clock: FakeClock) -> None:
    other = replace(KEY, key_id="f" * 16, name="other")
    checked = authenticator(Keys(KEY, other), fake_clock, per_second=5.0)
    for _ in range(10):
        await checked.bearer(header(), "peer", Role.READ)

    with pytest.raises(ResourceExhausted):
        await checked.bearer(header(), "peer", Role.READ)
    await checked.bearer(header(key_id="f" * 16), "peer", Role.READ)
    fake_clock.advance(0.2)
    await checked.bearer(header(), "peer", Role.READ)


def test_what_rates_remember_is_bounded(fake_clock: FakeClock) -> None:
    window = FailureWindow(failures_max=10, window_s=60.0, monotonic_ns=fake_clock.monotonic_ns)
    rates = KeyRates(per_second=1.0, burst=1.0, monotonic_ns=fake_clock.monotonic_ns)
    for number in range(10_000):
        window.failed(str(number))
        rates.take(str(number))

    assert len(window._failures) <= 4096
    assert len(rates._buckets) <= 4096


def signed(clock: FakeClock, **changes: str | bytes) -> Signed:
    """Return a request as a client signs it; changes come after the signing."""
    request = Signed(
        key_id=KEY_ID, timestamp_ms=str(clock.time_ns() // 1_000_000), nonce="n" * 16, signature="", method="POST",
        target="/v1/orders?x=1", body=b'{"quantity":"1"}',
    )  # fmt: skip
    secret = hashlib.sha256(SECRET.encode()).hexdigest()
    signature = hmac.new(secret.encode(), request.text().encode(), hashlib.sha256).hexdigest()
    return replace(replace(request, signature=signature), **changes)  # type: ignore[arg-type]


@pytest.mark.quick
async def test_a_signed_request_works_exactly_once(fake_clock: FakeClock) -> None:
    checked = authenticator(Keys(replace(KEY, signed_only=True)), fake_clock)
    request = signed(fake_clock)

    assert (await checked.signed(request, "peer", Role.TRADE)).owner == "desk"
    with pytest.raises(Unauthenticated):
        await checked.signed(request, "peer", Role.TRADE)
    with pytest.raises(Unauthenticated):
        await checked.bearer(header(), "peer", Role.TRADE)


@pytest.mark.parametrize(
    "changes",
    [
        {"body": b'{"quantity":"2"}'},
        {"target": "/v1/orders?x=2"},
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
    checked = authenticator(Keys(KEY), fake_clock)

    with pytest.raises(Unauthenticated):
        await checked.signed(signed(fake_clock, **changes), "peer", Role.TRADE)


@pytest.mark.parametrize(("seconds", "accepted"), [(29.0, True), (31.0, False), (-29.0, True), (-31.0, False)])
async def test_a_signature_is_valid_for_half_a_minute_around_now(
    seconds: float, accepted: bool, fake_clock: FakeClock
) -> None:
    checked = authenticator(Keys(KEY), fake_clock)
    fake_clock.advance(100.0)
    request = signed(fake_clock)
    moved = FakeClock()
    moved.advance(100.0 + seconds)
    late = Authenticator(Keys(KEY), wall_ns=moved.time_ns, monotonic_ns=moved.monotonic_ns)

    if accepted:
        await late.signed(request, "peer", Role.TRADE)
    else:
        with pytest.raises(Unauthenticated):
            await late.signed(request, "peer", Role.TRADE)
    assert checked is not late
