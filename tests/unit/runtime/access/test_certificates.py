"""Who a client certificate stands for: every kind of name, every kind of mismatch."""

from __future__ import annotations

import pytest

from services.runtime.access.certificates import CertificateAuthenticator
from services.runtime.access.gate import AccessGate
from services.runtime.access.identity import Credentials
from services.runtime.access.roles import Role
from services.runtime.access.settings import certificate_name, parse_roles
from services.runtime.errors import PermissionDenied, Unauthenticated

ROLES = (
    "dns:ops.internal=admin",
    "uri:spiffe://desk/feed=read+control",
    "email:who@example.org=trade",
    "Bare.Internal=read",
)
NOW_NS = 1_000


def brought(*names: str, expires_ns: int | None = 2_000) -> Credentials:
    return Credentials(certificate_names=names, certificate_expires_ns=expires_ns)


def authenticator(now_ns: int = NOW_NS) -> CertificateAuthenticator:
    return CertificateAuthenticator(ROLES, wall_ns=lambda: now_ns)


@pytest.mark.parametrize(
    ("names", "name", "roles"),
    [
        (("dns:ops.internal",), "dns:ops.internal", {Role.ADMIN}),
        (("uri:spiffe://desk/feed",), "uri:spiffe://desk/feed", {Role.READ, Role.CONTROL}),
        (("email:who@example.org",), "email:who@example.org", {Role.TRADE}),
        (("dns:bare.internal",), "dns:bare.internal", {Role.READ}),
        (("dns:other", "uri:spiffe://desk/feed"), "uri:spiffe://desk/feed", {Role.READ, Role.CONTROL}),
        (("dns:bare.internal", "email:who@example.org"), "email:who@example.org", {Role.READ, Role.TRADE}),
    ],
    ids=["host", "uri", "e-mail", "bare", "second name", "two names"],
)
async def test_names_have_the_roles_of_the_setting(names: tuple[str, ...], name: str, roles: set[Role]) -> None:
    found = await authenticator().identify(brought(*names))

    assert found is not None
    assert (found.kind, found.name, found.owner, found.subject) == ("certificates", name, name, name)
    assert found.roles == roles
    assert found.expires_ns == 2_000


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("dns:ops.internal.evil.example",),
        ("dns:sub.ops.internal",),
        ("dns:*.internal",),
        ("uri:ops.internal",),
        ("email:ops.internal",),
        ("dns:spiffe://desk/feed",),
        ("uri:spiffe://desk/feed/",),
        ("uri:spiffe://desk/FEED",),
        ("uri:spiffe://desk/feed=read+control",),
        ("dns:dns:ops.internal",),
        ("dns:ops.internal\0.evil",),
        ("cn:ops.internal",),
        ("ops.internal",),
    ],
    ids=repr,
)
async def test_other_names_are_nobody(names: tuple[str, ...]) -> None:
    assert await authenticator().identify(brought(*names)) is None


async def test_a_caller_without_a_certificate_is_left_to_others() -> None:
    assert await authenticator().identify(Credentials(authorization="Bearer mk_x")) is None


async def test_a_connection_that_outlives_its_certificate_is_told_so() -> None:
    with pytest.raises(Unauthenticated, match="has expired: connect again"):
        await authenticator(now_ns=2_000).identify(brought("dns:ops.internal"))


async def test_a_certificate_whose_end_cannot_be_read_is_one_that_has_ended() -> None:
    with pytest.raises(Unauthenticated, match="has expired"):
        await authenticator().identify(brought("dns:ops.internal", expires_ns=0))


async def test_through_the_gate_roles_decide_and_the_end_of_the_certificate_ends_its_streams() -> None:
    now_ns = [NOW_NS]
    gate = AccessGate(
        {"certificates": CertificateAuthenticator(ROLES, wall_ns=lambda: now_ns[0])}, wall_ns=lambda: now_ns[0]
    )
    watch = "midstream.control.v1.ControlService/WatchState"
    feed = brought("uri:spiffe://desk/feed")

    identity = await gate.admit(feed, watch)
    assert await gate.holds(identity)
    with pytest.raises(PermissionDenied, match="this needs role admin"):
        await gate.admit(feed, "midstream.orders.v1.OrderService/SetKillSwitch")
    with pytest.raises(Unauthenticated, match="a client certificate whose name has a role"):
        await gate.admit(brought("dns:nobody"), watch)
    now_ns[0] = 2_000
    assert not await gate.holds(identity)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("ops.internal", "is not NAME=ROLE"),
        ("=admin", "is not NAME=ROLE"),
        ("dns:=admin", "is not NAME=ROLE"),
        ("two words=admin", "is not NAME=ROLE"),
        ("spiffe://desk/feed=read", "is not NAME=ROLE"),
        ("ops=", "names no role; there are read, control, trade, admin"),
        ("ops=root", "names no role"),
        ("ops=read+", "names no role"),
        ("ops=ADMIN", "names no role"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_would_be_right(entry: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_roles([entry])


def test_a_name_may_be_there_once() -> None:
    with pytest.raises(ValueError, match="'dns:ops' is there twice"):
        parse_roles(["ops=read", "dns:OPS=admin"])


def test_an_identifier_may_have_an_equals_sign_of_its_own() -> None:
    assert parse_roles(["uri:spiffe://desk/feed?a=b=read"]) == {"uri:spiffe://desk/feed?a=b": {Role.READ}}


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("OPS.internal", "dns:ops.internal"),
        ("dns:OPS", "dns:ops"),
        ("uri:spiffe://Desk", "uri:spiffe://Desk"),
        ("spiffe://desk/feed", ""),
        ("dns:spiffe://desk/feed", ""),
        ("localhost:50052", ""),
        ("who@example.org", ""),
        ("uri:", ""),
        ("", ""),
    ],
)
def test_names_are_written_as_credentials_have_them(written: str, name: str) -> None:
    assert certificate_name(written) == name
