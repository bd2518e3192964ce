"""The control journal: an operator's intents in one order, each at most once."""

from __future__ import annotations

import asyncio
import enum
import fcntl
import logging
import os
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import redis
import redis.asyncio

from services.runtime.clock import Clock
from services.runtime.errors import ResourceExhausted
from services.runtime.private_files import private_opener, shared_directory
from services.runtime.session.intents import VERSION, Change, Intended, Intent
from services.runtime.session.keys import SESSIONS, SessionKeys
from services.runtime.session.report import EngineReport, EngineState

logger = logging.getLogger(__name__)

JOURNAL_LENGTH_MAX = 10_000
"""Intents kept in Redis; older ones that are applied move to the archive file."""
ARCHIVE_STEP = 500
"""Intents moved at a time, so that most appends do not touch the file."""
PENDING_MAX = 10_000
"""Intents beyond JOURNAL_LENGTH_MAX that may wait for an engine; more are refused, because none of them may be archived."""

# KEYS: journal, requests, intended. ARGV: request id, field that the intent sets, its value, JSON of the intent, requests kept,
# entries at most, value in effect (empty: unknown), revision in effect, version of the sum.
# One script, because deduplicating, numbering and appending must not be separable by a crash or by a second Control server.
# It carries no market data, so the cost of Lua does not matter here.
_APPEND = """
local length = redis.call('XLEN', KEYS[1])
local known = redis.call('ZSCORE', KEYS[2], ARGV[1])
if known then return {tonumber(known), 2, length} end
local field, value, effective, applied = ARGV[2], ARGV[3], ARGV[7], tonumber(ARGV[8])
local intended = redis.call('HGET', KEYS[3], field)
local asked = tonumber(redis.call('HGET', KEYS[3], field .. '_revision') or '0')
-- What was asked for last is what counts while it is on its way. Once the engine has seen it, only the effect counts: it may have refused.
local settled = effective ~= '' and applied >= asked
local revision, outcome
if settled and effective == value then
  revision, outcome = intended == value and asked or applied, 0
elseif not settled and intended == value then
  revision, outcome = asked, 0
else
  if length >= tonumber(ARGV[6]) then return {0, 3, length} end
  -- Above what an engine has applied: it may remember more than a Redis that lost its last second.
  revision, outcome = math.max(tonumber(redis.call('HGET', KEYS[3], 'revision') or '0'), applied) + 1, 1
  redis.call('XADD', KEYS[1], '0-' .. string.format('%.0f', revision), 'intent', ARGV[4])
  redis.call('HSET', KEYS[3], 'version', ARGV[9], 'revision', revision, field, value, field .. '_revision', revision)
  length = length + 1
end
redis.call('ZADD', KEYS[2], revision, ARGV[1])
local excess = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[5])
if excess > 0 then redis.call('ZPOPMIN', KEYS[2], excess) end
return {revision, outcome, length}
"""


class AppendOutcome(enum.IntEnum):
    """What became of an append; the numbers are those of the script."""

    ALREADY_SO = 0
    """The value is intended, or in effect, already; nothing was journalled."""
    ADDED = 1
    REPEATED = 2
    """The request id is known: this is the answer to the first request once more."""
    FULL = 3


@dataclass(frozen=True)
class Effect:
    """What the engine reported last; `value` is empty when it is not known."""

    value: str = ""
    revision: int = 0


@dataclass(frozen=True)
class Journalled:
    """Which revision answers a request."""

    revision: int
    outcome: AppendOutcome


def effect_of(change: Change, report: EngineReport | None) -> Effect:
    """What a report says of the setting that a change sets."""
    if report is None or report.state is EngineState.STARTING or not report.effective.mode:
        # An engine that is still finding out reports what it has not decided.
        return Effect()
    return Effect(change.value_in(report.effective), report.effective.revision)


class ControlJournal:
    """Appends intents and reads what the engine reports. Every method raises redis.RedisError when Redis is away."""

    def __init__(self, client: redis.asyncio.Redis, *, clock: Clock, archive_directory: Path) -> None:
        self._client = client
        self._clock = clock
        self._archive_directory = archive_directory
        self._script = client.register_script(_APPEND)

    async def append(self, keys: SessionKeys, intent: Intent, *, effect: Effect) -> Journalled:
        """Journal `intent` once; a repeat, or what is so already, is answered with an earlier revision.

        Raises ResourceExhausted when too many intents wait for an engine.
        """
        entry = replace(intent, request_id=intent.request_id or uuid.uuid4().hex, time_ns=self._clock.time_ns())
        change = entry.change
        limit = JOURNAL_LENGTH_MAX + PENDING_MAX
        revision, outcome, length = cast(
            "list[int]",
            await self._script(
                keys=[keys.control, keys.requests, keys.intended],
                args=[
                    *(entry.request_id, change.setting, change.value, entry.encode(), JOURNAL_LENGTH_MAX, limit),
                    *(effect.value, effect.revision, VERSION),
                ],
            ),
        )
        if outcome == AppendOutcome.FULL:
            raise ResourceExhausted(
                f"{length} intents wait for session `{keys.session}`; start its replay server first"
            )
        if outcome == AppendOutcome.ADDED and length >= JOURNAL_LENGTH_MAX + ARCHIVE_STEP:
            try:
                await self._archive(keys, length - JOURNAL_LENGTH_MAX, applied=effect.revision)
            except (OSError, redis.RedisError):
                # The intent is journalled, and that is what was asked for; the next append tries again.
                logger.exception("intents not archived: session=%s", keys.session)
        return Journalled(revision, AppendOutcome(outcome))

    async def entry(self, keys: SessionKeys, revision: int) -> Intent | None:
        """Read one intent; None when it is not kept any more."""
        entries: Any = await self._client.xrange(keys.control, f"0-{revision}", f"0-{revision}")
        return Intent.decode(entries[0][1][b"intent"]) if entries else None

    async def is_known(self, keys: SessionKeys) -> bool:
        """Tell whether an engine ever served the session."""
        return bool(await cast("Awaitable[int]", self._client.sismember(SESSIONS, keys.session)))

    async def intended(self, keys: SessionKeys) -> Intended:
        """Read what was asked for last."""
        return Intended.decode(await cast("Awaitable[dict[bytes, bytes]]", self._client.hgetall(keys.intended)))

    async def report(self, keys: SessionKeys) -> EngineReport | None:
        """Read the engine's last report; None when the session never reported."""
        found = await self._client.get(keys.state)
        return EngineReport.decode(keys.session, found) if found else None

    async def _archive(self, keys: SessionKeys, count: int, *, applied: int) -> None:
        """Move the `count` oldest intents to the file, but none that an engine still has to read."""
        entries = cast(
            "list[tuple[bytes, dict[bytes, bytes]]]",
            await self._client.xrange(keys.control, "-", f"0-{applied}", count=count),
        )
        if not entries:
            return
        revisions = [int(entry_id.partition(b"-")[2]) for entry_id, _ in entries]
        lines = b"".join(
            b'{"revision": %d, "intent": %s}\n' % (revision, fields[b"intent"])
            for revision, (_, fields) in zip(revisions, entries, strict=True)
        )
        path = self._archive_directory / f"control-{keys.session}.jsonl"
        await asyncio.to_thread(_append_durably, path, lines)
        # The archive holds them now; a crash before this line archives them twice, which the revision shows.
        await self._client.xtrim(keys.control, minid=f"0-{revisions[-1] + 1}", approximate=False)


def _append_durably(path: Path, lines: bytes) -> None:
    shared_directory(path.parent)
    with open(path, "ab", opener=private_opener) as archive:
        # Another Control server may be writing.
        fcntl.flock(archive, fcntl.LOCK_EX)
        archive.write(lines)
        archive.flush()
        os.fsync(archive.fileno())
