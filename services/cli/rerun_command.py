"""`midstream rerun JOURNAL`: play what a session played, with every command where it took effect then."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from fastpath.values import format_latency
from services.cli.options import ReplayOptions
from services.cli.output import ExitCode, fail
from services.cli.replay_command import REFUSALS, ReplayRun, run_replay
from services.cli.run_directory import RunDirectory
from services.cli.session_journal import Played, SessionJournal
from services.replay.sources import HistoricalSource, fingerprint_difference
from services.runtime.connection import connect
from services.runtime.errors import StartRefused
from services.runtime.session.announcement import SinkAnnouncement
from services.runtime.session.intents import Intent
from services.runtime.session.keys import SessionKeys

INTENTS_MAX = 1000
"""Moves that a rerun repeats: all of them are on the engine's list from its first record on."""


@dataclass(frozen=True)
class Rerun:
    """What a run has to repeat; `run_replay` asks it."""

    played: Played
    intents: list[Intent]

    @property
    def last_sequence(self) -> int:
        """Where the run ends."""
        return self.played.last_sequence

    def prepare(self, redis_url: str) -> None:
        """Put every command into the journal of a session that has not begun."""
        keys = SessionKeys(self.played.session)
        with connect(redis_url, client_name="midstream-cli-rerun") as client:
            for revision, intent in enumerate(self.intents, 1):
                entry = replace(intent, request_id=f"rerun-{revision}", time_ns=time.time_ns())
                client.xadd(keys.control, {"intent": entry.encode()}, id=f"0-{revision}")

    def difference(self, sink: SinkAnnouncement) -> str:
        """Say what the logs differ in from those that were to be repeated; empty when they do not."""
        played, log = self.played, sink.log
        if sink.position.sequence != played.last_sequence:
            return f"the logs end with record {sink.position.sequence:,} and not {played.last_sequence:,}"
        if (log.digest, log.mid_bytes, log.error_bytes) != (played.order_digest, played.mid_bytes, played.error_bytes):
            return f"the logs differ from those of session `{played.session}`, though files and commands are the same"
        return ""


def run_rerun(path: Path, out: Path, *, overwrite: bool, as_json: bool) -> int:
    """Repeat a session and return the exit code; 0 only when its logs are those that it had."""
    try:
        journal = SessionJournal.read(path)
        played, intents = journal.played, journal.plan()
        if len(intents) > INTENTS_MAX:
            raise StartRefused(
                f"the session was moved {len(intents) - 1:,} times; up to {INTENTS_MAX - 1:,} can be repeated"
            )
        options = options_of(played)
        _check_inputs(options, played)
    except REFUSALS as exc:
        return fail(str(exc), ExitCode.REFUSED, as_json=as_json, command="midstream rerun")
    run = ReplayRun(
        options,
        RunDirectory(out),
        None,
        resume=False,
        overwrite=overwrite,
        as_json=as_json,
        rerun=Rerun(played, intents),
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


def _check_inputs(options: ReplayOptions, played: Played) -> None:
    """Raise StartRefused when the files are not those that were played."""
    source = HistoricalSource(options.files, options.historical())
    try:
        source.open()
    finally:
        source.stop()
    difference = fingerprint_difference(played.inputs, source.fingerprint)
    if difference:
        raise StartRefused(f"this is not what session `{played.session}` played: {difference}")
