"""The journal of a session as a file, and what a rerun makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fastpath.midprice import PriceCounts
from services.cli.rerun_command import difference, options_of, run_rerun
from services.cli.session_journal import Played, SessionJournal, WholeJournal
from services.runtime.errors import StartRefused
from services.runtime.session.announcement import LogReport, SinkAnnouncement, SinkPosition
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
    written = WholeJournal(
        (
            journal(
                effect(1, Pause(), 3),
                effect(2, Seek("by", -5), 3, position=(7, 0, 0), position_arrival_time_ns=7, marker_sequence=4),
                effect(3, SetRange(Range(None, 9, loop=True)), 8, refused="no"),
                effect(4, Step(ticker="B"), 9, steps=4, scheduled=True, last_key=(1, 2, 3)),
            ),
        )
    )
    path = tmp_path / "session.jsonl"

    written.write(path)

    assert WholeJournal.read(path) == written
    assert '"partition' not in path.read_text()


COUNTS = PriceCounts(*range(1, 1 + len(PriceCounts._fields)))._asdict()
SEVERAL = WholeJournal(
    (
        SessionJournal(
            replace(PLAYED, partitions=2, assigned={"A": 1}, counts=COUNTS),
            (effect(1, SetSpeed(2), 4, revision=2), effect(2, Seek("begin"), 9, revision=1, position=(0, 0, 0))),
        ),
        SessionJournal(
            replace(PLAYED, partition=1, partitions=2, assigned={"A": 1}, last_sequence=40, counts=COUNTS),
            (effect(1, Seek("begin"), 3, revision=1, position=(0, 0, 0)), effect(2, SetSpeed(2), 5, revision=2)),
        ),
    )
)


def test_what_several_partitions_did_is_read_again_each_in_its_own_order(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"

    SEVERAL.write(path)

    assert WholeJournal.read(path) == SEVERAL
    listed = [json.loads(line) for line in path.read_text().splitlines()[2:]]
    # What is one command is behind each other.
    assert [(each["revision"], each["partition"]) for each in listed] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    first, second, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([second, first, *rest]))
    with pytest.raises(StartRefused, match=r"session\.jsonl is no journal .* for each of 2 partitions"):
        WholeJournal.read(path)


def test_a_plan_of_several_partitions_names_for_which_one_each_command_is() -> None:
    planned = [part.plan() for part in SEVERAL.parts]

    assert [[(intent.partition, intent.when) for intent in plan] for plan in planned] == [
        [(0, When(after_sequence=9)), (0, When(after_sequence=90))],
        [(1, When(after_sequence=3)), (1, When(after_sequence=40))],
    ]


def test_a_refusal_says_which_partition_it_is_about() -> None:
    live = replace(SEVERAL.parts[1], effects=(effect(1, SetMode(2), 5),))

    with pytest.raises(StartRefused, match="partition 1: the session was switched to live behind record 5"):
        live.plan()


def announced(sequence: int, **log: object) -> SinkAnnouncement:
    made = {"digest": "d", "counts": PriceCounts(**COUNTS), "proofs_every": 10, "proofs": ("a", "b", "c")} | log
    return SinkAnnouncement(SinkPosition("price", "e", sequence, 0, b"", "r"), LogReport(**made))  # type: ignore[arg-type]


def test_a_difference_is_told_with_where_it_is_as_far_as_the_proofs_tell() -> None:
    played = replace(SEVERAL.parts[1].played, proofs_every=10, proofs=("a", "b", "c"))

    assert difference(played, announced(40)) == ""
    # In how many files its lines are says nothing.
    assert difference(played, announced(40, mid_bytes=1)) == ""
    assert difference(played, announced(39)) == "the logs end with record 39 and not 40"
    assert "behind the first 10 records and within the first 20," in difference(
        played, announced(40, digest="x", proofs=("a", "x", "y"))
    )
    assert "behind the first 30 records," in difference(played, announced(40, digest="x"))
    assert "though files and commands are the same" in difference(
        played, announced(40, counts=PriceCounts(*[0] * len(PriceCounts._fields)))
    )
    assert difference(replace(played, last_sequence=0, order_digest=""), None) == ""


def test_more_moves_than_an_engine_has_waiting_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moves = [effect(number, Seek("begin"), number, position=(0, 0, 0)) for number in range(1, 101)]
    WholeJournal((journal(*moves),)).write(tmp_path / "session.jsonl")

    assert run_rerun(tmp_path / "session.jsonl", tmp_path / "out", overwrite=False, as_json=False) == 2
    assert "moved 100 times; up to 99 can be repeated" in capsys.readouterr().err


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
        WholeJournal.read(path)


def test_what_several_partitions_did_is_no_journal_that_can_be_repeated(tmp_path: Path) -> None:
    path = tmp_path / "listed.jsonl"
    path.write_text(json.dumps({"partition": 0, **effect(1, Pause(), 5).fields()}))

    with pytest.raises(StartRefused, match="what a session of several partitions did"):
        WholeJournal.read(path)


def test_the_options_of_a_rerun_are_those_that_were_given() -> None:
    options = options_of(PLAYED)

    assert (options.latency_threshold_ms, options.log_timestamp, options.speed) == ("7.5", "arrival", 0.0)
    assert (options.fraction_unit, options.min_latency_ms, options.tickers) == ("us", "0.0", ("A",))
    assert options.start == "2025-01-01 00:00:00"
