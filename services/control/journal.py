"""The control journal: an operator's intents in one order, each at most once."""

from __future__ import annotations

import asyncio
import enum
import fcntl
import json
import logging
import os
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import redis
import redis.asyncio

from services.runtime.clock import Clock
from services.runtime.errors import FailedPrecondition, ResourceExhausted, Unavailable
from services.runtime.json_text import read_json
from services.runtime.log_fields import fields
from services.runtime.private_files import private_opener, shared_directory
from services.runtime.session import partitions_stored
from services.runtime.session.aggregate import read_report
from services.runtime.session.effects import Effect
from services.runtime.session.intents import HAND_OVER_REVISION, VERSION, Intended, Intent, SetMode, Setting
from services.runtime.session.keys import SESSIONS, SessionKeys
from services.runtime.session.report import EngineReport, EngineState
from services.runtime.unreadable import Unreadable

logger = logging.getLogger(__name__)

JOURNAL_LENGTH_MAX = 10_000
"""Intents kept in Redis; older ones that are applied move to the archive file."""
ARCHIVE_STEP = 500
"""Intents moved at a time, so that most appends do not touch the file."""
PENDING_MAX = 10_000
"""Intents beyond JOURNAL_LENGTH_MAX that may wait for an engine; more are refused, because none of them may be archived."""
GIVEN_MAX = 10_000
"""Sessions of which the highest revision given is remembered; the ones that were asked longest ago are forgotten."""
EFFECTS_PAGE = 100
"""Effects read at a time; the one that is looked for is most often among the last few."""
UNDER_WAY = "0"
"""The mode while a session comes from history to live data: whoever asks for one of both asks for something else."""
DIFFERS = "differs"
"""The value of a setting that is not the same in all partitions; none can be asked for."""
ATTEMPTS_MAX = 50
"""Lost races against other Control servers per append; more means that something is wrong with who else writes the keys."""


class AppendOutcome(enum.IntEnum):
    """What became of an append."""

    ALREADY_SO = 0
    """The value is intended, or in effect, already; nothing was journalled."""
    ADDED = 1
    REPEATED = 2
    """The request id is known: this is the answer to the first request once more."""
    FULL = 3


@dataclass(frozen=True)
class InEffect:
    """What the engine reported last; `value` is empty when it is not known."""

    value: str = ""
    revision: int = 0


@dataclass(frozen=True)
class Journalled:
    """Which revision answers a request."""

    revision: int
    outcome: AppendOutcome


def effect_of(setting: Setting | None, report: EngineReport | None) -> InEffect:
    """What a report says of a setting; of what is none it says nothing."""
    if report is None or report.state is EngineState.STARTING or not report.effective.mode:
        # An engine that is still finding out reports what it has not decided.
        return InEffect()
    if isinstance(setting, SetMode) and report.hand_over.is_under_way:
        # Neither mode is what the session is to stay in.
        return InEffect(UNDER_WAY, report.effective.revision)
    if setting is not None and setting.setting in report.differing:
        # A scheduled command has come to its place in some partitions only: whoever asks for either value asks for a change.
        return InEffect(DIFFERS, report.effective.revision)
    value = "" if setting is None else setting.value_in(report.effective)
    return InEffect(value, report.effective.revision)


class ControlJournal:
    """Appends intents and reads what the engine reports. Every method raises redis.RedisError when Redis is away."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        *,
        clock: Clock,
        archive_directory: Path,
        unreadable: Unreadable | None = None,
    ) -> None:
        self._unreadable = unreadable or Unreadable()
        self._client = client
        self._clock = clock
        self._archive_directory = archive_directory
        # Calls of this process queue up here instead of losing races against each other.
        self._lock = asyncio.Lock()
        self._given: OrderedDict[str, int] = OrderedDict()
        """The highest revision that was given, by session: a replica that takes over may not know it."""

    async def append(self, keys: SessionKeys, intent: Intent, *, effect: InEffect) -> Journalled:
        """Journal `intent` once; a repeat, or what is so already, is answered with an earlier revision.

        Raises ResourceExhausted when too many intents wait for an engine.
        """
        entry = replace(intent, request_id=intent.request_id or uuid.uuid4().hex, time_ns=self._clock.time_ns())
        async with self._lock:
            revision, outcome, length = await self._append(keys, entry, effect, floor=await self._floor(keys))
            self._note_given(keys, revision)
        if outcome == AppendOutcome.FULL:
            raise ResourceExhausted(
                f"{length} intents wait for session `{keys.session}`; start its replay server first"
            )
        if outcome == AppendOutcome.ADDED and length >= JOURNAL_LENGTH_MAX + ARCHIVE_STEP:
            try:
                await self._archive(keys, length - JOURNAL_LENGTH_MAX, applied=effect.revision)
            except (OSError, redis.RedisError):
                # The intent is journalled, and that is what was asked for; the next append tries again.
                logger.exception("intents not archived", extra=fields(session=keys.session))
        return Journalled(revision, outcome)

    async def entry(self, keys: SessionKeys, revision: int) -> Intent | None:
        """Read one intent; None when it is not kept any more, or cannot be read: it only says what was asked for once."""
        entries: Any = await self._client.xrange(keys.control, f"0-{revision}", f"0-{revision}")
        try:
            return Intent.decode(entries[0][1].get(b"intent", b"")) if entries else None
        except ValueError as exc:
            self._unreadable.note("intent", f"{keys.control} 0-{revision}", exc)
            return None

    async def partitions(self, keys: SessionKeys) -> int:
        """Return in how many parts the session is published."""
        return (await partitions_stored.read(self._client, keys)).count

    async def effect(self, keys: SessionKeys, revision: int) -> Effect | None:
        """Read what became of an intent in every partition; None while one has not applied it, or when that is not kept any more."""
        found: list[Effect] = []
        for partition in range(await self.partitions(keys)):
            effect = await self._effect_in(SessionKeys(keys.session, partition), revision)
            if effect is None:
                return None
            found.append(effect)
        refused = [effect for effect in found if effect.refused]
        if refused or len(found) == 1:
            return (refused or found)[0]
        return replace(
            found[0],
            steps=sum(effect.steps for effect in found),
            # As readers of all partitions count.
            marker_sequence=sum(effect.marker_sequence for effect in found),
            position_arrival_time_ns=min(effect.position_arrival_time_ns for effect in found),
        )

    async def _effect_in(self, keys: SessionKeys, revision: int) -> Effect | None:
        end = "+"
        while True:
            page: Any = await self._client.xrevrange(keys.effects, end, "-", count=EFFECTS_PAGE)
            for entry_id, stored in page:
                try:
                    effect = Effect.decode(stored.get(b"effect", b""))
                except ValueError as exc:
                    self._unreadable.note("effect", f"{keys.effects} {entry_id.decode()}", exc)
                    continue
                if effect.revision == revision:
                    return effect
            if len(page) < EFFECTS_PAGE:
                return None
            end = f"({page[-1][0].decode()}"

    async def is_known(self, keys: SessionKeys) -> bool:
        """Tell whether an engine ever served the session."""
        return bool(await cast("Awaitable[int]", self._client.sismember(SESSIONS, keys.session)))

    async def intended(self, keys: SessionKeys) -> Intended:
        """Read what was asked for last. Raises FailedPrecondition where that cannot be read."""
        stored = await cast("Awaitable[dict[bytes, bytes]]", self._client.hgetall(keys.intended))
        try:
            return Intended.decode(stored)
        except ValueError as exc:
            raise _unreadable_sum(keys, exc) from exc

    async def report(self, keys: SessionKeys) -> EngineReport | None:
        """Read the engine's last report; None when the session never reported, or when it cannot be read: the next one is due.

        Raises NewerVersion.
        """
        try:
            return await read_report(self._client, keys)
        except ValueError as exc:
            self._unreadable.note("report", keys.state, exc)
            return None

    async def _floor(self, keys: SessionKeys) -> int:
        """Return a revision that was given, as far as this process and the engines' checkpoints know: no intent may get it again."""
        known = self._given.get(keys.session, 0)
        for partition in range(await self.partitions(keys)):
            checkpoint = SessionKeys(keys.session, partition).checkpoint
            applied = await cast("Awaitable[bytes | None]", self._client.hget(checkpoint, "revision"))
            known = max(known, int(applied) if applied is not None and applied.isdigit() else 0)
        return known

    def _note_given(self, keys: SessionKeys, revision: int) -> None:
        self._given[keys.session] = max(revision, self._given.pop(keys.session, 0))
        if len(self._given) > GIVEN_MAX:
            self._given.popitem(last=False)

    async def _append(
        self, keys: SessionKeys, entry: Intent, effect: InEffect, *, floor: int
    ) -> tuple[int, AppendOutcome, int]:
        """Return revision, outcome and the length of the journal.

        Deduplicating, numbering and appending must not be separable by a crash or by a second Control server: what was read is
        watched, and what follows from it is one transaction.
        """
        async with self._client.pipeline(transaction=True) as pipe:
            for _ in range(ATTEMPTS_MAX):
                await pipe.watch(keys.control, keys.requests, keys.intended)
                length, last = await _journal_end(pipe, keys)
                known = await pipe.zscore(keys.requests, entry.request_id)
                if known is not None:
                    return int(known), AppendOutcome.REPEATED, length
                intended = cast("dict[bytes, bytes]", await cast("Awaitable[Any]", pipe.hgetall(keys.intended)))
                try:
                    revision, outcome = _judge(entry.setting, effect, intended, max(last, floor))
                except ValueError as exc:
                    raise _unreadable_sum(keys, exc) from exc
                cast("Any", pipe).multi()
                if outcome is AppendOutcome.ADDED:
                    if length >= JOURNAL_LENGTH_MAX + PENDING_MAX:
                        return 0, AppendOutcome.FULL, length
                    self._add(pipe, keys, entry, revision)
                    length += 1
                pipe.zadd(keys.requests, {entry.request_id: revision})
                # As many as the journal has entries; the oldest go.
                pipe.zremrangebyrank(keys.requests, 0, -JOURNAL_LENGTH_MAX - 1)
                try:
                    await pipe.execute()
                except redis.WatchError:
                    continue
                return revision, outcome, length
        raise Unavailable(
            f"{ATTEMPTS_MAX} attempts lost their race for the journal of `{keys.session}`; retry with backoff"
        )

    @staticmethod
    def _add(pipe: Any, keys: SessionKeys, entry: Intent, revision: int) -> None:
        setting = entry.setting
        pipe.xadd(keys.control, {"intent": entry.encode()}, id=f"0-{revision}")
        sums: dict[str, str | int] = {"version": VERSION, "revision": revision}
        if setting is not None:
            sums |= {setting.setting: setting.value, f"{setting.setting}_revision": revision}
        elif isinstance(entry.change, SetMode) and entry.when is None:
            sums[HAND_OVER_REVISION] = revision
        pipe.hset(keys.intended, mapping=sums)

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
            b'{"revision": %d, "intent": %s}\n' % (revision, _as_json(fields.get(b"intent", b"")))
            for revision, (_, fields) in zip(revisions, entries, strict=True)
        )
        path = self._archive_directory / f"control-{keys.session}.jsonl"
        await asyncio.to_thread(_append_durably, path, lines)
        # The archive holds them now; a crash before this line archives them twice, which the revision shows.
        await self._client.xtrim(keys.control, minid=f"0-{revisions[-1] + 1}", approximate=False)


async def _journal_end(pipe: Any, keys: SessionKeys) -> tuple[int, int]:
    """Return the length of the journal and its last revision, which outlives its entry."""
    try:
        found = await pipe.xinfo_stream(keys.control)
    except redis.ResponseError as exc:
        if "no such key" in str(exc):
            return 0, 0
        raise
    return int(found["length"]), int(found["last-generated-id"].partition(b"-")[2])


def _judge(
    setting: Setting | None, effect: InEffect, intended: Mapping[bytes, bytes], last: int
) -> tuple[int, AppendOutcome]:
    """Return the revision that answers a change, and whether it has to be added; what is no setting always has."""
    # Above what an engine has applied: it may remember more than a Redis that lost its last second.
    # And above the stream's own: somebody may have deleted the sum, and no engine takes an id again.
    following = max(int(intended.get(b"revision", 0)), effect.revision, last) + 1
    if setting is None:
        return following, AppendOutcome.ADDED
    field = setting.setting.encode()
    asked_for = intended.get(field)
    asked = int(intended.get(field + b"_revision", 0))
    handed_over = int(intended.get(HAND_OVER_REVISION.encode(), 0)) if isinstance(setting, SetMode) else 0
    if handed_over > asked:
        asked_for, asked = None, handed_over
    value = setting.value.encode()
    # What was asked for last is what counts while it is on its way. Once the engine has seen it, only the effect counts: it may
    # have refused.
    settled = bool(effect.value) and effect.revision >= asked
    if settled and effect.value == setting.value:
        return asked if asked_for == value else effect.revision, AppendOutcome.ALREADY_SO
    if not settled and asked_for == value:
        return asked, AppendOutcome.ALREADY_SO
    return following, AppendOutcome.ADDED


def _unreadable_sum(keys: SessionKeys, exc: ValueError) -> FailedPrecondition:
    """Return the refusal to guess what was asked for: that would undo somebody's wish."""
    return FailedPrecondition(
        f"what was asked of session `{keys.session}` cannot be read ({exc}): find out who wrote to {keys.intended}; "
        "delete that key to begin with what is in effect"
    )


def _as_json(body: bytes) -> bytes:
    """Return a body for a line of JSON; what is none is kept as text."""
    try:
        read_json(body)
    except ValueError:
        return json.dumps(body.decode("utf-8", "backslashreplace")).encode()
    return body


def _append_durably(path: Path, lines: bytes) -> None:
    shared_directory(path.parent)
    with open(path, "ab", opener=private_opener) as archive:
        # Another Control server may be writing.
        fcntl.flock(archive, fcntl.LOCK_EX)
        archive.write(lines)
        archive.flush()
        os.fsync(archive.fileno())
