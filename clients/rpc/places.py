"""Where an address leads."""

from __future__ import annotations

import ipaddress


def host_of(address: str) -> str:
    """Return the host of `host:port` or `[::1]:port`."""
    return address.rpartition(":")[0].strip("[]")


def is_loopback(address: str) -> bool:
    """Whether what is sent to an address stays on this machine."""
    host = host_of(address)
    if host == "localhost" or address.startswith("unix:"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
