"""Consumer groups of the stream: how far each is, and whether it still counts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.replay.queue.backlog import EVERYTHING
from services.runtime.log_fields import fields
from services.runtime.session.keys import READER_GROUP_PREFIX, READER_LEASE_S

logger = logging.getLogger(__name__)

RECHECK_NS: Final = 5_000_000_000
"""How often a group that stopped counting, or is about to, is asked for its consumers' idle time."""

_READER_LEASE_NS: Final = int(READER_LEASE_S * 1e9)

TRIM_SCRIPT: Final = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return false end
local floor = tonumber(ARGV[2])
local ignored = {}
for i = 3, #ARGV do ignored[ARGV[i]] = true end
local function sequence(id) return id:sub(1, 2) == '0-' and tonumber(id:sub(3)) or 2^53 end
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
  if not ignored[group['name']] then
    floor = math.min(floor, sequence(group['last-delivered-id']) + 1)
    if group['pending'] > 0 then
      floor = math.min(floor, sequence(redis.call('XPENDING', KEYS[1], group['name'])[2]))
    end
  end
end
local id = string.format('0-%.0f', floor)
return {redis.call('XTRIM', KEYS[1], 'MINID', '=', id), id}
"""
"""Trim up to a sequence, but nothing that a group has not committed, whatever happened since they were last looked at.

Keys: stream, fence. Arguments: token, the sequence, names of groups that do not count. A script, because a new group does not touch
a watched stream, so that a transaction would not notice it. It checks the fence itself, because Redis takes no transaction at all
when memory is short, and that is when a trim matters most.
"""


@dataclass(frozen=True)
class Group:
    """What XINFO GROUPS and XPENDING say of one group."""

    name: str
    consumers: int
    pending: int
    delivered: int
    oldest_pending: int | None

    @property
    def committed(self) -> int:
        """Newest sequence up to which nothing is outstanding."""
        if self.oldest_pending is None:
            return self.delivered
        return min(self.delivered, self.oldest_pending - 1)


@dataclass
class _Watch:
    seen: Group
    active_ns: int
    """When it last did something, as far as we can tell."""
    asked_ns: int
    expired: bool = False


def parse_id(entry_id: bytes) -> int:
    """Return the sequence of an entry id; ids that are not ours count as beyond everything."""
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(sequence) if milliseconds == b"0" else EVERYTHING


def flat_fields(flat: Sequence[Any]) -> dict[bytes, Any]:
    """Return a RESP2 list of field, value, field, value as a mapping."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def parse_group(info: Sequence[Any], pending: Sequence[Any] | None) -> Group:
    """Build a group from its part of XINFO GROUPS and its XPENDING summary (None: it was not asked).

    The two are not one snapshot. XINFO comes first, so the smaller of the two positions was true at some time since.
    """
    fields = flat_fields(info)
    oldest = pending[1] if pending is not None and pending[0] else None
    return Group(
        name=fields[b"name"].decode("utf-8", "surrogateescape"),
        consumers=int(fields[b"consumers"]),
        pending=int(fields[b"pending"]),
        delivered=parse_id(fields[b"last-delivered-id"]),
        oldest_pending=None if oldest is None else parse_id(oldest),
    )


class GroupTracker:
    """Decides which groups count and what all of them have committed."""

    def __init__(self, *, expected: Iterable[str], lease_s: float) -> None:
        self._expected = tuple(expected)
        self._lease_ns = int(lease_s * 1e9)
        self._watched: dict[str, _Watch] = {}

    @property
    def names(self) -> list[bytes]:
        """Names of all groups known, as Redis spells them."""
        return [name.encode("utf-8", "surrogateescape") for name in self._watched]

    @property
    def ignored(self) -> list[bytes]:
        """Names of groups that do not count any more."""
        return [name.encode("utf-8", "surrogateescape") for name, watch in self._watched.items() if watch.expired]

    @property
    def holding(self) -> str:
        """Say who holds the producer back, for people."""
        missing = self.missing
        if missing:
            return "no consumer group yet for " + ", ".join(f"`{name}`" for name in missing)
        counting = [watch.seen for watch in self._watched.values() if not watch.expired]
        return f"consumer group `{min(counting, key=lambda g: g.committed).name}` is behind" if counting else "nobody"

    @property
    def missing(self) -> list[str]:
        """Expected sinks without a group."""
        return [name for name in self._expected if name not in self._watched]

    def forget(self) -> None:
        """Start over, for another stream."""
        self._watched.clear()

    def update(self, groups: Iterable[Group], now_ns: int) -> list[str]:
        """Take over what Redis says; return the groups whose consumers' idle time must be asked (see `idle`)."""
        watched = {}
        for group in groups:
            watch = self._watched.get(group.name)
            if watch is None:
                watch = _Watch(group, now_ns, now_ns)
            elif watch.seen != group:
                self._activate(watch)
                watch.seen, watch.active_ns = group, now_ns
            watched[group.name] = watch
        self._watched = watched
        return [name for name, watch in watched.items() if self._must_ask(watch, now_ns)]

    def idle(self, name: str, consumers: Sequence[Mapping[bytes, Any]], now_ns: int) -> None:
        """Take over XINFO CONSUMERS of one group; without consumers only what changed counts as activity."""
        watch = self._watched.get(name)
        if watch is None:
            return
        watch.asked_ns = now_ns
        if consumers:
            idle_ms = min(int(consumer[b"idle"]) for consumer in consumers)
            watch.active_ns = max(watch.active_ns, now_ns - idle_ms * 1_000_000)
        if now_ns - watch.active_ns <= self._lease_of(name):
            self._activate(watch)
        elif not watch.expired:
            watch.expired = True
            logger.warning(
                "group does not count any more; its unread entries may be trimmed",
                extra=fields(
                    group=name,
                    quiet_s=round((now_ns - watch.active_ns) / 1e9),
                    committed=watch.seen.committed,
                    advice="remove it with `XGROUP DESTROY`, or raise MIDSTREAM_GROUP_LEASE",
                ),
            )

    def committed(self) -> int:
        """Return the newest sequence that every group has committed.

        Without any group: nothing is committed while expected sinks are still to come, everything is when none is
        expected.
        """
        if self.missing:
            return 0
        return min((watch.seen.committed for watch in self._watched.values() if not watch.expired), default=EVERYTHING)

    def _must_ask(self, watch: _Watch, now_ns: int) -> bool:
        quiet = now_ns - watch.active_ns > self._lease_of(watch.seen.name)
        return quiet and (not watch.expired or now_ns - watch.asked_ns >= RECHECK_NS)

    def _lease_of(self, name: str) -> int:
        """A subscriber's group is touched by the server all the time, so silence means sooner that nobody is there."""
        return min(_READER_LEASE_NS, self._lease_ns) if name.startswith(READER_GROUP_PREFIX) else self._lease_ns

    @staticmethod
    def _activate(watch: _Watch) -> None:
        if watch.expired:
            watch.expired = False
            logger.info("group counts again", extra=fields(group=watch.seen.name))
