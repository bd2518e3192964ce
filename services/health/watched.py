"""What an entry of MIDSTREAM_HEALTH_WATCH names: a server on this machine, or one elsewhere."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

__all__ = ["WATCHABLE", "Watched", "read_watched"]

WATCHABLE: Final = ("replay", "control", "price", "orders", "reporting", "power-listener", "power-etl")

_NAME_CHARACTERS: Final = 253
_LABEL: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


@dataclass(frozen=True)
class Watched:
    """A server that has to be there."""

    name: str
    address: str = ""
    """`HOST:PORT` of its gRPC port elsewhere; empty where it is on this machine."""


def read_watched(entries: tuple[str, ...]) -> tuple[Watched, ...]:
    """Read `NAME` and `NAME=HOST:PORT`. Raises ValueError, for the setting's name to go before."""
    found: dict[str, Watched] = {}
    for entry in entries:
        name, elsewhere, address = (part.strip() for part in entry.partition("="))
        if name not in WATCHABLE:
            raise ValueError(f"must name servers out of {', '.join(WATCHABLE)}, not {name!r}")
        if name in found:
            raise ValueError(f"must name each server once, and names {name} twice")
        if elsewhere:
            _check_address(entry, address)
        found[name] = Watched(name, address)
    return tuple(found.values())


def _check_address(entry: str, address: str) -> None:
    host, colon, port = address.rpartition(":")
    if not colon or not _is_host(host):
        raise ValueError(
            f"must have entries like replay or replay=replay.example:50051 (IPv6: replay=[fd00::1]:50051), not {entry}"
        )
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"must have ports from 1 to 65535, not {entry}")


def _is_host(host: str) -> bool:
    if host.startswith("[") and host.endswith("]"):
        return _is_ip(host[1:-1], 6)
    if re.fullmatch(r"[0-9.]+", host):
        return _is_ip(host, 4)
    labels = host.removesuffix(".").split(".")
    return len(host) <= _NAME_CHARACTERS and all(_LABEL.fullmatch(label) for label in labels)


def _is_ip(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False
