"""How a host and a port are written, for people and for clients."""

from __future__ import annotations

from typing import Final

ADMIN_HOST: Final = "127.0.0.1"
"""Where health is in plain text, whatever a server itself listens on: what is plain leaves no machine."""

_EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
"""What a server listens on when it takes calls on all addresses, and where it can be reached then from the same machine."""


def host_and_port(host: str, port: int | str) -> str:
    """Return `host:port`, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reachable(host: str, port: int | str) -> str:
    """Return where a server on this machine that listens on `host` is reached: an address for a client or a URL."""
    return host_and_port(_EVERY_ADDRESS.get(host, host), port)
