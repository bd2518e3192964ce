"""Who holds what is leased: the producer of a partition, and each of its sinks.

A holder is alive while its lease is there *and* Redis still has its connection. One that is killed loses the connection at once, one
that is stopped its lease after LEASE_MS.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from services.runtime.connection import at_async
from services.runtime.json_text import read_json
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

LEASE_MS: Final = 10_000
RENEW_NS: Final = 2_000_000_000

Of = TypeVar("Of")
"""What is leased."""


@dataclass(frozen=True)
class Holder:
    """What a lease says of who holds it."""

    token: str
    host: str
    pid: int
    client_name: str
    owner: str = ""
    """Name of the server that it works for, where several share a session's partitions."""

    def encode(self) -> str:
        said = {"token": self.token, "host": self.host, "pid": self.pid, "client_name": self.client_name}
        return json.dumps(said | ({"owner": self.owner} if self.owner else {}), separators=(",", ":"))


def parse_holder(lease: bytes | None) -> Holder | None:
    """Return the holder of a lease; None when there is no lease, or one that nobody can have written on purpose."""
    if lease is None:
        return None
    try:
        said = read_json(lease)
        return Holder(
            str(said["token"]),
            str(said["host"]),
            int(said["pid"]),
            str(said["client_name"]),
            str(said.get("owner", "")),
        )
    except (KeyError, TypeError, ValueError):
        logger.warning("lease cannot be read and counts as none", extra=fields(lease=lease[:200]))
        return None


def has_client(client_list: bytes, client_name: str) -> bool:
    """Tell whether CLIENT LIST names this client."""
    wanted = b"name=" + client_name.encode()
    return any(wanted in line.split(b" ") for line in client_list.splitlines())


async def living_holders(client: Any, leases: Mapping[Of, str]) -> dict[Of, Holder]:
    """Return the holder of each of these leases, by what is leased, of those that somebody holds.

    All leases are asked for at once, in a cluster those of each node; so are the connections of every server that has any.
    """
    if not leases:
        return {}
    pipeline = client.pipeline(transaction=False)
    for lease in leases.values():
        pipeline.get(lease)
    stored = zip(leases, await pipeline.execute(), strict=True)
    found = {of: holder for of, lease in stored if (holder := parse_holder(lease)) is not None}
    names: dict[Any, set[str]] = {}
    """Of the clients of each server: a holder is connected to the one that has its keys."""
    alive = {}
    for of, holder in found.items():
        server: Any = await at_async(client, leases[of])
        if server not in names:
            names[server] = {connected["name"] for connected in await server.client_list()}
        if holder.client_name in names[server]:
            alive[of] = holder
    return alive
