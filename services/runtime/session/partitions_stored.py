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
            f"{keys.partitions} says nothing of how many partitions session `{keys.session}` has ({exc!r}); "
            "find out who wrote it, or delete the session"
        ) from exc


async def read(client: Any, keys: SessionKeys) -> Partitioning:
    """Read it with an asynchronous client. Raises FailedPrecondition, and what Redis raises."""
    return decode(keys, await client.get(keys.partitions))
