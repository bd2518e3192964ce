"""`midstream tail`: ticks or mids of a session as they come."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import grpc

from clients.rpc import ChannelSettings, PriceClient, ReplayClient, UnusableChannel
from clients.rpc.delivery import Delivery
from clients.rpc.following import Follower, Lost, Missed, Start
from clients.rpc.records import Mid, Tick, mids_of, records_of
from protos.common.v1.market_pb2 import (
    Lag,
    Marker,
    MidBatch,
    PartitionPosition,
    Rejection,
    Skipped,
    SubscriberPolicy,
    TickBatch,
)
from protos.replay.v1 import replay_pb2
from services.cli.aside import aside
from services.cli.output import ExitCode, fail
from services.cli.places import duration_ns, time_ns
from services.cli.positions import Place, positions_of
from services.cli.rpc_errors import explain
from services.cli.servers import address_of
from services.cli.tail_beside import beside_figures, beside_text
from services.cli.tail_lines import Lines, figures
from services.cli.terminal import is_terminal, say, width, write

Record = Tick | Mid | Marker | Rejection

_QUIET = (replay_pb2.SESSION_STATE_COMPLETED, replay_pb2.SESSION_STATE_PAUSED, replay_pb2.SESSION_STATE_FAILED)


@dataclass(frozen=True)
class Wanted:
    """What to show, in the words of the command line."""

    mids: bool
    session: str
    tickers: Sequence[str]
    from_oldest: bool
    after: str
    """A sequence, or a place in each partition; or empty."""
    epoch: str
    last: int | None
    count: int | None
    latest: bool
    since: str
    """Arrival time, or empty."""
    policy: str
    """In lower case, or empty."""
    every: str
    """A duration, or empty."""
    lag_records_max: int
    with_lag: bool
    partition: int | None = None
    """This one alone, under its own numbers."""
    positions: bool = False
    """Say behind each batch where to go on."""

    @property
    def delivery(self) -> Delivery:
        """Put it as clients say it. Raises StartRefused."""
        return Delivery(
            policy=cast(
                "SubscriberPolicy",
                SubscriberPolicy.Value(f"SUBSCRIBER_POLICY_{(self.policy or 'unspecified').upper()}"),
            ),
            conflate_interval_ms=max(duration_ns(self.every) // 1_000_000, 1) if self.every else 0,
            lag_records_max=self.lag_records_max,
            with_lag=self.with_lag,
        )


def run_tail(wanted: Wanted, *, as_json: bool, channel: ChannelSettings) -> int:
    """Print records until there are enough, or nobody wants more."""
    server = "price" if wanted.mids else "replay"
    address = address_of(server)
    printer = _Printer(wanted, as_json=as_json)
    try:
        with (
            PriceClient(address, channel=channel) as prices,
            ReplayClient(address_of("replay"), channel=channel) as ticks,
        ):
            (start, printer.shown_behind), delivery = _start(wanted, ticks), wanted.delivery
            stream: Follower[Any, TickBatch] | Follower[Any, MidBatch]
            if wanted.mids:
                stream = prices.mids(
                    start,
                    session=wanted.session,
                    tickers=wanted.tickers,
                    delivery=delivery,
                    partition=wanted.partition,
                )
            else:
                stream = ticks.ticks(
                    start,
                    session=wanted.session,
                    tickers=wanted.tickers,
                    delivery=delivery,
                    partition=wanted.partition,
                )
            for found in aside(stream):
                if not printer.take(found):
                    break
    except grpc.RpcError as exc:
        said = explain(server, address, exc, channel)
        return fail(said.message, said.exit_code, as_json=as_json, status=exc.code().name)
    except UnusableChannel as exc:
        return fail(str(exc), ExitCode.REFUSED, as_json=as_json)
    return ExitCode.COMPLETE


class _Beginning(NamedTuple):
    """Where the stream begins, and the number behind which it is shown."""

    start: Start
    shown_behind: int = 0


def _start(wanted: Wanted, client: ReplayClient) -> _Beginning:
    """Find where to begin. Raises grpc.RpcError."""
    if wanted.from_oldest:
        return _Beginning(Start(oldest=True))
    if wanted.after.isdecimal() and wanted.after.isascii():
        return _Beginning(Start(after=int(wanted.after), epoch=wanted.epoch))
    if wanted.after:
        # A partition that is not named had given nothing: nothing of it is left out, as with ticks.
        return _Beginning(Start(positions=positions_of(wanted.after), oldest=wanted.mids))
    if wanted.latest:
        return _Beginning(Start(latest=True))
    if wanted.since:
        return _Beginning(Start(arrival_time_ns=time_ns(wanted.since)))
    if (wanted.mids or wanted.partition is not None) and wanted.last is None:
        return _Beginning(Start())
    session = client.session(wanted.session)
    # By number, and not with what comes next: what is published while a first connection is lost is not missed then.
    if session.partitions > 1 and not wanted.mids:
        found = _start_among(client.partitions(wanted.session), wanted)
    else:
        found = _Beginning(Start(after=_behind(session, wanted.last), epoch=session.epoch))
    after = found.start.after
    begin = sum(each.sequence for each in found.start.positions) if after is None else after
    if begin == session.last_sequence and session.state in _QUIET:
        state = replay_pb2.SessionState.Name(session.state).removeprefix("SESSION_STATE_").lower()
        say(
            f"midstream: session `{session.name}` is {state}, nothing new comes; --from-oldest or --last N show what was"
        )
    return found


def _start_among(partitions: Sequence[replay_pb2.Partition], wanted: Wanted) -> _Beginning:
    """Begin in all of them."""
    # The last ones of all are among the last ones of each; their numbers are the sum of those of the partitions.
    positions = tuple(
        PartitionPosition(partition=each.partition, epoch=each.epoch, sequence=_behind(each, wanted.last))
        for each in partitions
    )
    newest = sum(each.last_sequence for each in partitions)
    return _Beginning(Start(positions=positions), max(newest - (wanted.last or 0), 0))


def _behind(told: replay_pb2.Session | replay_pb2.Partition, last: int | None) -> int:
    """Return the number behind which the last ones begin, of those that are retained."""
    return max(told.last_sequence - (last or 0), told.oldest_sequence - 1, 0)


class _Printer:
    """Shows what comes, up to the count."""

    def __init__(self, wanted: Wanted, *, as_json: bool) -> None:
        self._wanted = wanted
        self._as_json = as_json
        self._left = wanted.count
        self._lines = Lines(width())
        self._before: tuple[str, int] | None = None
        self._place = Place(alone=wanted.partition is not None)
        self.shown_behind = 0
        """What has a number up to this is left out, for as long as nothing is shown."""
        if not as_json and is_terminal():
            say(self._lines.heading(mids=wanted.mids))

    def take(self, found: TickBatch | MidBatch | Lost | Missed) -> bool:
        """Print it; return whether more is wanted."""
        if isinstance(found, Lost):
            say(f"midstream: {found.reason}; going on in {found.again_in_s:.1f} s")
            return True
        if isinstance(found, Missed):
            self._miss(found.reason, found.after)
            return True
        self._check_whole(found)
        for name in ("skipped", "lag"):
            if found.HasField(name):
                self._say_of(getattr(found, name), found)
        records: Iterator[Record] = mids_of(found) if isinstance(found, MidBatch) else records_of(found)
        if self.shown_behind:
            records = iter([record for record in records if record.sequence > self.shown_behind])
            if found.last_sequence > self.shown_behind:
                self.shown_behind = 0
        shown = list(records if self._left is None else itertools.islice(records, self._left))
        if shown:
            # In one piece: a terminal is slow enough.
            write("\n".join(text for record in shown for text in self._texts(record, found)))
        is_whole = next(iter(records), None) is None
        if self._wanted.positions and is_whole:
            write(json.dumps(self._place.behind(found)))
        if self._left is None:
            return True
        self._left -= len(shown)
        return self._left > 0

    def _texts(self, record: Record, batch: TickBatch | MidBatch) -> list[str]:
        if not self._as_json:
            return self._lines.of(record)
        # Whose number it is. Ticks of all partitions have numbers of their own.
        one = {"partition": batch.partition} if isinstance(batch, MidBatch) and batch.HasField("partition") else {}
        return [json.dumps(figures(record, batch.epoch) | one)]

    def _say_of(self, what: Skipped | Lag, batch: TickBatch | MidBatch) -> None:
        """Show what stands in a batch beside its records."""
        write(json.dumps(beside_figures(what, batch)) if self._as_json else f"-- {beside_text(what)}")

    def _check_whole(self, batch: TickBatch | MidBatch) -> None:
        """Say where numbers are missing. Only all ticks have them all: a filter takes some out, and so does what has no mid."""
        if isinstance(batch, MidBatch) or self._wanted.tickers:
            return
        before, self._before = self._before, (batch.epoch, batch.last_sequence)
        if (
            before is None
            or before[0] != batch.epoch
            or batch.first_sequence == before[1] + 1
            or batch.HasField("skipped")
        ):
            return
        jump = max((each.next_sequence for each in batch.markers), default=0)
        if not jump:
            self._miss(f"records {before[1] + 1} to {batch.first_sequence - 1} did not come", before[1])

    def _miss(self, reason: str, after: int) -> None:
        self._before = None
        if self._as_json:
            write(json.dumps({"type": "missed", "after_sequence": after, "reason": reason}))
        else:
            write(f"-- missed: {reason}")
