"""The journal of a session as a file, and what a rerun makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from services.cli.rerun_command import options_of
from services.cli.session_journal import Played, SessionJournal
from services.runtime.errors import StartRefused
from services.runtime.session.effects import Effect
from services.runtime.session.events import Seek, Step, When
from services.runtime.session.intents import Change, Intent, Pause, Range, SetMode, SetRange, SetSpeed

PLAYED = Played(
    session="default",
    epoch="e",
    last_sequence=90,
    files=("a.csv",),
    reading={"start": "2025-01-01 00:00:00", "tickers": ["A"], "min_latency_ms": 0.0, "fraction_unit_us": True},
    inputs="files:1 options:2",
    latency_threshold_ns=7_500_000,
    log_timestamp="arrival",
    order_digest="d",
    mid_bytes=5,
    error_bytes=6,
)


def effect(number: int, change: Change, sequence: int, **fields: object) -> Effect:
    made = Effect(number=number, revision=number, intent=Intent(change), epoch="e", sequence=sequence, mode=1)
    return replace(made, **fields)  # type: ignore[arg-type]


def journal(*effects: Effect) -> SessionJournal:
    return SessionJournal(PLAYED, effects)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    written = journal(
        effect(1, Pause(), 3),
        effect(2, Seek("by", -5), 3, position=(7, 0, 0), position_arrival_time_ns=7, marker_sequence=4),
        effect(3, SetRange(Range(None, 9, loop=True)), 8, refused="no"),
        effect(4, Step(ticker="B"), 9, steps=4, scheduled=True, last_key=(1, 2, 3)),
    )
    path = tmp_path / "session.jsonl"

    written.write(path)

    assert SessionJournal.read(path) == written


def test_a_plan_names_what_moved_and_where_it_did() -> None:
    planned = journal(
        effect(1, SetSpeed(2), 1),
        effect(2, Seek("by", -5), 3, position=(7, 0, 0), position_arrival_time_ns=8, marker_sequence=4),
        effect(3, Seek("begin"), 5, refused="no"),
        effect(4, SetRange(Range(1, 2)), 6, scheduled=True),
        effect(5, SetRange(Range(1, 2)), 9),
    ).plan()

    assert planned == [
        Intent(Seek("key", 8, (7, 0, 0)), when=When(after_sequence=3)),
        Intent(SetRange(Range(1, 2)), when=When(after_sequence=9)),
        Intent(Pause(), when=When(after_sequence=90)),
    ]


@pytest.mark.parametrize(
    ("effects", "reason"),
    [
        ((effect(1, SetMode(2), 5),), "switched to live behind record 5"),
        ((effect(2, Pause(), 5),), "begin with number 2"),
        ((effect(1, Pause(), 5), effect(3, Pause(), 5)), "is not whole"),
        ((effect(1, Pause(), 5, epoch="other"),), "numbering began anew"),
    ],
    ids=["live", "trimmed", "hole", "epoch"],
)
def test_what_cannot_be_repeated_is_refused(effects: tuple[Effect, ...], reason: str) -> None:
    with pytest.raises(StartRefused, match=reason):
        journal(*effects).plan()


@pytest.mark.parametrize("text", ["", "{}", "no json", '{"version": 1}', '{"version": 99, "files": []}'])
def test_a_file_that_is_no_journal_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    path.write_text(text)

    with pytest.raises(StartRefused, match=r"session\.jsonl"):
        SessionJournal.read(path)


def test_what_several_partitions_did_is_no_journal_that_can_be_repeated(tmp_path: Path) -> None:
    path = tmp_path / "listed.jsonl"
    path.write_text(json.dumps({"partition": 0, **effect(1, Pause(), 5).fields()}))

    with pytest.raises(StartRefused, match="what a session of several partitions did"):
        SessionJournal.read(path)


def test_the_options_of_a_rerun_are_those_that_were_given() -> None:
    options = options_of(PLAYED)

    assert (options.latency_threshold_ms, options.log_timestamp, options.speed) == ("7.5", "arrival", 0.0)
    assert (options.fraction_unit, options.min_latency_ms, options.tickers) == ("us", "0.0", ("A",))
    assert options.start == "2025-01-01 00:00:00"
