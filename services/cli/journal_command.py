"""`midstream journal SESSION`: what a session played and where each command took effect, as JSON lines."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
import redis

from clients.rpc import ChannelSettings, ControlClient, UnusableChannel
from services.cli.output import ExitCode, fail, show
from services.cli.redis_url import usable_redis_url
from services.cli.rpc_errors import explain
from services.cli.servers import address_of
from services.cli.session_journal import Played, SessionJournal, WholeJournal
from services.cli.terminal import write
from services.runtime.connection import connect, redacted
from services.runtime.errors import FailedPrecondition, StartRefused
from services.runtime.session import partitions_stored
from services.runtime.session.announcement import LogReport, SinkAnnouncement
from services.runtime.session.effects import Effect
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partitions import Partition
from services.runtime.session.report import EngineReport

SINK = "price"


def run_journal(session: str, out: Path | None, channel: ChannelSettings, *, as_json: bool) -> int:
    """Write the journal to `out`, or its lines to stdout; errors take one line on stderr."""
    address = address_of("control")
    try:
        url = os.environ.get("MIDSTREAM_REDIS_URL", "")
        if not (session and url):
            with ControlClient(address, session=session, channel=channel) as control:
                state = control.state()
            session, url = state.session, url or state.redis_url
        with connect(usable_redis_url(url), client_name="midstream-cli-journal") as client:
            journal = read_journal(client, session)
        if out is None:
            for line in journal.lines():
                write(line)
            return ExitCode.COMPLETE
        journal.write(out)
    except grpc.RpcError as exc:
        said = explain("control", address, exc, channel)
        return fail(said.message, said.exit_code, as_json=as_json, status=exc.code().name)
    except (UnusableChannel, StartRefused) as exc:
        return fail(str(exc), ExitCode.REFUSED, as_json=as_json)
    except (redis.RedisError, OSError, ValueError) as exc:
        return fail(redacted(str(exc)), ExitCode.FAILED, as_json=as_json)
    effects = len(journal.effects)
    figures: dict[str, Any] = {"file": str(out), "effects": effects, "last_sequence": journal.last_sequence}
    sentence = f"{out}: {effects:,} effects, up to record {journal.last_sequence:,}"
    if len(journal.parts) > 1:
        figures["partitions"] = len(journal.parts)
        sentence = (
            f"{out}: {effects:,} effects and {journal.last_sequence:,} records in {len(journal.parts)} partitions"
        )
    return show(sentence, figures, as_json=as_json)


def read_journal(client: redis.Redis, session: str) -> WholeJournal:
    """Read what Redis holds of a session. Raises StartRefused when it has played nothing, ValueError on what cannot be read."""
    keys = SessionKeys(session)
    try:
        spread = partitions_stored.decode(keys, cast("bytes | None", client.get(keys.partitions)))
    except FailedPrecondition as exc:
        raise StartRefused(exc.message) from exc
    stored = [_read(client, SessionKeys(session, partition), spread.count) for partition in range(spread.count)]
    sinks = [each.sink for each in stored if each.sink is not None]
    if not sinks:
        raise StartRefused(f"session `{session}` has played nothing that is in a log yet")
    _check_alike(session, stored)
    # A partition that no record is in may have no sink that says how it would write.
    return WholeJournal(
        tuple(_journal(session, Partition(number, spread), part, sinks[0]) for number, part in enumerate(stored))
    )


@dataclass(frozen=True)
class _Stored:
    """What Redis holds of one partition."""

    engine: EngineReport
    inputs: str
    sink: SinkAnnouncement | None
    effects: tuple[Effect, ...]


def _read(client: redis.Redis, keys: SessionKeys, partitions: int) -> _Stored:
    # The sink first: what it has committed is what the effects read later lead up to.
    announced: Any = client.hget(keys.sinks, SINK)
    report: Any = client.get(keys.report_of(partitions))
    inputs: Any = client.hget(keys.checkpoint, "inputs")
    found = cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrange(keys.effects))
    if not report or not inputs or (partitions == 1 and not announced):
        whose = f"partition {keys.partition} of session" if partitions > 1 else "session"
        raise StartRefused(f"{whose} `{keys.session}` has played nothing that is in a log yet")
    sink = SinkAnnouncement.decode(SINK, announced) if announced else None
    if sink is not None and sink.log.latency_threshold_ns is None:
        raise StartRefused("the price server does not say how it writes its logs; start the one of this release")
    effects = tuple(Effect.decode(told[b"effect"]) for _, told in found)
    # One that has taken no record yet names no numbering.
    sink = sink if sink is not None and sink.position.epoch else None
    return _Stored(EngineReport.decode(keys.session, report), inputs.decode(), sink, effects)


def _check_alike(session: str, stored: Sequence[_Stored]) -> None:
    """Raise StartRefused where the servers of partitions had other files or settings: one rerun has one of each."""
    read = [(each.engine.historical.sources, dict(each.engine.historical.reading)) for each in stored]
    logs = [(partition, each.sink.log) for partition, each in enumerate(stored) if each.sink is not None]
    written = [(partition, (log.latency_threshold_ns, log.log_timestamp)) for partition, log in logs]
    others = [partition for partition, each in enumerate(read) if each != read[0]]
    others += [partition for partition, each in written if each != written[0][1]]
    if others:
        raise StartRefused(
            f"the servers of partition {others[0]} of session `{session}` name other files than those of others, or have other settings "
            "of how rows are read or logs are written, and a rerun has one of each; give all of them the same"
        )


def _journal(session: str, place: Partition, stored: _Stored, any_sink: SinkAnnouncement) -> SessionJournal:
    """Put it together; `any_sink` says how logs are written where this one has no sink."""
    sink, engine = stored.sink, stored.engine
    log = LogReport() if sink is None else sink.log
    epoch, last = (engine.epoch, 0) if sink is None else (sink.position.epoch, sink.position.sequence)
    threshold_ns = any_sink.log.latency_threshold_ns
    assert threshold_ns is not None
    return SessionJournal(
        Played(
            session=session,
            epoch=epoch,
            last_sequence=last,
            files=engine.historical.sources,
            reading=dict(engine.historical.reading),
            inputs=stored.inputs,
            latency_threshold_ns=threshold_ns,
            log_timestamp=any_sink.log.log_timestamp,
            order_digest=log.digest,
            mid_bytes=log.mid_bytes,
            error_bytes=log.error_bytes,
            exported_time_ns=time.time_ns(),
            proofs_every=log.proofs_every,
            proofs=log.proofs,
            counts=log.counts._asdict(),
            partition=place.number,
            partitions=place.of.count,
            assigned=dict(place.of.assigned),
        ),
        tuple(effect for effect in stored.effects if effect.epoch != epoch or _is_before(effect, last)),
    )


def _is_before(effect: Effect, sequence: int) -> bool:
    """Tell whether a log that ends with `sequence` shows an effect, or would not if there were none."""
    return effect.sequence < sequence if effect.marker_sequence else effect.sequence <= sequence
