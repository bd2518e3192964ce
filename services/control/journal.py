"""The control journal: an operator's intents in one order, each at most once."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import redis.asyncio

from services.runtime.clock import Clock
from services.runtime.keys import SessionKeys

JOURNAL_LENGTH_MAX = 10_000
"""Intents kept in Redis; older ones move to the archive file."""
ARCHIVE_STEP = 500
"""Intents moved at a time, so that most appends do not touch the file."""

# KEYS: journal, requests, intended. ARGV: request id, field that the intent sets, its value, JSON of the intent, requests kept.
# One script, because deduplicating, numbering and appending must not be separable by a crash or by a second Control server.
# It carries no market data, so the cost of Lua does not matter here.
_APPEND = """
local known = redis.call('ZSCORE', KEYS[2], ARGV[1])
if known then return {tonumber(known), 0} end
local field, value = ARGV[2], ARGV[3]
local revision, added
if redis.call('HGET', KEYS[3], field) == value then
  revision, added = tonumber(redis.call('HGET', KEYS[3], field .. '_revision')), 0
else
  revision, added = tonumber(redis.call('HGET', KEYS[3], 'revision') or '0') + 1, 1
  redis.call('XADD', KEYS[1], '0-' .. revision, 'intent', ARGV[4])
  redis.call('HSET', KEYS[3], 'revision', revision, field, value, field .. '_revision', revision)
end
redis.call('ZADD', KEYS[2], revision, ARGV[1])
local excess = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[5])
if excess > 0 then redis.call('ZPOPMIN', KEYS[2], excess) end
return {revision, added}
"""


@dataclass(frozen=True)
class Intent:
    """What an operator asks for: `kind` is mode, paused or speed, and `value` its new value."""

    kind: str
    value: str
    request_id: str = ""

    def to_json(self, *, time_ns: int, correlation_id: str) -> str:
        body: dict[str, Any] = {"request_id": self.request_id, "time_ns": time_ns, "correlation_id": correlation_id}
        match self.kind:
            case "mode":
                body |= {"kind": "mode", "mode": int(self.value)}
            case "paused":
                body |= {"kind": "pause" if self.value == "1" else "resume"}
            case _:
                body |= {"kind": "speed", "speed": float(self.value)}
        return json.dumps(body)


class ControlJournal:
    """Appends intents and reads what the engine reports. Every method raises redis.RedisError when Redis is away."""

    def __init__(self, client: redis.asyncio.Redis, *, clock: Clock, archive_directory: Path) -> None:
        self._client = client
        self._clock = clock
        self._archive_directory = archive_directory
        self._script = client.register_script(_APPEND)

    async def append(self, keys: SessionKeys, intent: Intent, *, correlation_id: str) -> int:
        """Journal `intent` once and return its revision; a repeat, or a value that is intended already, returns the earlier one."""
        request_id = intent.request_id or uuid.uuid4().hex
        body = Intent(intent.kind, intent.value, request_id).to_json(
            time_ns=self._clock.time_ns(), correlation_id=correlation_id
        )
        revision, added = cast(
            "list[int]",
            await self._script(
                keys=[keys.control, keys.requests, keys.intended],
                args=[request_id, intent.kind, intent.value, body, JOURNAL_LENGTH_MAX],
            ),
        )
        if added and revision % ARCHIVE_STEP == 0:
            await self._archive(keys, revision)
        return revision

    async def intended(self, keys: SessionKeys) -> dict[str, str]:
        """Read what was asked for last: revision, mode, paused, speed."""
        found = await cast("Awaitable[dict[bytes, bytes]]", self._client.hgetall(keys.intended))
        return {name.decode(): value.decode() for name, value in found.items()}

    async def state(self, keys: SessionKeys) -> dict[str, Any] | None:
        """Read the engine's last report; None when the session never reported."""
        found = await self._client.get(keys.state)
        return cast("dict[str, Any]", json.loads(found)) if found else None

    async def _archive(self, keys: SessionKeys, revision: int) -> None:
        oldest_kept = revision - JOURNAL_LENGTH_MAX + 1
        if oldest_kept <= 1:
            return
        entries = cast(
            "list[tuple[bytes, dict[bytes, bytes]]]",
            await self._client.xrange(keys.control, "-", f"0-{oldest_kept - 1}"),
        )
        if not entries:
            return
        self._archive_directory.mkdir(parents=True, exist_ok=True)
        bodies = [fields[b"intent"] for _, fields in entries]
        with (self._archive_directory / f"control-{keys.session}.jsonl").open("ab") as archive:
            for (entry_id, _), body in zip(entries, bodies, strict=True):
                archive.write(b'{"revision": %s, "intent": %s}\n' % (entry_id.split(b"-")[1], body))
        # The archive holds them now; a crash before this line archives them twice, which the revision shows.
        await self._client.xtrim(keys.control, minid=f"0-{oldest_kept}", approximate=False)
