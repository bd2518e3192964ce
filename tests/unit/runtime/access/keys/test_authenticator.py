"""S08: keys that are compared in constant time, end when they should, and are never locked out by somebody else's failures."""

from __future__ import annotations

import asyncio
import base64
import hmac
from dataclasses import replace
from typing import Final

import pytest

from services.runtime.access import Credentials, Role
from services.runtime.access.failures import REMEMBERED_MAX, RETRY_AFTER, FailureCosts
from services.runtime.access.key_shape import hashed
from services.runtime.access.keys import KEY_PATTERN, KeyAuthenticator, KeyList, StoredKey, key_id_of
from services.runtime.access.keys.listing import STALE_NS_MAX
from services.runtime.access.keys.store import matches
from services.runtime.access.rates import KeyRates
from services.runtime.errors import MidstreamError, ResourceExhausted, Unauthenticated, Unavailable
from tests.support.clock import FakeClock
from tests.support.log_records import said

SECRET: Final = "s" * 43
KEY_ID: Final = "0123456789abcdef"
KEY: Final = StoredKey(KEY_ID, "tester", "desk", frozenset({Role.TRADE}), hashed(SECRET), False, 1)


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


class Guarded:
    """An authenticator with its costs, as a listener uses the two."""

    def __init__(self, keys: Keys, clock: FakeClock) -> None:
        self.costs = FailureCosts(monotonic_ns=clock.monotonic_ns, key_id=key_id_of)
        self.keys = KeyAuthenticator(
            KeyList(keys, monotonic_ns=clock.monotonic_ns), wall_ns=clock.time_ns, is_costly=self.costs.is_spent
        )

    async def attempt(self, authorization: str | None, peer: str = "192.0.2.1") -> str | MidstreamError:
        """Return the name of whose key it is, or what the caller is told."""
        credentials = Credentials(authorization=authorization, peer=peer)
        try:
            identity = await self.keys.identify(credentials)
            if identity is None:
                raise Unauthenticated("no key")
        except Unauthenticated as exc:
            return self.costs.failed(credentials, exc)
        return identity.name


def bearer(secret: str = SECRET, key_id: str = KEY_ID) -> str:
    return f"Bearer mk_{key_id}_{secret}"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.fixture
def keys() -> Keys:
    return Keys(KEY)


@pytest.fixture
def guarded(keys: Keys, fake_clock: FakeClock) -> Guarded:
    return Guarded(keys, fake_clock)


@pytest.mark.parametrize("given", [bearer(), bearer().replace("Bearer", "bearer"), basic(f"me:mk_{KEY_ID}_{SECRET}")])
async def test_a_key_is_taken_from_programs_and_from_browsers(given: str, guarded: Guarded) -> None:
    identity = await guarded.keys.identify(Credentials(authorization=given))

    assert identity is not None
    assert (identity.kind, identity.name, identity.owner) == ("keys", "tester", "desk")
    assert (identity.roles, identity.subject) == ({Role.TRADE}, KEY_ID)


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", "Bearer ", "Bearer eyJhbGciOiJSUzI1NiJ9.e30.x", f"mk_{KEY_ID}_{SECRET}", "Digest x", basic("a:b"),
     "Basic ???", "Basic " + "x" * 5000, "Bearer ключ"],
)  # fmt: skip
async def test_what_is_not_a_key_is_left_to_others(given: str | None, guarded: Guarded) -> None:
    assert await guarded.keys.identify(Credentials(authorization=given)) is None


@pytest.mark.parametrize(
    "given",
    [bearer("t" * 43), bearer(key_id="f" * 16), bearer() + "x", "Bearer mk_", "Bearer mk_" + "x" * 5000, basic("me:mk_x")],
)  # fmt: skip
async def test_unknown_and_wrong_keys_are_refused_alike(given: str, guarded: Guarded) -> None:
    with pytest.raises(Unauthenticated, match="missing or not usable"):
        await guarded.keys.identify(Credentials(authorization=given))


async def test_a_key_for_signatures_does_not_work_bare(keys: Keys, guarded: Guarded) -> None:
    keys.keys = [replace(KEY, signed_only=True)]

    with pytest.raises(Unauthenticated, match="signed requests only"):
        await guarded.keys.identify(Credentials(authorization=bearer()))


async def test_a_revoked_key_stops_working_and_no_longer_holds(
    keys: Keys, guarded: Guarded, fake_clock: FakeClock
) -> None:
    identity = await guarded.keys.identify(Credentials(authorization=bearer()))
    assert identity is not None
    assert await guarded.keys.holds(identity)

    keys.keys = [replace(KEY, revoked_ns=5)]
    fake_clock.advance(2.1)

    assert not await guarded.keys.holds(identity)
    assert isinstance(await guarded.attempt(bearer()), Unauthenticated)


async def test_a_key_that_was_deleted_no_longer_holds(keys: Keys, guarded: Guarded, fake_clock: FakeClock) -> None:
    identity = await guarded.keys.identify(Credentials(authorization=bearer()))
    assert identity is not None

    keys.keys = []
    fake_clock.advance(2.1)

    assert not await guarded.keys.holds(identity)


async def test_an_expired_key_stops_working_at_its_time(keys: Keys, guarded: Guarded, fake_clock: FakeClock) -> None:
    keys.keys = [replace(KEY, expires_ns=fake_clock.time_ns() + 1_000_000_000)]
    identity = await guarded.keys.identify(Credentials(authorization=bearer()))
    assert identity is not None
    assert identity.expires_ns == keys.keys[0].expires_ns

    fake_clock.advance(1.0)

    assert not await guarded.keys.holds(identity)
    assert isinstance(await guarded.attempt(bearer()), Unauthenticated)


async def test_a_key_that_was_just_made_works_at_once(keys: Keys, guarded: Guarded, fake_clock: FakeClock) -> None:
    assert await guarded.attempt(bearer()) == "tester"
    keys.keys.append(replace(KEY, key_id="f" * 16, name="new"))

    fake_clock.advance(0.3)

    assert await guarded.attempt(bearer(key_id="f" * 16)) == "new"


async def test_keys_stay_usable_for_an_hour_while_the_database_is_away(
    keys: Keys, guarded: Guarded, fake_clock: FakeClock
) -> None:
    assert await guarded.attempt(bearer()) == "tester"
    keys.broken = True

    fake_clock.advance(STALE_NS_MAX / 1e9 - 1)
    assert await guarded.attempt(bearer()) == "tester"
    assert "does not answer" in guarded.keys.keys.trouble

    fake_clock.advance(2.0)
    with pytest.raises(Unavailable, match="cannot be checked"):
        await guarded.attempt(bearer())
    keys.broken = False
    fake_clock.advance(3.0)
    assert await guarded.attempt(bearer()) == "tester"
    assert guarded.keys.keys.trouble == ""


async def test_nobody_is_refused_as_unknown_before_the_list_was_read(keys: Keys, guarded: Guarded) -> None:
    keys.broken = True

    with pytest.raises(Unavailable):
        await guarded.attempt(bearer())


async def test_many_who_ask_at_once_read_the_list_once(keys: Keys, guarded: Guarded) -> None:
    assert set(await asyncio.gather(*(guarded.attempt(bearer()) for _ in range(50)))) == {"tester"}
    assert keys.loads == 1


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


def test_secrets_have_enough_bits_and_are_not_shown() -> None:
    assert KEY_PATTERN.fullmatch(f"mk_{KEY_ID}_{SECRET}") is not None
    assert SECRET not in repr(KEY)
    assert KEY.secret_hash not in repr(KEY)


@pytest.mark.quick
async def test_somebody_elses_failures_never_lock_out_a_usable_key(
    keys: Keys, guarded: Guarded, fake_clock: FakeClock
) -> None:
    told = [await guarded.attempt(None) for _ in range(30)]
    told += [await guarded.attempt(bearer("t" * 43)) for _ in range(30)]

    assert [type(one) for one in told] == [Unauthenticated] * 10 + [ResourceExhausted] * 50
    assert await guarded.attempt(bearer()) == "tester"
    fake_clock.advance(3.0)
    assert await guarded.attempt(bearer()) == "tester"


async def test_what_fails_too_often_is_told_when_to_come_back(guarded: Guarded, fake_clock: FakeClock) -> None:
    for _ in range(10):
        await guarded.attempt(None)
    fake_clock.advance(20.0)

    refused = await guarded.attempt(None)

    assert isinstance(refused, ResourceExhausted)
    assert refused.metadata == ((RETRY_AFTER, "40"),)
    fake_clock.advance(40.0)
    assert isinstance(await guarded.attempt(None), Unauthenticated)


async def test_a_flood_reads_the_database_as_seldom_as_nobody(
    keys: Keys, guarded: Guarded, fake_clock: FakeClock
) -> None:
    for _ in range(1000):
        await guarded.attempt(bearer(key_id="f" * 16))
        fake_clock.advance(0.01)
    await asyncio.sleep(0)

    assert keys.loads <= 10, "every two seconds of ten, and a few for the failures that are looked at"


async def test_a_new_key_gets_in_through_a_flood_from_its_own_address(
    keys: Keys, guarded: Guarded, fake_clock: FakeClock
) -> None:
    for _ in range(20):
        await guarded.attempt(None)
        await guarded.attempt(bearer("t" * 43))
    keys.keys.append(replace(KEY, key_id="f" * 16, name="new"))
    fake_clock.advance(2.1)

    first = await guarded.attempt(bearer(key_id="f" * 16))
    await asyncio.sleep(0.01)

    assert isinstance(first, ResourceExhausted)
    assert await guarded.attempt(bearer(key_id="f" * 16)) == "new"


async def test_guesses_at_one_key_from_everywhere_count_together(guarded: Guarded) -> None:
    told = [await guarded.attempt(bearer("t" * 43), f"192.0.2.{number}") for number in range(20)]

    assert [type(one) for one in told] == [Unauthenticated] * 10 + [ResourceExhausted] * 10
    assert await guarded.attempt(bearer(), "198.51.100.1") == "tester"


async def test_a_network_of_version_6_is_one_sender(guarded: Guarded) -> None:
    told = [await guarded.attempt(None, f"[2001:db8::{number:x}]") for number in range(20)]

    assert [type(one) for one in told] == [Unauthenticated] * 10 + [ResourceExhausted] * 10
    assert isinstance(await guarded.attempt(None, "2001:db8:0:1::1"), Unauthenticated)


def test_what_is_remembered_is_bounded(fake_clock: FakeClock) -> None:
    costs = FailureCosts(monotonic_ns=fake_clock.monotonic_ns, key_id=key_id_of)
    rates = KeyRates(per_second=1.0, burst=1.0, monotonic_ns=fake_clock.monotonic_ns)
    for number in range(10_000):
        credentials = Credentials(authorization=bearer(key_id=f"{number:016x}"), peer=str(number))
        costs.failed(credentials, Unauthenticated("no"))
        rates.take(str(number))

    assert {len(windows._failures) for windows in costs._windows.values()} == {REMEMBERED_MAX}
    assert len(rates._buckets) <= 4096


def test_getting_out_has_a_reserve(fake_clock: FakeClock) -> None:
    rates = KeyRates(per_second=1.0, burst=3.0, monotonic_ns=fake_clock.monotonic_ns, reserved=("s.S/Cancel",))
    while rates.take("key", "/s.S/Place"):
        pass

    assert [rates.take("key", "/s.S/Cancel") for _ in range(4)] == [True, True, True, False]
    assert rates.take("other", "/s.S/Place")


async def test_a_database_that_hangs_is_waited_for_once_and_not_by_everybody(fake_clock: FakeClock) -> None:
    asked, hangs = 0, asyncio.Event()

    async def load() -> list[StoredKey]:
        nonlocal asked
        asked += 1
        if asked > 1:
            await hangs.wait()
            return []
        return [KEY]

    keys = KeyList(load, monotonic_ns=fake_clock.monotonic_ns, read_s_max=0.01)
    assert await keys.find(KEY_ID) == KEY
    fake_clock.advance(3.0)

    found = [await keys.find(KEY_ID), await keys.find(KEY_ID)]
    fake_clock.advance(3.0)
    # Without a turn of the loop: nothing was waited for.
    waiting = keys.find(KEY_ID)
    with pytest.raises(StopIteration) as at_once:
        waiting.send(None)

    assert [*found, at_once.value.value] == [KEY] * 3
    assert asked == 2
    assert keys.trouble == "their database does not answer"
    hangs.set()
    await asyncio.sleep(0)
    await keys.close()
    assert keys.trouble == ""
    assert keys.known(KEY_ID) is None


async def test_trouble_is_said_once_and_only_when_somebody_asks(
    keys: Keys, guarded: Guarded, fake_clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    keys.broken = True
    guarded.keys.keys.refresh()
    await asyncio.sleep(0)
    assert caplog.messages == []

    for _ in range(3):
        fake_clock.advance(3.0)
        with pytest.raises(Unavailable):
            await guarded.attempt(bearer())

    assert said(caplog.records) == [
        ("API keys cannot all be checked", {"reason": "their database does not answer (ConnectionError)"})
    ]
    assert "Traceback" not in caplog.text


async def test_keys_that_are_made_and_revoked_beside_the_server_are_each_said_once(
    keys: Keys, guarded: Guarded, fake_clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await guarded.attempt(bearer())
    assert said(caplog.records) == []

    first = keys.keys[0]
    made = replace(first, key_id="f" * 16, name="night")
    for listed in ([first, made], [replace(first, revoked_ns=1), made]):
        keys.keys = listed
        for _ in range(2):
            fake_clock.advance(3.0)
            await guarded.attempt(bearer())

    about = {"owner": first.owner, "roles": sorted(first.roles)}
    assert said(caplog.records) == [
        ("API key made", {"key": made.key_id, "name": "night", **about}),
        ("API key revoked", {"key": first.key_id, "name": first.name, **about}),
    ]
    assert first.secret_hash not in str(said(caplog.records))
