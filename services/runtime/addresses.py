"""How a host and a port are written, for people and for clients."""

from __future__ import annotations

import ipaddress
from typing import Final

ADMIN_HOST: Final = "127.0.0.1"
"""Where health is in plain text, whatever a server itself listens on: what is plain leaves no machine."""

ADMIN_PORT_OFFSET: Final = 1000
"""From a server's gRPC port to where its health is in plain text, where no setting says."""

_EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
"""What a server listens on when it takes calls on all addresses, and where it can be reached then from the same machine."""

_IPV6_NETWORK_BITS: Final = 64
"""What a customer of a network provider is given at least."""


def host_and_port(host: str, port: int | str) -> str:
    """Return `host:port`, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reachable(host: str, port: int | str) -> str:
    """Return where a server on this machine that listens on `host` is reached: an address for a client or a URL."""
    return host_and_port(_EVERY_ADDRESS.get(host, host), port)


def network_of(address: str) -> str:
    """Return whom an address counts for where callers are counted: with IPv6 everybody has a whole network of addresses."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_NETWORK_BITS), strict=False))


def admin_port(port: int, named: int | None, *, tls: bool) -> int | None:
    """Return where a server's health is in plain text: as `named`, else only with TLS. 0 is any free port, None is nowhere."""
    if named is not None:
        return named
    if not tls:
        return None
    return port + ADMIN_PORT_OFFSET if 0 < port <= 65535 - ADMIN_PORT_OFFSET else 0
