"""Settings of TLS and of who may call, shared by every gRPC server with its web face and its metrics."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from services.runtime.access.roles import Role

AUTHENTICATORS: Final = ("keys", "certificates", "tokens")
"""What MIDSTREAM_AUTH may name."""


_HOST: Final = re.compile(r"[A-Za-z0-9_*.-]+")


def pair_problem(cert: Path | None, key: Path | None, client_ca: Path | None) -> str:
    """Say what is wrong with a set of files for TLS; empty when it is usable as a set."""
    if (cert is None) != (key is None):
        missing = "MIDSTREAM_TLS_KEY" if key is None else "MIDSTREAM_TLS_CERT"
        return f"MIDSTREAM_TLS_CERT and MIDSTREAM_TLS_KEY go together: set {missing}, too"
    if client_ca is not None and cert is None:
        return "MIDSTREAM_TLS_CLIENT_CA asks for client certificates, which needs TLS: set MIDSTREAM_TLS_CERT and MIDSTREAM_TLS_KEY"
    return ""


def certificates_problem(auth: Collection[str], client_ca: Path | None, roles: Sequence[str]) -> str:
    """Say why nobody could be known by a certificate although settings speak of it; empty when all is there, or nothing."""
    known = "certificates" in auth
    if known and client_ca is None:
        return "MIDSTREAM_AUTH=certificates needs authorities to believe: set MIDSTREAM_TLS_CLIENT_CA"
    if known and not roles:
        return "MIDSTREAM_AUTH=certificates gives nobody a role: set MIDSTREAM_TLS_ROLES"
    if roles and not known:
        return "MIDSTREAM_TLS_ROLES does nothing by itself: add `certificates` to MIDSTREAM_AUTH"
    if known:
        try:
            parse_roles(roles)
        except ValueError as exc:
            return f"MIDSTREAM_TLS_ROLES: {exc}"
    return ""


def parse_roles(entries: Sequence[str]) -> dict[str, frozenset[Role]]:
    """Read `dns:ops.internal=admin`, `uri:spiffe://desk/feed=read+control`; a bare name is a host's. Raises ValueError."""
    found: dict[str, frozenset[Role]] = {}
    for entry in entries:
        # A URI may have equals signs of its own; no role has.
        written, separator, given = entry.rpartition("=")
        name = certificate_name(written.strip())
        if not separator or not name:
            raise ValueError(
                f"{entry!r} is not NAME=ROLE, like dns:ops.internal=admin or uri:spiffe://desk/feed=read+control"
            )
        try:
            roles = frozenset(Role(role.strip()) for role in given.split("+"))
        except ValueError as exc:
            raise ValueError(f"{entry!r} names no role; there are {', '.join(Role)}") from exc
        if name in found:
            raise ValueError(f"{name!r} is there twice")
        found[name] = roles
    return found


def certificate_name(written: str) -> str:
    """Return a subject alternative name as `Credentials` has it; empty for what is none, such as a URI without its kind."""
    kind, separator, rest = written.partition(":")
    if not separator or kind not in ("dns", "uri", "email"):
        kind, rest = "dns", written
    if not rest or any(character.isspace() for character in rest) or (kind == "dns" and not _HOST.fullmatch(rest)):
        return ""
    return f"{kind}:{rest.lower() if kind == 'dns' else rest}"
