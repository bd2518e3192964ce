"""Follow the control journal: an operator's intents, in order, from the last one applied."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Protocol, cast

import redis

from services.runtime.backoff import Backoff, BackoffPolicy
from services.runtime.log_fields import fields
from services.runtime.session.intents import Intended, Intent
from services.runtime.session.keys import SessionKeys
from services.runtime.session.versions import NewerVersion

logger = logging.getLogger(__name__)

BLOCK_MS: Final = 1000
"""How long one read waits. Short, because only a read that found nothing notices that the journal started over."""
READ_COUNT: Final = 100
CATCH_UP_S: Final = 1.0
"""How long a start waits for what is in the journal already; an intent that takes longer is applied when it comes."""
REMEMBERED_MAX: Final = 1000
"""Intents of which the content is remembered: a replica that takes over lacks fewer."""
RECONNECT: Final = BackoffPolicy(base_s=0.05, cap_s=1.0)


@dataclass(frozen=True)
class JournalEntry:
    """One entry of the journal. Without an intent it asks for nothing; `problem` says why when it cannot be understood."""

    revision: int
    intent: Intent | None = None
    problem: str = ""
    restarts: bool = False
    """The journal was lost and numbers again: this revision counts although it is not above the last one."""
    triggered: bool = False
    """It was scheduled, and its time has come: its revision was applied when it was put on the list."""

    def fields(self) -> dict[str, Any]:
        """Return an entry with an intent as JSON values, for the checkpoint."""
        assert self.intent is not None
        return {"revision": self.revision, "intent": self.intent.fields()}

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> JournalEntry:
        """Read JSON values. Raises what reading values that are none raises."""
        return cls(int(fields["revision"]), Intent.read(fields["intent"]))

    @property
    def correlation_id(self) -> str:
        """Of the call that asked for it; empty when that is not known."""
        return "" if self.intent is None else self.intent.correlation_id


class Journal(Protocol):
    """Where the engine gets intents from."""

    def start(self, after_revision: int) -> None:
        """Begin to read behind `after_revision`; called once. What is there already can be taken when it returns."""

    def take(self) -> list[JournalEntry]:
        """Return what has arrived since the last call, oldest first."""


def parse_entry(revision: int, body: bytes | None, *, partition: int = 0) -> JournalEntry:
    """Return the entry as this partition has it; never raises, because every entry counts as applied in the end."""
    try:
        intent = Intent.decode(body or b"")
    except (ValueError, NewerVersion) as exc:
        return JournalEntry(revision, problem=str(exc))
    # What is for another one has its revision here as well, and no effect.
    return JournalEntry(revision, intent if intent.partition in (None, partition) else None)


class JournalTail:
    """Reads the journal in a thread with a connection of its own, and wakes the engine when something came.

    Redis may come back without the newest entries, or without any, and have given their revisions to others since. Then the revisions
    that were applied behind the last one that is still the same mean nothing any more: the journal's sum up to there (the hash of
    what is intended) is handed over as if it had been journalled, and what follows is read.
    """

    def __init__(
        self,
        connect: Callable[[], redis.Redis],
        keys: SessionKeys,
        *,
        wake: Callable[[], None],
        random: Random,
        block_ms: int = BLOCK_MS,
    ) -> None:
        self._connect = connect
        self._keys = keys
        self._wake = wake
        self._backoff = Backoff(random, RECONNECT)
        self._block_ms = block_ms
        self._arrived: deque[JournalEntry] = deque()
        self._stopping = threading.Event()
        self._caught_up = threading.Event()
        self._thread: threading.Thread | None = None
        self._after = 0
        self._remembered: OrderedDict[int, bytes] = OrderedDict()
        """What was read lately: revision, and a digest of the intent."""

    def start(self, after_revision: int) -> None:
        self._after = after_revision
        self._thread = threading.Thread(target=self._run, name="control-journal", daemon=True)
        self._thread.start()
        self._caught_up.wait(CATCH_UP_S)

    def stop(self) -> None:
        """Have the thread end; it may take until the end of its read."""
        self._stopping.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def take(self) -> list[JournalEntry]:
        taken: list[JournalEntry] = []
        while self._arrived:
            taken.append(self._arrived.popleft())
        return taken

    def _run(self) -> None:
        while not self._stopping.is_set():
            client = self._connect()
            try:
                self._follow(client)
            except (redis.RedisError, OSError) as exc:
                logger.warning("control journal interrupted", extra=fields(error=type(exc).__name__))
                self._stopping.wait(self._backoff.next_s())
            finally:
                client.close()

    def _follow(self, client: redis.Redis) -> None:
        self._check_continuity(client)
        while intents := self.read(client, wait=False):
            self._hand_over(intents)
        self._caught_up.set()
        while not self._stopping.is_set():
            intents = self.read(client)
            self._backoff.reset()
            if intents:
                self._hand_over(intents)
            else:
                self._check_continuity(client)

    def read(self, client: redis.Redis, *, wait: bool = True) -> list[JournalEntry]:
        """Return entries behind the last one read; wait for some when there are none."""
        block_ms = self._block_ms if wait else None
        answer = cast("Any", client.xread({self._keys.control: f"0-{self._after}"}, count=READ_COUNT, block=block_ms))
        intents: list[JournalEntry] = []
        for _, entries in answer or ():
            for entry_id, entry in entries:
                revision = _revision(entry_id)
                if revision > self._after + 1:
                    logger.warning("control intents are missing", extra=fields(after=self._after, next=revision))
                self._after = revision
                self._remember(revision, entry)
                intents.append(parse_entry(revision, entry.get(b"intent"), partition=self._keys.partition))
        return intents

    def _check_continuity(self, client: redis.Redis) -> None:
        kept = self._kept(client)
        if kept >= self._after:
            return
        logger.error("the control journal lost its newest entries", extra=fields(applied=self._after, kept=kept))
        stored = cast("dict[bytes, bytes]", client.hgetall(self._keys.intended))
        self._after = kept
        while self._remembered and next(reversed(self._remembered)) > kept:
            self._remembered.popitem()
        self._hand_over(_sum_of(kept, stored))

    def _kept(self, client: redis.Redis) -> int:
        """Return the last revision up to which the journal is what was read of it."""
        key = self._keys.control
        found = cast("Any", client.xrevrange(key, f"0-{self._after}", count=1))
        if found and _revision(found[0][0]) == self._after and self._is_known(*found[0]):
            return self._after
        newest = cast("Any", client.xrevrange(key, count=1))
        if newest and _revision(newest[0][0]) > self._after and not (found and _revision(found[0][0]) == self._after):
            # Somebody deleted an entry that was applied; what follows it is as good as ever.
            return self._after
        for entry_id, entry in cast("Any", client.xrevrange(key, f"0-{self._after}", count=REMEMBERED_MAX)):
            if self._is_known(entry_id, entry):
                return _revision(entry_id)
        return 0

    def _remember(self, revision: int, entry: Mapping[bytes, bytes]) -> None:
        self._remembered[revision] = _digest(entry)
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)

    def _is_known(self, entry_id: bytes, entry: Mapping[bytes, bytes]) -> bool:
        """Tell whether an entry is what was read under its revision; one that was not read here counts as such."""
        digest = _digest(entry)
        return self._remembered.get(_revision(entry_id), digest) == digest

    def _hand_over(self, intents: list[JournalEntry]) -> None:
        self._arrived.extend(intents)
        self._wake()


def _sum_of(revision: int, stored: dict[bytes, bytes]) -> list[JournalEntry]:
    """Return what a journal adds up to as entries of its newest revision."""
    entries = [JournalEntry(revision, restarts=True)]
    try:
        intended = Intended.decode(stored)
    except (ValueError, NewerVersion):
        logger.exception("the sum of the control journal cannot be read")
        return entries
    # What was asked for behind it is read on its own.
    kept = [change for change in intended.changes if intended.revisions.get(change.setting, 0) <= revision]
    return [*entries, *(JournalEntry(revision, Intent(change), restarts=True) for change in kept)]


def _digest(entry: Mapping[bytes, bytes]) -> bytes:
    return hashlib.blake2b(entry.get(b"intent") or b"", digest_size=16).digest()


def _revision(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[2])
