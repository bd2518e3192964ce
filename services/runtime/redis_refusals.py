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
# Alone at the beginning; behind a dash where an error of a script is quoted; after a colon in the reason of an EXECABORT.
_CODE: Final = re.compile(rf"(?:^|: ?-?|(?<=\s)-)({'|'.join(_MEANINGS)})(?=[\s.]|$)")


def temporary_code(error: ResponseError) -> str | None:
    """Return the code of a refusal that ends by itself or by an operator's hand (`OOM`, `READONLY`, ...); None for others.

    Redis before 7 wraps what a script was refused for in a sentence of its own, and EXEC quotes what its commands met.
    """
    known = next((code for kind, code in _BY_CLASS if isinstance(error, kind)), None)
    found = _CODE.search(str(error))
    return known or (found.group(1) if found else None)


def meaning(code: str) -> str:
    """Return what a code of `temporary_code` means, and what to do, in one sentence."""
    return _MEANINGS[code]
