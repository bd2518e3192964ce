"""Where a URL of the settings may lead: not to addresses at which a machine's own provider answers."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

METADATA_NAMES: Final = frozenset(("metadata.google.internal", "instance-data.ec2.internal"))
_METADATA_NETWORKS: Final = (
    # Link-local: every large provider's 169.254.169.254 and 169.254.170.2.
    ipaddress.ip_network("169.254.0.0/16"),
    ipaddress.ip_network("fe80::/10"),
    ipaddress.ip_network("fd00:ec2::/32"),
    ipaddress.ip_network("100.100.100.200/32"),
)


def is_metadata_host(host: str) -> bool:
    """Whether a URL's host is where cloud providers hand out credentials, in whatever spelling a system's resolver takes."""
    host = host.strip("[]").rstrip(".").lower()
    if host in METADATA_NAMES:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            # Resolvers also take 2852039166, 0xa9fea9fe and 169.254.43518 for addresses.
            address = ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address.version == network.version and address in network for network in _METADATA_NETWORKS)
