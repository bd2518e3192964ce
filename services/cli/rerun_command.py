"""`midstream rerun JOURNAL`: play what a session played, with every command where it took effect then."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fastpath.values import format_latency
from services.cli.options import ReplayOptions
from services.cli.output import ExitCode, fail
from services.cli.replay_command import REFUSALS, ReplayRun, run_replay
from services.cli.run_directory import RunDirectory
from services.cli.session_journal import Played, WholeJournal
from services.replay.engine.steering import SCHEDULED_MAX
from services.replay.sources.inputs import fingerprint, fingerprint_difference, open_inputs
from services.replay.sources.latency_kernels import source_latencies
from services.runtime.connection import connect
from services.runtime.errors import StartRefused
from services.runtime.session import partitions_stored
from services.runtime.session.announcement import LogReport, SinkAnnouncement
from services.runtime.session.intents import Intent
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partitions import Partitioning
from services.runtime.session.report import EngineReport


@dataclass(frozen=True)
class Rerun:
    """What a run has to repeat; `run_replay` asks it."""

    journal: WholeJournal
    intents: list[Intent]

    @property
    def partitioning(self) -> Partitioning:
        """How its records are spread."""
        return self.journal.partitioning

    def prepare(self, redis_url: str) -> None:
        """Put every command into the journal of a session that has not begun."""
        keys = SessionKeys(self.journal.session)
        with connect(redis_url, client_name="midstream-cli-rerun") as client:
            if self.partitioning.count > 1:
                # The price server may be there first, and need not wait until it knows.
                client.set(keys.partitions, partitions_stored.encode(self.partitioning))
            for revision, intent in enumerate(self.intents, 1):
                entry = replace(intent, request_id=f"rerun-{revision}", time_ns=time.time_ns())
                client.xadd(keys.control, {"intent": entry.encode()}, id=f"0-{revision}")

    def is_there(self, engine: EngineReport) -> bool:
        """Tell whether an engine has come to where its partition ended."""
        return engine.last_sequence >= self.journal.parts[engine.partition].played.last_sequence

    def differences(self, sinks: Sequence[SinkAnnouncement | None]) -> list[str]:
        """Say of each partition what its logs differ in from those that were to be repeated; empty where they do not."""
        found = [
            (part.played.named, difference(part.played, sink))
            for part, sink in zip(self.journal.parts, sinks, strict=True)
        ]
        return [f"{named}{text}" if text else "" for named, text in found]


def difference(played: Played, sink: SinkAnnouncement | None) -> str:
    """Say what the logs of a sink differ in from those that were played; empty when they do not."""
    last = 0 if sink is None else sink.position.sequence
    if last != played.last_sequence:
        return f"the logs end with record {last:,} and not {played.last_sequence:,}"
    if sink is None or not last:
        return ""
    log = sink.log
    same = log.digest == played.order_digest
    if played.partitions == 1:
        same = same and (log.mid_bytes, log.error_bytes) == (played.mid_bytes, played.error_bytes)
    else:
        # A partition that has moved to another machine has its lines in several files, of which the sink measures the last one.
        same = same and log.counts._asdict() == played.counts
    if same:
        return ""
    return f"the logs differ from those of session `{played.session}`{_where(played, log)}, though files and commands are the same"


def _where(played: Played, log: LogReport) -> str:
    """Say where the first difference is, as far as the proofs on the way tell."""
    if not played.proofs_every or played.proofs_every != log.proofs_every:
        return ""
    pairs = zip(played.proofs, log.proofs, strict=False)
    agreeing = next((number for number, (then, now) in enumerate(pairs) if then != now), len(played.proofs))
    first, behind = agreeing * played.proofs_every, min(len(played.proofs), agreeing + 1) * played.proofs_every
    until = f" and within the first {behind:,}" if agreeing < len(played.proofs) else ""
    return f" behind the first {first:,} records{until}" if first or until else ""


def run_rerun(path: Path, out: Path, *, overwrite: bool, as_json: bool) -> int:
    """Repeat a session and return the exit code; 0 only when its logs are those that it had."""
    try:
        journal = WholeJournal.read(path)
        plans = [part.plan() for part in journal.parts]
        moves = max(len(plan) for plan in plans) - 1
        if moves >= SCHEDULED_MAX:
            raise StartRefused(f"the session was moved {moves:,} times; up to {SCHEDULED_MAX - 1:,} can be repeated")
        options = options_of(journal.parts[0].played)
        _check_inputs(options, journal)
    except REFUSALS as exc:
        return fail(str(exc), ExitCode.REFUSED, as_json=as_json, command="midstream rerun")
    run = ReplayRun(
        options,
        RunDirectory(out, partitions=len(journal.parts), resumable=False),
        None,
        resume=False,
        overwrite=overwrite,
        as_json=as_json,
        rerun=Rerun(journal, [intent for plan in plans for intent in plan]),
    )
    return run_replay(run)


def options_of(played: Played) -> ReplayOptions:
    """Return the options that play the same files in the same way, as fast as possible."""
    reading = played.reading
    minimum = reading.get("min_latency_ms")
    return ReplayOptions(
        files=played.files,
        session=played.session,
        speed=0.0,
        latency_threshold_ms=format_latency(played.latency_threshold_ns).removesuffix("ms"),
        log_timestamp=played.log_timestamp,
        fraction_unit="us" if reading.get("fraction_unit_us") else "",
        negative_latency=reading.get("negative_latency") or "keep",
        min_latency_ms="" if minimum is None else repr(float(minimum)),
        unsorted=reading.get("unsorted") or "refuse",
        tickers=tuple(reading.get("tickers") or ()),
        start=reading.get("start") or "",
        end=reading.get("end") or "",
        mids_csv=False,
        latency=tuple(reading.get("latency") or ()),
    )


def _check_inputs(options: ReplayOptions, journal: WholeJournal) -> None:
    """Raise StartRefused when the files are not those that were played."""
    reading = options.historical()
    inputs = open_inputs(options.files)
    try:
        latencies = [one.digest for one in source_latencies(reading, [opened.name for opened in inputs])]
        for part in journal.parts:
            played = part.played
            now = fingerprint(inputs, replace(reading, partition=played.place), latencies)
            if changed := fingerprint_difference(played.inputs, now):
                raise StartRefused(f"{played.named}this is not what session `{played.session}` played: {changed}")
    finally:
        for opened in inputs:
            opened.close()
