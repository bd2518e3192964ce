"""Reading what Redis holds of a session: for adoption, and between transactions."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from redis.exceptions import AuthenticationError, ResponseError

from fastpath.frame import BATCH_BYTES_MAX, MARKER_DISCONTINUITY, MODE_LIVE, TickFrame, peek
from fastpath.records import FrameError
from services.replay.queue.acknowledgement import Confirmation, Level
from services.replay.queue.adoption import Evidence, decide
from services.replay.queue.backlog import BacklogEntry
from services.replay.queue.claim import Claim
from services.replay.queue.errors import NotYet, QueueLost, RedisRefused, Stopped
from services.replay.queue.groups import GroupTracker, flat_fields, parse_group, parse_id
from services.replay.queue.model import (
    Adopted,
    Memory,
    RedisProcess,
    SinkExpectation,
    StoredCheckpoint,
    Tail,
    parse_checkpoint,
)
from services.replay.queue.rewind import rewind
from services.replay.queue.wire import STALL_S, Wire, pack
from services.runtime.clock import Clock
from services.runtime.cluster.slots import is_cluster_url
from services.runtime.connection import connect
from services.runtime.errors import StartRefused
from services.runtime.log_fields import fields
from services.runtime.preflight import check_redis
from services.runtime.redis_tls import TlsTrouble
from services.runtime.session.announcement import SinkAnnouncement, SinkPosition
from services.runtime.session.holders import LEASE_MS, RENEW_NS
from services.runtime.session.keys import SESSIONS, SessionKeys
from services.runtime.session.versions import NewerVersion
from services.runtime.unreadable import Unreadable

logger = logging.getLogger(__name__)

_SINK_POLL_S: Final = 0.02
_SCAN_BYTES: Final = 8 * BATCH_BYTES_MAX
"""How much of the stream Redis may have in hand at once while it measures the entries."""
_SCAN_COUNT_MAX: Final = 4096
_SCAN_SCRIPT: Final = """
local sizes = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])) do
  sizes[#sizes + 1] = entry[1]
  sizes[#sizes + 1] = #entry[2][2]
end
return sizes
"""
"""Ids and sizes, so that the payloads stay where they are."""


@dataclass(frozen=True)
class Found:
    """What adoption found; the connection is armed."""

    adopted: Adopted
    process: RedisProcess
    tail: int
    length: int
    entries: list[BacklogEntry]
    seen: int
    """Highest sequence that anybody has seen in the epoch."""
    seen_live: int
    """Highest sequence of the epoch that cannot be published again and that anybody has seen; 0 is none."""


def tail_sequence(wire: Wire, ticks: str, epoch: str) -> int:
    """Return the first sequence of the newest entry, 0 without any; raises QueueLost when it is of another epoch."""
    found = wire.call("XREVRANGE", ticks, "+", "-", "COUNT", 1)
    if not found:
        return 0
    entry_id, fields = found[0]
    try:
        other = peek(fields[1]).epoch != epoch
    except FrameError as exc:
        raise QueueLost(f"the newest entry {entry_id!r} is not one of ours: {exc}") from exc
    if other:
        raise QueueLost("the stream belongs to another epoch now")
    return parse_id(entry_id)


def read_process(wire: Wire) -> RedisProcess:
    """Ask who answers."""
    said: dict[bytes, bytes] = {}
    for line in wire.call("INFO", "everything").splitlines():
        name, _, value = line.partition(b":")
        said[name] = value.strip()
    # The history that it followed before it was promoted; zeros where there was none.
    promoted = bool(said.get(b"master_replid2", b"").strip(b"0"))
    replicated = said.get(b"cluster_enabled") == b"1" or said.get(b"connected_slaves", b"0") != b"0"
    return RedisProcess(said.get(b"run_id", b"").decode(), replicated=replicated or promoted, promoted=promoted)


def read_groups(wire: Wire, ticks: str, tracker: GroupTracker, now_ns: int) -> None:
    """Bring `tracker` up to date: one round trip, a second one for a group that had no pending entries before."""
    names = tracker.names
    wire.send([b"".join([pack("XINFO", "GROUPS", ticks), *(pack("XPENDING", ticks, name) for name in names)])])
    infos, *summaries = wire.read(1 + len(names))
    if isinstance(infos, ResponseError):
        if "no such key" not in str(infos):
            raise infos
        infos = []
    pending = dict(zip(names, summaries, strict=True))
    groups = []
    for info in infos:
        fields = flat_fields(info)
        name = fields[b"name"]
        summary = None
        if fields[b"pending"]:
            summary = pending.get(name)
            if not isinstance(summary, list):
                # A group that is new, or that was made again in between.
                summary = _unless_gone(wire, "XPENDING", ticks, name)
                if summary is None:
                    continue
        groups.append(parse_group(info, summary))
    for quiet in tracker.update(groups, now_ns):
        consumers = _unless_gone(wire, "XINFO", "CONSUMERS", ticks, quiet)
        if consumers is not None:
            tracker.idle(quiet, [flat_fields(consumer) for consumer in consumers], now_ns)


def _unless_gone(wire: Wire, *command: str | bytes) -> Any:
    try:
        return wire.call(*command)
    except ResponseError as exc:
        if str(exc).startswith("NOGROUP") or "no such key" in str(exc):
            return None
        raise


class Adoption:
    """Takes a session over and gathers the evidence from which it goes on."""

    def __init__(
        self,
        *,
        url: str,
        wire: Wire,
        keys: SessionKeys,
        claim: Claim,
        sinks: SinkExpectation,
        group_lease_s: float,
        live_configured: bool,
        confirmation: Confirmation,
        stopping: threading.Event,
        clock: Clock,
    ) -> None:
        self._url = url
        self._wire = wire
        self._keys = keys
        self._unreadable = Unreadable()
        self._claim = claim
        self._sinks = sinks
        self._live_configured = live_configured
        self._confirmation = confirmation
        self._groups = GroupTracker(expected=sinks.names, lease_s=group_lease_s)
        """Who still reads a numbering that has to end."""
        self._stopping = stopping
        self._clock = clock

    def run(self, memory: Memory | None, new_epoch: Callable[[], str]) -> Found:
        """Adopt once; raises what redis-py raises when Redis goes away in between (call again then)."""
        try:
            self._check_redis()
            self._wire.open()
        except TlsTrouble as exc:
            if memory is not None:
                # It was well before: certificates are being changed, perhaps.
                raise
            raise RedisRefused(str(exc)) from exc
        except AuthenticationError as exc:
            raise RedisRefused(f"Redis does not let us in: {exc}; check user and password in the Redis URL") from exc
        self._claim.take(self._wire)
        self._confirm_claim()
        process = read_process(self._wire)
        run_id = process.run_id
        wire, keys = self._wire, self._keys
        self._note_session()
        stored = self._read_checkpoint()
        tail = self._read_tail()
        known = stored.run_id if stored is not None else ""
        renewed = bool(known) and known != run_id
        changed = process.promoted if stored is None else renewed and (process.replicated or stored.replicated)
        was_live = (stored is not None and stored.checkpoint.effective.mode == MODE_LIVE) or (
            memory is not None and memory.live_sequence > 0
        )
        # What a Redis that came back has lost, another process may have published: sinks alone know how far that went.
        asks = tail is None or changed or (renewed and (was_live or memory is None))
        patience_s = self._sinks.grace_s if asks else 0.0
        sinks = self._read_sinks(run_id, patience_s)
        announced = {sink.name for sink in sinks}
        evidence = Evidence(
            tail=tail,
            stored=stored,
            sinks=tuple(sinks),
            silent=tuple(name for name in self._sinks.names if name not in announced),
            memory=memory,
            changed=changed,
            may_turn=changed and memory is None and self._may_turn(stored),
            time_ns=self._clock.time_ns(),
        )
        adopted = decide(evidence, new_epoch)
        if tail is not None and tail.epoch != adopted.epoch:
            self._end_epoch(tail)
            tail = None
        adopted = replace(adopted, order_state=self._read_order(adopted))
        logger.info(
            "session adopted",
            extra=fields(
                session=keys.session,
                epoch=adopted.epoch,
                next_sequence=adopted.next_sequence,
                fresh=adopted.fresh,
                gap=adopted.gap and adopted.gap.reason,
            ),
        )
        self._prepare(adopted.next_sequence)
        length = self._claim.arm(wire)
        entries = list(self._scan(tail)) if tail is not None else []
        same = [sink for sink in sinks if sink.epoch == adopted.epoch]
        lived = [sink.live_sequence for sink in same]
        if tail is not None and not tail.repeatable:
            lived.append(tail.last)
        if stored is not None and stored.epoch == adopted.epoch and (was_live or stored.checkpoint.seams):
            # Somewhere in this epoch there are live records, so it can never be published again from its beginning.
            lived.append(1)
        if stored is not None and stored.epoch == adopted.epoch:
            lived.append(stored.checkpoint.unrepeatable)
        return Found(
            adopted=adopted,
            process=process,
            tail=0 if tail is None else tail.first,
            length=length,
            entries=entries,
            seen=max([adopted.next_sequence - 1, *(sink.sequence for sink in same)]),
            seen_live=max(lived, default=0),
        )

    def _may_turn(self, stored: StoredCheckpoint | None) -> bool:
        """Tell whether the session may have left what it was doing when the checkpoint was stored."""
        if self._live_configured or (stored is not None and stored.checkpoint.scheduled):
            return True
        # In a cluster another node has the journal.
        with connect(self._url, client_name="midstream-journal", timeout_s=min(2.0, STALL_S)) as client:
            newest: Any = client.xrevrange(self._keys.control, count=1)
        applied = 0 if stored is None else stored.checkpoint.effective.revision
        return bool(newest) and parse_id(newest[0][0]) > applied

    def _confirm_claim(self) -> None:
        """Have the take-over confirmed as a record is: a primary that comes without it would let the producer before append again."""
        self._wire.send([self._confirmation.question])
        missing = self._confirmation.missing(self._wire.read(self._confirmation.replies))
        if missing:
            raise NotYet(missing)

    def _end_epoch(self, tail: Tail) -> None:
        """Make room for another numbering, once every reader that counts has what is left of this one. Raises NotYet."""
        read_groups(self._wire, self._keys.ticks, self._groups, self._clock.monotonic_ns())
        if self._groups.committed() < tail.first:
            raise NotYet(f"the numbering has to start over, and not everybody has read its end: {self._groups.holding}")
        self._claim.replace(self._wire, "", self._keys.ticks, exists=False)

    def _check_redis(self) -> None:
        with connect(self._url, client_name="midstream-preflight", timeout_s=min(2.0, STALL_S)) as client:
            try:
                check_redis(
                    client,
                    # What the engine promises by itself it needs no file for.
                    live=self._live_configured and not self._confirmation.is_promised,
                    durable=self._confirmation.level is Level.DURABLE and not self._confirmation.is_promised,
                )
            except StartRefused as exc:
                raise RedisRefused(str(exc)) from exc

    def _note_session(self) -> None:
        """Put the session among all sessions: in a cluster another node has these."""
        if not is_cluster_url(self._url):
            self._wire.call("SADD", SESSIONS, self._keys.session)
            return
        with connect(self._url, client_name="midstream-sessions", timeout_s=min(2.0, STALL_S)) as client:
            client.sadd(SESSIONS, self._keys.session)

    def _read_checkpoint(self) -> StoredCheckpoint | None:
        try:
            return parse_checkpoint(flat_fields(self._wire.call("HGETALL", self._keys.checkpoint)))
        except NewerVersion as exc:
            raise RedisRefused(str(exc)) from exc
        except ValueError as exc:
            raise RedisRefused(f"{exc}; delete {self._keys.checkpoint} to start this session over") from exc

    def _read_order(self, adopted: Adopted) -> bytes:
        """Return what is stored about the order up to where this one goes on; empty when it is of another record."""
        stored = flat_fields(self._wire.call("HGETALL", self._keys.order))
        place = f"{adopted.next_sequence - 1}".encode()
        if (stored.get(b"epoch"), stored.get(b"sequence")) != (adopted.epoch.encode(), place):
            return b""
        state: bytes = stored.get(b"state", b"")
        return state

    def _read_tail(self) -> Tail | None:
        found = self._wire.call("XREVRANGE", self._keys.ticks, "+", "-", "COUNT", 1)
        if not found:
            return None
        entry_id, fields = found[0]
        try:
            head = peek(fields[1])
            frame = TickFrame(fields[1])
        except FrameError as exc:
            raise RedisRefused(
                f"the newest entry {entry_id!r} of {self._keys.ticks} is not a batch of ticks ({exc}); "
                "use another session name, or delete that stream"
            ) from exc
        return Tail(
            epoch=head.epoch,
            mode=head.mode,
            first=head.first_sequence,
            last=head.last_sequence,
            cursor=frame.cursor,
            arrival_time_ns=head.last_arrival_time_ns,
            repeatable=head.mode != MODE_LIVE
            and not any(marker.kind == MARKER_DISCONTINUITY for marker in frame.markers),
        )

    def _read_sinks(self, run_id: str, patience_s: float) -> list[SinkPosition]:
        """Return what sinks announced to this Redis; expected ones are waited for, at most `patience_s`."""
        deadline_ns = self._clock.monotonic_ns() + int(patience_s * 1e9)
        renewed_ns = self._clock.monotonic_ns()
        while True:
            sinks = self._announcements(run_id)
            missing = set(self._sinks.names) - {sink.name for sink in sinks}
            now_ns = self._clock.monotonic_ns()
            if not missing or now_ns >= deadline_ns:
                return sinks
            if now_ns - renewed_ns >= RENEW_NS:
                renewed_ns = now_ns
                self._wire.call("PEXPIRE", self._keys.lease, LEASE_MS)
            if self._stopping.wait(_SINK_POLL_S):
                raise Stopped("told to stop while waiting for the sinks to announce")

    def _announcements(self, run_id: str) -> list[SinkPosition]:
        sinks = []
        for name, announcement in flat_fields(self._wire.call("HGETALL", self._keys.sinks)).items():
            try:
                sink = _position(name.decode("utf-8", "replace"), announcement)
            except ValueError as exc:
                # As good as none, and not worth stopping everybody else; an expected sink announces again when it comes.
                self._unreadable.note("announcement", self._keys.sinks, exc)
                continue
            if sink.run_id == run_id:
                sinks.append(sink)
        return sinks

    def _prepare(self, next_sequence: int) -> None:
        """Make the stream take `next_sequence`."""
        try:
            last_id = flat_fields(self._wire.call("XINFO", "STREAM", self._keys.ticks))[b"last-generated-id"]
        except ResponseError as exc:
            if "no such key" in str(exc):
                return
            raise
        if parse_id(last_id) >= next_sequence:
            logger.warning(
                "stream is behind its own last id", extra=fields(last_id=last_id, next_sequence=next_sequence)
            )
            rewind(self._wire, self._claim, self._keys.ticks)

    def _scan(self, tail: Tail) -> Iterator[BacklogEntry]:
        """Yield what the stream holds. Arrival times of old entries are not known; the newest one's stands for all."""
        start, count = "-", _SCAN_BYTES // BATCH_BYTES_MAX
        previous: tuple[int, int] | None = None
        while True:
            sizes = self._wire.call("EVAL", _SCAN_SCRIPT, 1, self._keys.ticks, start, count)
            for entry_id, size in zip(sizes[::2], sizes[1::2], strict=True):
                first = parse_id(entry_id)
                if previous is not None:
                    yield BacklogEntry(previous[0], first - 1, previous[1], tail.arrival_time_ns)
                previous = (first, int(size))
            if len(sizes) < 2 * count:
                break
            start = f"({sizes[-2].decode()}"
            largest = max(sizes[1::2])
            count = max(1, min(_SCAN_COUNT_MAX, _SCAN_BYTES // max(1, largest)))
        if previous is not None:
            yield BacklogEntry(previous[0], tail.last, previous[1], tail.arrival_time_ns)


def _position(name: str, announcement: bytes) -> SinkPosition:
    try:
        return SinkAnnouncement.decode(name, announcement).position
    except NewerVersion as exc:
        # Not as good as none: this sink works, and what it has committed decides where the session goes on.
        raise RedisRefused(str(exc)) from exc
