"""Who shares the partitions of a session: each owner tells that it lives, and judges the others by whether they still do.

An owner is taken for dead when what it says has not changed for a while by the reader's own clock, so that no two machines compare their
clocks. To be wrong costs a partition that moves, nothing else: what may be appended is decided by its fence.
"""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Callable, Collection
from typing import Any, Final

import redis.asyncio

from services.runtime.json_text import read_json
from services.runtime.session.keys import SessionKeys
from services.runtime.session.shares import Member

BEAT_S: Final = 1.0
"""How often an owner tells that it lives."""
DEAD_S: Final = 4.0
"""Without a sign of life for so long it is not counted any more."""
FORGOTTEN_S: Final = 60.0
"""And after this it is removed. One that lives comes back with its next sign."""


def owner_name(configured: str) -> str:
    """Return what a server is called among the owners: what it was given, or its host and a random part."""
    return configured or f"{socket.gethostname()[:64]}-{secrets.token_hex(3)}"


def role_of_sink(sink: str) -> str:
    """Return the role of those that share a sink."""
    return f"price/{sink}"


class Owners:
    """The owners of one session in one role, seen by one of them."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        keys: SessionKeys,
        *,
        role: str,
        name: str,
        host: str,
        pid: int,
        monotonic_s: Callable[[], float],
    ) -> None:
        """`role` tells producers from sinks; what is in it has no space."""
        # The client's annotations allow for decoded replies as well; ours are bytes.
        self._client: Any = client
        self._keys = keys
        self._role = role
        self._prefix = f"{role} "
        self.name = name
        self._host = host
        self._pid = pid
        self._monotonic_s = monotonic_s
        self._beat = 0
        self._seen: dict[str, tuple[int, float]] = {}
        """Of each other owner its last beat, and when that was new."""

    async def meet(self, *, held: Collection[int], fit: bool = True) -> list[Member]:
        """Tell about oneself; return all that live, oneself among them, in the order of their names."""
        self._beat += 1
        me = Member(self.name, self._host, self._pid, self._beat, tuple(sorted(held)), fit)
        await self._client.hset(self._keys.owners, self._prefix + self.name, encode(me))
        others = [member for member in await self.told() if member.name != self.name]
        now_s = self._monotonic_s()
        for other in others:
            if self._seen.get(other.name, (None,))[0] != other.beat:
                self._seen[other.name] = other.beat, now_s
        silent_s = {other.name: now_s - self._seen[other.name][1] for other in others}
        for name in [name for name, silence_s in silent_s.items() if silence_s > FORGOTTEN_S]:
            await self._client.hdel(self._keys.owners, self._prefix + name)
        self._seen = {name: self._seen[name] for name in silent_s if silent_s[name] <= FORGOTTEN_S}
        return sorted([me, *(other for other in others if silent_s[other.name] <= DEAD_S)], key=lambda each: each.name)

    async def told(self) -> list[Member]:
        """Return what every owner said last, dead ones too."""
        return (await told_by_role(self._client, self._keys)).get(self._role, [])

    async def leave(self) -> None:
        """Say that one is gone, so that the others need not find out."""
        await self._client.hdel(self._keys.owners, self._prefix + self.name)


async def told_by_role(client: Any, keys: SessionKeys) -> dict[str, list[Member]]:
    """Return what every owner of a session said last, by role."""
    found: dict[bytes, bytes] = await client.hgetall(keys.owners)
    roles: dict[str, list[Member]] = {}
    for field, value in sorted(found.items()):
        role, _, name = field.decode("utf-8", "replace").partition(" ")
        member = decode(name, value)
        if member is not None:
            roles.setdefault(role, []).append(member)
    return roles


def encode(member: Member) -> str:
    """Return what an owner tells of itself."""
    said = {"host": member.host, "pid": member.pid, "beat": member.beat, "held": member.held, "fit": member.fit}
    return json.dumps(said, separators=(",", ":"))


def decode(name: str, said: bytes) -> Member | None:
    """Read what an owner told; None where nobody can have written it on purpose: it does not count."""
    try:
        fields: dict[str, Any] = read_json(said)
        return Member(
            name=name,
            host=str(fields["host"]),
            pid=int(fields["pid"]),
            beat=int(fields["beat"]),
            held=tuple(int(partition) for partition in fields["held"]),
            fit=bool(fields["fit"]),
        )
    except (KeyError, TypeError, ValueError):
        return None
