"""Whom a listener reaches: beyond this machine only with TLS and an authenticator, or by an override that does not keep quiet."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from typing import Final

from services.runtime.errors import StartRefused
from services.runtime.log_fields import fields
from services.runtime.metrics import Metrics
from services.runtime.settings import ServerSettings

__all__ = ["check_exposure", "insecure_reason", "is_local_address", "keep_saying", "reaches_beyond"]

logger = logging.getLogger(__name__)

REMIND_S: Final = 3600.0


def is_local_address(address: str) -> bool:
    """Whether an address, as the system writes it, is this machine's alone."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def reaches_beyond(host: str) -> bool:
    """Whether somebody on another machine may reach what listens on `host`.

    The system is asked, which reads `0`, `127.1` and names as the listener will. What it cannot find cannot be listened on: that is
    told with the port's own words.
    """
    if not host:
        return True
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        return False
    return not all(is_local_address(str(address[0])) for *_, address in found)


def insecure_reason(settings: ServerSettings) -> str:
    """Say what keeps these settings from listening where they want to; empty when nothing does."""
    missing = []
    if settings.tls_cert is None:
        missing.append("TLS")
    if not settings.authenticates:
        missing.append("an authenticator")
    if not missing or not reaches_beyond(settings.host):
        return ""
    return f"{settings.host} is reached from other machines, without {' and without '.join(missing)}"


def check_exposure(settings: ServerSettings, metrics: Metrics) -> str:
    """Return why a server is insecure where MIDSTREAM_INSECURE lets it be; empty when it is not. Raises StartRefused."""
    reason = insecure_reason(settings)
    if reason and not settings.insecure:
        fixes = [] if settings.tls_cert is not None else ["MIDSTREAM_TLS_CERT and MIDSTREAM_TLS_KEY"]
        fixes += [] if settings.authenticates else ["MIDSTREAM_AUTH (keys, certificates or tokens)"]
        raise StartRefused(
            f"MIDSTREAM_HOST: {reason}: set {' and '.join(fixes)}, or MIDSTREAM_HOST=127.0.0.1, "
            "or MIDSTREAM_INSECURE=yes for a network in which everybody may do everything"
        )
    metrics.set("midstream_insecure", 1 if reason else 0)
    return reason


async def keep_saying(reason: str) -> None:
    """Warn at once and every hour, for as long as it lasts."""
    while True:
        logger.warning("insecure, as MIDSTREAM_INSECURE allows", extra=fields(reason=reason))
        await asyncio.sleep(REMIND_S)
