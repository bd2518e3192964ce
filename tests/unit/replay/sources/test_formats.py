"""A format is one module and one line: a toy one replays, resumes, sorts and inspects as the same rows in a CSV file do."""

from __future__ import annotations

import random
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from fastpath.values import format_latency, format_timestamp
from services.replay.sources import HistoricalOptions, HistoricalSource, UnusableInput
from services.replay.sources.formats import FORMATS
from services.replay.sources.inspect import FileReport, inspect
from services.replay.sources.options import NegativeLatencyPolicy
from tests.support.json_lines import JSON_LINES, Values, write_json_lines
from tests.support.replayed import replay, resume_at

HEADER = "timestamp,latency,ticker,bid_price,bid_amount,ask_price,ask_amount\n"
START_NS = 1_767_600_000_000_000_000
ROWS = 90


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.replay.sources.formats.FORMATS", (JSON_LINES, *FORMATS))
    # So that a few rows take many feeds, marks and cursors.
    monkeypatch.setattr("services.replay.sources.historical.READ_ROWS", 8)
    monkeypatch.setattr("services.replay.sources.historical.FEED_ROWS_MIN", 3)
    monkeypatch.setattr("services.replay.sources.historical.FEED_ROWS_MAX", 5)
    monkeypatch.setattr("services.replay.sources.historical.CURSOR_ROWS_MIN", 1)
    monkeypatch.setattr("services.replay.sources.historical.CURSOR_ROWS_PER_SOURCE", 1)
    monkeypatch.setattr("services.replay.sources.file_source.MARK_ROWS", 2)
    monkeypatch.setattr("services.replay.sources.external_sort.READ_ROWS", 7)
    monkeypatch.setattr("services.replay.sources.external_sort.RUN_ROWS", 20)


def rows_of(random_: random.Random, *, in_order: bool = True) -> list[Values]:
    """Rows with latencies of both signs and equal times among them."""
    rows: list[Values] = []
    event_ns = START_NS
    for _ in range(ROWS):
        event_ns += random_.choice([0, 1_000, 2_000_000])
        latency_ns = random_.choice([-3_000_000, 0, 1_500_000, 40_000_000])
        rows.append((event_ns, latency_ns, random_.choice("ABC"), (1.5, 2.0, 1.5 + random_.randrange(3), 1e-8)))
    if not in_order:
        random_.shuffle(rows)
    return rows


def write_csv(path: Path, rows: list[Values]) -> str:
    """Write the same rows as text."""
    lines = [
        f"{format_timestamp(event_ns)},{format_latency(latency_ns)},{ticker},{','.join(map(repr, quote))}\n"
        for event_ns, latency_ns, ticker, quote in rows
    ]
    path.write_text(HEADER + "".join(lines), encoding="utf-8")
    return str(path)


def both_formats(folder: Path, files: list[list[Values]]) -> tuple[list[str], list[str]]:
    """Paths of the files as text, and in the new format."""
    texts = [write_csv(folder / f"{number}.csv", rows) for number, rows in enumerate(files)]
    others = [write_json_lines(folder / f"{number}.jsonl", rows) for number, rows in enumerate(files)]
    return texts, others


@pytest.mark.parametrize("policy", ["keep", "clamp", "shift"])
@pytest.mark.parametrize("in_order", [True, False], ids=["sorted", "unsorted"])
def test_rows_of_another_format_come_as_those_of_a_text(
    tmp_path: Path, policy: NegativeLatencyPolicy, in_order: bool
) -> None:
    random_ = random.Random(f"{policy} {in_order}")
    texts, others = both_formats(tmp_path, [rows_of(random_), rows_of(random_, in_order=in_order)])
    options = HistoricalOptions(
        negative_latency=policy, unsorted="sort", tickers=("A", "B"), start_time_ns=START_NS + 10_000_000
    )

    expected = replay(texts, options, limit=7)
    got = replay(others, options, limit=7, in_flight_rows_max=20)

    assert got.rows == expected.rows
    assert len(got.rows) + got.skipped == 2 * ROWS
    assert got.skipped == expected.skipped > 0


@pytest.mark.parametrize("model", ["scale:2,offset=-1ms", "constant:3ms", "lognormal:p50=2ms,p99=90ms"])
@pytest.mark.parametrize("policy", ["keep", "clamp", "shift"])
def test_latency_models_are_for_every_format(tmp_path: Path, policy: NegativeLatencyPolicy, model: str) -> None:
    random_ = random.Random(f"{policy} {model}")
    texts, others = both_formats(tmp_path, [rows_of(random_), rows_of(random_)])
    options = HistoricalOptions(negative_latency=policy, latency=(model,))

    expected = replay(texts, options, limit=7)
    got = replay(others, options, limit=7, in_flight_rows_max=20)

    assert got.rows == expected.rows
    for poll in range(len(got.cursors)):
        emitted, cursor = resume_at(got, poll, rows_of_poll=1)
        assert replay(others, options, limit=5, resume=cursor).rows == got.rows[emitted:]


def test_formats_mix_in_one_replay(tmp_path: Path) -> None:
    random_ = random.Random(3)
    texts, others = both_formats(tmp_path, [rows_of(random_), rows_of(random_)])

    assert replay([texts[0], others[1]]).rows == replay(texts).rows


@pytest.mark.parametrize("in_order", [True, False], ids=["sorted", "unsorted"])
def test_another_format_resumes_after_any_row(tmp_path: Path, in_order: bool) -> None:
    random_ = random.Random(4)
    _, paths = both_formats(tmp_path, [rows_of(random_), rows_of(random_, in_order=in_order)])
    options = HistoricalOptions(unsorted="sort")
    whole = replay(paths, options, limit=7)
    lines = set()

    for poll in range(len(whole.cursors)):
        following = whole.cursors[poll + 1][0] if poll + 1 < len(whole.cursors) else len(whole.rows)
        for rows_of_poll in range(following - whole.cursors[poll][0] + 1):
            emitted, cursor = resume_at(whole, poll, rows_of_poll=rows_of_poll)
            lines.add(cursor.sources[0].line)

            assert replay(paths, options, limit=5, resume=cursor).rows == whole.rows[emitted:]

    assert max(lines) > ROWS / 2, "it did not begin in the midst of the file"


@pytest.mark.parametrize("in_order", [True, False], ids=["sorted", "unsorted"])
def test_another_format_is_inspected_as_a_text_is(tmp_path: Path, in_order: bool) -> None:
    texts, others = both_formats(tmp_path, [rows_of(random.Random(5), in_order=in_order)])

    expected, got = inspect(texts), inspect(others)

    assert got.files[0].layout == "json-lines"
    assert got.files[0].needs_sorting is not in_order
    assert _without_file(got.files[0]) == _without_file(expected.files[0])
    assert asdict(replace(got, files=())) == asdict(replace(expected, files=()))


def test_another_format_breaks_its_promises_with_the_same_words(tmp_path: Path) -> None:
    texts, others = both_formats(tmp_path, [rows_of(random.Random(6), in_order=False)])

    with pytest.raises(UnusableInput) as of_text:
        replay(texts)
    with pytest.raises(UnusableInput) as of_other:
        replay(others)

    assert str(of_other.value).replace(".jsonl", ".csv") == str(of_text.value)


def test_notes_and_fingerprint_of_another_format_tell_what_was_found(tmp_path: Path) -> None:
    _, others = both_formats(tmp_path, [rows_of(random.Random(7))])
    source = HistoricalSource(others, HistoricalOptions(negative_latency="shift"))
    source.open()
    note, fingerprint = source.notes[0], source.fingerprint
    source.stop()

    assert (note.layout, note.shift_ns, note.latency_ns_min) == ("json-lines", 3_000_000, -3_000_000)
    write_json_lines(Path(others[0]), rows_of(random.Random(8)))
    changed = HistoricalSource(others, HistoricalOptions(negative_latency="shift"))
    changed.open()
    changed.stop()
    assert changed.fingerprint != fingerprint


def _without_file(report: FileReport) -> dict[str, object]:
    return {key: value for key, value in asdict(report).items() if key not in ("path", "bytes", "layout")}
