"""What a caller brought, out of a gRPC context or an ASGI scope: the one place where both are read."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

from services.runtime.access.identity import Credentials
from services.runtime.log_fields import fields
from services.runtime.tls.der import first_certificate, validity

__all__ = ["connection_state", "credentials_in", "credentials_of", "peer_address"]

logger = logging.getLogger(__name__)

AUTHORIZATION: Final = "authorization"
_CERTIFICATE: Final = "midstream.certificate"
"""Where the state of an ASGI connection has what its client's certificate says."""

_PEER_PROPERTIES: Final = {"peer_dns": "dns", "peer_uri": "uri", "peer_email": "email"}
_SAN_KINDS: Final = {"DNS": "dns", "URI": "uri", "email": "email"}


def credentials_of(context: Any) -> Credentials:
    """Return what the caller of a gRPC method brought; reads nothing of its request."""
    given = [value for key, value in context.invocation_metadata() or () if key == AUTHORIZATION]
    properties: Mapping[str, Iterable[bytes]] = context.auth_context() or {}
    pem = next(iter(properties.get("x509_pem_cert", ())), b"")
    names = [
        (kind, value.decode("utf-8", "replace"))
        for property_name, kind in _PEER_PROPERTIES.items()
        for value in properties.get(property_name, ())
    ]
    return Credentials(
        authorization=_joined(value.decode("latin-1") if isinstance(value, bytes) else value for value in given),
        certificate_names=_written(names),
        certificate_expires_ns=_expiry(pem),
        peer=peer_address(context.peer()),
    )


def credentials_in(scope: Mapping[str, Any]) -> Credentials:
    """Return what the sender of an HTTP request, or the opener of a websocket, brought; reads nothing of its body."""
    given = [
        bytes(value).decode("latin-1") for name, value in scope["headers"] if bytes(name).lower() == b"authorization"
    ]
    names, expires_ns = (scope.get("state") or {}).get(_CERTIFICATE, ((), None))
    client = scope.get("client")
    return Credentials(
        authorization=_joined(given),
        certificate_names=names,
        certificate_expires_ns=expires_ns,
        peer=client[0] if client else "",
    )


def connection_state(transport: Any) -> dict[str, Any]:
    """Return what the ASGI state of a new connection needs, so that `credentials_in` finds its client's certificate."""
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    shown: Any = tls.getpeercert() if tls is not None else None
    if not shown:
        return {}
    names = [(_SAN_KINDS[kind], value) for kind, value in shown.get("subjectAltName", ()) if kind in _SAN_KINDS]
    expires_ns = int(ssl.cert_time_to_seconds(shown["notAfter"])) * 1_000_000_000
    return {_CERTIFICATE: (_written(names), expires_ns)}


def peer_address(peer: str) -> str:
    """Return the address of gRPC's `ipv4:127.0.0.1:50123`, `ipv6:%5B::1%5D:50123` or `unix:/path`."""
    kind, _, rest = unquote(peer).partition(":")
    if kind not in ("ipv4", "ipv6"):
        return rest or kind
    return rest.rpartition(":")[0].strip("[]")


def _written(names: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return names as settings write them; those of hosts have no case."""
    return tuple(dict.fromkeys(f"{kind}:{value.lower() if kind == 'dns' else value}" for kind, value in names))


def _joined(given: Iterable[str]) -> str | None:
    """Return the header as RFC 9110 reads one that is there twice: a list, which no authenticator takes for anybody's."""
    values = list(given)
    return ", ".join(values) if values else None


@lru_cache(maxsize=256)
def _expiry(pem: bytes) -> int | None:
    if not pem:
        return None
    try:
        return validity(first_certificate(pem)).not_after_ns
    except ValueError as exc:
        # OpenSSL has verified it, so it has an end that we cannot read: better none of its rights than rights without end.
        logger.warning("a client certificate cannot be read", extra=fields(reason=exc))
        return 0
