"""Refusals of Redis that waiting may end: what they mean, for callers and for those who retry."""

from __future__ import annotations

import re
from typing import Final

from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

_BY_CLASS: Final[tuple[tuple[type[ResponseError], str], ...]] = (
    (OutOfMemoryError, "OOM"),
    (ReadOnlyError, "READONLY"),
    (MasterDownError, "MASTERDOWN"),
    (ClusterDownError, "CLUSTERDOWN"),
    (TryAgainError, "TRYAGAIN"),
)
"""The client cuts the code off the text where it has a class for it."""

_MEANINGS: Final = {
    "OOM": "Redis has no memory left for a write; raise its maxmemory or let consumers catch up",
    "READONLY": "Redis has become a replica and takes no writes, as in a failover; retry once there is a master again",
    "MISCONF": "Redis cannot write to its disk and takes no writes; make room there, it goes on by itself",
    "BUSY": "Redis is busy with a script of somebody; retry with backoff",
    "NOREPLICAS": "Redis takes no writes without its replicas; retry once they are back",
    "MASTERDOWN": "Redis is a replica that has lost its master; retry once there is one again",
    "LOADING": "Redis is still loading its data; retry with backoff",
    "CLUSTERDOWN": "the Redis cluster is down; retry once it is whole again",
    "TRYAGAIN": "the Redis cluster is moving these keys; retry with backoff",
}
_REASON: Final = re.compile(r"^Transaction discarded because of: ", re.IGNORECASE)
"""Before the code of what EXEC itself was refused for."""
_NOTE: Final = re.compile(r"^Command # \d+ .* of pipeline caused error: \(['\"]", re.DOTALL)
"""What the client puts before the text of a refusal, where the command was one of several."""
_CODE: Final = re.compile(r"-?([A-Z]+)(?=[\s.]|$)")


def temporary_code(error: ResponseError) -> str | None:
    """Return the code of a refusal that ends by itself or by an operator's hand (`OOM`, `READONLY`, ...); None for others.

    The code is the first word that Redis says, or the class that the client makes of it; nothing behind it is looked at.
    """
    known = next((code for kind, code in _BY_CLASS if isinstance(error, kind)), None)
    found = _CODE.match(_REASON.sub("", _NOTE.sub("", str(error))))
    return known or (found[1] if found and found[1] in _MEANINGS else None)


def meaning(code: str) -> str:
    """Return what a code of `temporary_code` means, and what to do, in one sentence."""
    return _MEANINGS[code]
