"""JSON web tokens: what passes, everything that must not, and the issuer's keys while it is away."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from clients.http import HttpRequest, HttpResponse, NotSent, ResponseLost
from services.runtime.access import AccessGate, Credentials, Role
from services.runtime.access.token_keys import (
    FRESH_NS,
    SET_BYTES_MAX,
    STALE_NS_MAX,
    TROUBLE_NS,
    UNKNOWN_NS,
    FetchFailed,
    TokenKeys,
    fetch_from,
    read_keys,
)
from services.runtime.access.tokens import TokenAuthenticator
from services.runtime.errors import PermissionDenied, StartRefused, Unauthenticated, Unavailable
from tests.support.issuer import AUDIENCE, ISSUER, Issuer

ISSUED = Issuer()
READ = "midstream.control.v1.ControlService/GetState"
SECOND_NS = 1_000_000_000


class Desk:
    """An authenticator over an issuer that tests take away, with clocks that they turn."""

    def __init__(self, *, roles_claim: str = "roles") -> None:
        self.now_s = 1_800_000_000.0
        self.elapsed_ns = 0
        self.answer: Any = ISSUED.key_set()
        self.fetches = 0
        self.keys = TokenKeys(self._fetch, monotonic_ns=lambda: self.elapsed_ns)
        self.tokens = TokenAuthenticator(
            self.keys, issuer=ISSUER, audience=AUDIENCE, roles_claim=roles_claim,
            wall_ns=lambda: int(self.now_s * 1e9),
        )  # fmt: skip
        self.gate = AccessGate({"tokens": self.tokens}, wall_ns=lambda: int(self.now_s * 1e9))

    async def _fetch(self) -> bytes:
        self.fetches += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, asyncio.Event):
            await self.answer.wait()
        return json.dumps(self.answer).encode()

    def token(self, *roles: str, **changes: Any) -> str:
        return ISSUED.token(*roles, now_s=self.now_s, **changes)

    async def admit(self, token: str, path: str = READ) -> Any:
        return await self.gate.admit(Credentials(authorization=f"Bearer {token}"), path)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("kid", ["rsa-1", "ec-1"])
async def test_a_token_of_either_algorithm_is_who_it_says(desk: Desk, kid: str) -> None:
    identity = await desk.admit(desk.token("read", "trade", "made-up", kid=kid))

    assert (identity.kind, identity.name) == ("tokens", "anna@desk")
    assert identity.roles == {Role.READ, Role.TRADE}
    assert identity.owner == "token:anna@desk"
    assert identity.expires_ns == (int(desk.now_s) + 600) * SECOND_NS
    assert await desk.gate.holds(identity)


@pytest.mark.parametrize("reason", Issuer().bad_tokens("admin"))
async def test_what_is_wrong_with_a_token_refuses_it(reason: str) -> None:
    desk = Desk()
    bad = ISSUED.bad_tokens("admin")[reason]
    desk.now_s = time.time()
    assert await desk.admit(ISSUED.token("admin"))

    with pytest.raises(Unauthenticated):
        await desk.admit(bad)


async def test_nobody_without_a_token_is_refused_by_it(desk: Desk) -> None:
    for authorization in (None, "", "Bearer", "Bearer mk_0123", "Basic ZXlKOng=", "bearer  "):
        assert await desk.tokens.identify(Credentials(authorization=authorization)) is None
    assert desk.fetches == 0


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({"groups": ["trade"]}, {Role.TRADE}),
        ({"groups": "read control  other"}, {Role.READ, Role.CONTROL}),
        ({"groups": ["admin", 7, None, {"a": 1}, "Admin"]}, {Role.ADMIN}),
        ({"groups": {"admin": True}}, set()),
        ({"groups": 5}, set()),
        ({}, set()),
    ],
)
async def test_roles_come_from_the_claim_that_the_setting_names(claims: dict[str, Any], roles: set[Role]) -> None:
    desk = Desk(roles_claim="groups")
    identity = await desk.tokens.identify(Credentials(authorization=f"Bearer {desk.token('admin', **claims)}"))

    assert identity is not None
    assert identity.roles == roles
    if not roles:
        with pytest.raises(PermissionDenied):
            await desk.admit(desk.token("admin", **claims))


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({"exp": -59}, True), ({"exp": -60}, False), ({"nbf": 60}, True), ({"nbf": 61}, False),
        ({"iat": 10_000}, True), ({"aud": ["other", AUDIENCE]}, True),
    ],
)  # fmt: skip
async def test_clocks_may_be_a_minute_apart(desk: Desk, changes: dict[str, Any], passes: bool) -> None:
    token = desk.token("read", **{
        name: int(desk.now_s) + value if isinstance(value, int) else value for name, value in changes.items()
    })  # fmt: skip
    if passes:
        assert await desk.admit(token)
    else:
        with pytest.raises(Unauthenticated):
            await desk.admit(token)


async def test_what_a_token_opened_ends_with_it(desk: Desk) -> None:
    identity = await desk.admit(desk.token("read", exp=int(desk.now_s) + 10))
    late = await desk.admit(desk.token("read", exp=int(desk.now_s) - 10))

    desk.now_s += 9.0
    assert await desk.gate.holds(identity)
    desk.now_s += 1.0
    assert not await desk.gate.holds(identity)
    # Admitted within the leeway, so it lasts as long as that.
    assert await desk.gate.holds(late)
    desk.now_s += 40.0
    assert not await desk.gate.holds(late)


async def test_a_key_that_the_issuer_takes_back_ends_what_it_signed(desk: Desk) -> None:
    identity = await desk.admit(desk.token("read"))
    desk.answer = ISSUED.key_set("ec-1")
    desk.elapsed_ns += FRESH_NS + 1
    desk.keys.start()
    await _settled(desk)

    assert not await desk.gate.holds(identity)
    assert await desk.admit(desk.token("read", kid="ec-1"))


async def test_unknown_key_ids_cost_one_fetch_a_minute(desk: Desk) -> None:
    await desk.admit(desk.token("read"))
    assert desk.fetches == 1
    for number in range(50):
        with pytest.raises(Unauthenticated):
            await desk.admit(desk.token("read", header={"kid": f"k{number}"}))
    assert desk.fetches == 1

    desk.elapsed_ns += UNKNOWN_NS
    refused = [desk.admit(desk.token("read", header={"kid": f"k{number}"})) for number in range(50)]
    assert all(isinstance(one, Unauthenticated) for one in await asyncio.gather(*refused, return_exceptions=True))
    assert desk.fetches == 2


async def test_a_new_key_of_the_issuer_is_fetched_when_a_token_names_it(desk: Desk) -> None:
    desk.answer = ISSUED.key_set("ec-1")
    await desk.admit(desk.token("read", kid="ec-1"))
    desk.answer = ISSUED.key_set()
    desk.elapsed_ns += UNKNOWN_NS

    assert await desk.admit(desk.token("read"))


async def test_old_keys_are_fetched_again_without_anybody_waiting(desk: Desk) -> None:
    await desk.admit(desk.token("read"))
    desk.answer = asyncio.Event()
    desk.elapsed_ns += FRESH_NS + 1

    assert await desk.admit(desk.token("read"))
    await asyncio.sleep(0)
    assert desk.fetches == 2
    await desk.keys.close()


async def test_the_last_keys_count_while_the_issuer_is_away_and_not_for_ever(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    identity = await desk.admit(desk.token("read"))
    desk.answer = NotSent("connection refused")
    for _ in range(5):
        desk.elapsed_ns += FRESH_NS + 1
        assert await desk.admit(desk.token("read"))
        await _settled(desk)

    assert desk.keys.trouble == "the keys of the token issuer cannot be fetched: connection refused"
    assert caplog.text.count("not fetched") == 1
    desk.elapsed_ns += STALE_NS_MAX
    with pytest.raises(Unavailable, match="connection refused"):
        await desk.admit(desk.token("read"))
    with pytest.raises(Unavailable):
        await desk.gate.holds(identity)

    desk.answer = ISSUED.key_set()
    desk.elapsed_ns += TROUBLE_NS
    assert await desk.admit(desk.token("read"))
    assert desk.keys.trouble == ""


async def test_an_issuer_that_is_away_at_the_start_is_asked_again(desk: Desk) -> None:
    desk.answer = NotSent("no route")
    for _ in range(3):
        with pytest.raises(Unavailable):
            await desk.admit(desk.token("read"))
    assert desk.fetches == 1
    desk.answer = ISSUED.key_set()
    desk.elapsed_ns += TROUBLE_NS

    assert await desk.admit(desk.token("read"))


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"keys": 5}', b'{"keys": []}', b'{"keys": [5, "a", {}]}', b"[" * 100_000, b"\xff\xfe",
     b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "rsa-1"}]}',
     b'{"keys": [{"kty": "RSA", "n": "AQ", "e": "AQAB", "kid": "short"}]}',
     b'{"keys": [{"kty": "RSA", "n": "!", "e": 5}]}', b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}'],
    ids=str,
)  # fmt: skip
def test_sets_without_a_usable_key_are_refused(body: bytes) -> None:
    with pytest.raises(FetchFailed):
        read_keys(body)


def test_keys_for_other_uses_are_left_out() -> None:
    for more in ({"use": "enc"}, {"alg": "RS512"}):
        with pytest.raises(FetchFailed):
            read_keys(json.dumps(ISSUED.key_set("rsa-1", **more)).encode())


class Answering:
    """A transport that answers one thing."""

    def __init__(self, status: int, body: bytes) -> None:
        self.asked: list[HttpRequest] = []
        self.closed = False
        self._answer = (status, body)

    async def send(self, request: HttpRequest, *, timeout_s: float) -> HttpResponse:
        self.asked.append(request)
        status, body = self._answer
        if len(body) > request.answer_bytes_max:
            raise ResponseLost("too large")
        return HttpResponse(status, {"location": "http://169.254.169.254/"}, body, 0, 0, 0)

    async def aclose(self) -> None:
        self.closed = True


async def test_redirects_of_the_issuer_are_not_followed_and_answers_are_bounded() -> None:
    redirecting = Answering(302, b"")
    with pytest.raises(FetchFailed, match="answers 302, and redirects are not followed"):
        await fetch_from("https://issuer.test/keys", lambda: redirecting)()
    assert (len(redirecting.asked), redirecting.closed) == (1, True)
    with pytest.raises(ResponseLost):
        await fetch_from("https://issuer.test/keys", lambda: Answering(200, b"x" * (SET_BYTES_MAX + 1)))()
    assert await fetch_from("https://issuer.test/keys", lambda: Answering(200, b"{}"))() == b"{}"


async def test_keys_come_from_files_too(tmp_path: Path) -> None:
    file = tmp_path / "key set.json"
    with pytest.raises(OSError):
        await fetch_from(file.as_uri())()
    file.write_text(json.dumps(ISSUED.key_set()))
    assert read_keys(await fetch_from(file.as_uri())()).keys() == {"rsa-1", "ec-1"}
    file.write_bytes(b"x" * (SET_BYTES_MAX + 1))
    with pytest.raises(FetchFailed):
        await fetch_from(file.as_uri())()


@pytest.mark.parametrize(
    "url", ["http://issuer.test/keys", "ftp://issuer.test/", "keys.json", "http://127.0.0.1.evil.test/"]
)
def test_keys_that_anybody_on_the_way_could_change_are_refused(url: str) -> None:
    with pytest.raises(StartRefused, match="must be https"):
        fetch_from(url)


async def _settled(desk: Desk) -> None:
    while desk.keys._task is not None and not desk.keys._task.done():
        await asyncio.wait((desk.keys._task,))
