"""`midstream journal SESSION`: what a session played and where each command took effect, as JSON lines."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, cast

import grpc
import redis

from clients.rpc import ChannelSettings, ControlClient, UnusableChannel
from services.cli.output import ExitCode, fail, show
from services.cli.redis_url import usable_redis_url
from services.cli.rpc_errors import explain
from services.cli.servers import address_of
from services.cli.session_journal import Played, SessionJournal
from services.cli.terminal import write
from services.runtime.connection import connect, redacted
from services.runtime.errors import FailedPrecondition, StartRefused
from services.runtime.session import partitions_stored
from services.runtime.session.announcement import SinkAnnouncement
from services.runtime.session.effects import Effect
from services.runtime.session.keys import SessionKeys
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
            keys = SessionKeys(session)
            count = _partitions(client, keys)
            if count > 1 and out is None:
                for line in effects_of_all(client, keys, count):
                    write(line)
                return ExitCode.COMPLETE
            if count > 1:
                raise StartRefused(
                    f"session `{session}` has {count:,} partitions, and `rerun` repeats one order: play its files in a session of one, "
                    "or leave out --out to list where each command took effect in each partition"
                )
            journal = read_journal(client, keys)
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
    played = journal.played
    figures = {"file": str(out), "effects": len(journal.effects), "last_sequence": played.last_sequence}
    sentence = f"{out}: {len(journal.effects):,} effects, up to record {played.last_sequence:,}"
    return show(sentence, figures, as_json=as_json)


def read_journal(client: redis.Redis, keys: SessionKeys) -> SessionJournal:
    """Read what Redis holds of a session. Raises StartRefused when it has played nothing, ValueError on what cannot be read."""
    # The sink first: what it has committed is what the effects read later lead up to.
    announced: Any = client.hget(keys.sinks, SINK)
    report: Any = client.get(keys.state)
    inputs: Any = client.hget(keys.checkpoint, "inputs")
    stored = cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrange(keys.effects))
    if not announced or not report or not inputs:
        raise StartRefused(f"session `{keys.session}` has played nothing that is in a log yet")
    sink = SinkAnnouncement.decode(SINK, announced)
    engine = EngineReport.decode(keys.session, report)
    if sink.log.latency_threshold_ns is None:
        raise StartRefused("the price server does not say how it writes its logs; start the one of this release")
    position, log = sink.position, sink.log
    effects = [Effect.decode(fields[b"effect"]) for _, fields in stored]
    return SessionJournal(
        Played(
            session=keys.session,
            epoch=position.epoch,
            last_sequence=position.sequence,
            files=engine.historical.sources,
            reading=dict(engine.historical.reading),
            inputs=inputs.decode(),
            latency_threshold_ns=sink.log.latency_threshold_ns,
            log_timestamp=log.log_timestamp,
            order_digest=log.digest,
            mid_bytes=log.mid_bytes,
            error_bytes=log.error_bytes,
            exported_time_ns=time.time_ns(),
        ),
        tuple(effect for effect in effects if effect.epoch != position.epoch or _is_before(effect, position.sequence)),
    )


def effects_of_all(client: redis.Redis, keys: SessionKeys, count: int) -> list[str]:
    """Return where each command took effect in each of several partitions, as lines. Raises ValueError on what cannot be read.

    What is one command is told behind each other: each partition has it behind a record of its own.
    """
    found: list[tuple[int, int, Effect]] = []
    for partition in range(count):
        stored: Any = client.xrange(SessionKeys(keys.session, partition).effects)
        found += [
            (effect.revision, partition, effect) for effect in (Effect.decode(told[b"effect"]) for _, told in stored)
        ]
    found.sort(key=lambda each: (*each[:2], each[2].number))
    return [json.dumps({"partition": partition, **effect.fields()}) for _, partition, effect in found]


def _partitions(client: redis.Redis, keys: SessionKeys) -> int:
    try:
        return partitions_stored.decode(keys, cast("bytes | None", client.get(keys.partitions))).count
    except FailedPrecondition as exc:
        raise StartRefused(exc.message) from exc


def _is_before(effect: Effect, sequence: int) -> bool:
    """Tell whether a log that ends with `sequence` shows an effect, or would not if there were none."""
    return effect.sequence < sequence if effect.marker_sequence else effect.sequence <= sequence
