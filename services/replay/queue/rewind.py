"""Make a stream take ids again that it has seen: entries that somebody deleted leave its last id behind.

Lowering the last id in place (XSETID) is refused by Valkey and by Redis 8, so the stream is written anew beside the old one, with
its groups, and put in its place at once.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from redis.exceptions import ResponseError

from services.replay.queue.claim import Claim
from services.replay.queue.groups import Group, parse_group
from services.replay.queue.wire import Wire, pack
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

_COPY_COUNT: Final = 8
"""Entries in hand at once; each holds at most a batch."""


def rewind(wire: Wire, claim: Claim, ticks: str) -> None:
    """Replace the stream by one with the same entries and groups whose last id is that of its newest entry.

    A group starts behind what it has committed, so that what its consumers had in hand comes to them again; its consumers
    make themselves known by their next read. Raises what redis-py raises, Fenced and QueueLost; the stream is as it was then,
    and the whole can be repeated.
    """
    beside = f"{ticks}:rewound"
    wire.call("DEL", beside)
    entries = _copy(wire, ticks, beside)
    groups = _groups(wire, ticks)
    for group in groups:
        name = group.name.encode("utf-8", "surrogateescape")
        wire.call("XGROUP", "CREATE", beside, name, f"0-{group.committed}", "MKSTREAM")
    claim.replace(wire, beside, ticks, exists=bool(entries or groups))
    logger.warning("stream was written anew", extra=fields(entries=entries, groups=[group.name for group in groups]))


def _copy(wire: Wire, ticks: str, beside: str) -> int:
    copied, start = 0, "-"
    while True:
        found: list[Any] = wire.call("XRANGE", ticks, start, "+", "COUNT", _COPY_COUNT)
        if not found:
            return copied
        wire.send([pack("XADD", beside, entry_id, *fields) for entry_id, fields in found])
        for reply in wire.read(len(found)):
            if isinstance(reply, ResponseError):
                raise reply
        copied += len(found)
        start = f"({found[-1][0].decode()}"


def _groups(wire: Wire, ticks: str) -> list[Group]:
    groups = []
    for info in wire.call("XINFO", "GROUPS", ticks):
        name = info[info.index(b"name") + 1]
        groups.append(parse_group(info, wire.call("XPENDING", ticks, name)))
    return groups
