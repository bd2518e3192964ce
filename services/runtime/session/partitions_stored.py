"""In how many parts a session's ticks are published, as it is written once for all who read them."""

from __future__ import annotations

import json
from typing import Any, cast

from services.runtime.errors import FailedPrecondition, MidstreamError
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partitions import Partitioning


def encode(partitioning: Partitioning) -> bytes:
    """Put it into JSON: {"count": N, "assigned": {ticker: partition}}."""
    return json.dumps({"count": partitioning.count, "assigned": dict(partitioning.assigned)}, sort_keys=True).encode()


def decode(keys: SessionKeys, stored: bytes | None) -> Partitioning:
    """Read it; where there is nothing, it is one. Raises FailedPrecondition."""
    if stored is None:
        return Partitioning()
    try:
        found = cast("dict[str, Any]", json.loads(stored))
        return Partitioning(int(found["count"]), {str(name): int(at) for name, at in found.get("assigned", {}).items()})
    except (ValueError, KeyError, TypeError, AttributeError, MidstreamError) as exc:
        raise FailedPrecondition(
            f"{keys.partitions} says nothing of how many partitions session `{keys.session}` has ({exc!r}): "
            "find out who wrote it, or delete the session"
        ) from exc


async def read(client: Any, keys: SessionKeys) -> Partitioning:
    """Read it with an asynchronous client. Raises FailedPrecondition, and what Redis raises."""
    return decode(keys, await client.get(keys.partitions))


async def settle(client: Any, keys: SessionKeys, wanted: Partitioning) -> None:
    """Have a session published so; raise FailedPrecondition where it is published in another way already.

    Which partition a ticker is in decides how its ticks are numbered, so that it cannot change while anything of the session is kept.
    """
    stored = await client.get(keys.partitions)
    if stored is None and wanted.count > 1:
        first = SessionKeys(keys.session)
        if await client.xlen(first.ticks) or await client.exists(first.checkpoint):
            raise FailedPrecondition(_refusal(keys.session, wanted, Partitioning()))
        if await client.set(keys.partitions, encode(wanted), nx=True):
            return
        stored = await client.get(keys.partitions)
    found = decode(keys, stored)
    if found != wanted:
        raise FailedPrecondition(_refusal(keys.session, wanted, found))


def objection(client: Any, keys: SessionKeys, wanted: Partitioning) -> str:
    """Say why a server that is set so would be refused, with a client that waits; empty where it would not. Nothing is written.

    Raises FailedPrecondition on what cannot be read, and what Redis raises.
    """
    stored = client.get(keys.partitions)
    if stored is None:
        first = SessionKeys(keys.session)
        is_published = bool(client.xlen(first.ticks) or client.exists(first.checkpoint))
        return _refusal(keys.session, wanted, Partitioning()) if is_published and wanted.count > 1 else ""
    found = decode(keys, stored)
    return _refusal(keys.session, wanted, found) if found != wanted else ""


def _refusal(session: str, wanted: Partitioning, found: Partitioning) -> str:
    if wanted.count == found.count:
        return (
            f"session `{session}` has other tickers assigned to its partitions than MIDSTREAM_PARTITION_OF says: "
            "leave that as it was, or take another name with MIDSTREAM_SESSION"
        )
    return (
        f"session `{session}` is published in {_parts(found.count)}, and this server is set to {_parts(wanted.count)}: "
        f"set MIDSTREAM_PARTITIONS={found.count}, or take another name with MIDSTREAM_SESSION"
    )


def _parts(count: int) -> str:
    return "one partition" if count == 1 else f"{count:,} partitions"
