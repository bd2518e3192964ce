"""What processes tell each other: nothing is lost on the way, older data is read, a newer version is named."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.rpc.control import MODES
from fastpath.midprice import PriceCounts
from protos.common.v1.market_pb2 import Mode
from protos.replay.v1.replay_pb2 import SessionState
from services.cli.commands.steering import Mode as CommandMode
from services.replay.config import ReplaySettings
from services.replay.queue.model import Checkpoint, parse_checkpoint
from services.runtime.errors import FailedPrecondition
from services.runtime.session import announcement, intents, latest_mid, report
from services.runtime.session.announcement import LogReport, SinkAnnouncement, SinkPosition
from services.runtime.session.intents import (
    MODE_NAMES,
    SETTINGS,
    SPEED_MAX,
    Change,
    Effective,
    Intended,
    Intent,
    RefusedIntent,
    SetSpeed,
    UnknownIntent,
)
from services.runtime.session.latest_mid import LatestMid
from services.runtime.session.report import BacklogReport, EngineReport, EngineState, HistoricalReport, LiveReport
from services.runtime.session.versions import NewerVersion

INT64 = st.integers(-(2**63), 2**63 - 1)
COUNT = st.integers(0, 2**63 - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(max_size=20)

EFFECTIVE = st.builds(
    Effective,
    mode=st.integers(0, 2),
    revision=COUNT,
    paused=st.booleans(),
    speed=FINITE,
    refused=st.none() | st.builds(RefusedIntent, COUNT, TEXT),
)
REPORTS = st.builds(
    EngineReport,
    session=st.just("default"),
    state=st.sampled_from(EngineState),
    effective=EFFECTIVE,
    epoch=TEXT,
    last_sequence=COUNT,
    last_arrival_time_ns=INT64,
    backlog=st.builds(BacklogReport, COUNT, COUNT, COUNT, TEXT),
    historical=st.builds(
        HistoricalReport,
        configured=st.booleans(),
        sources=st.lists(TEXT).map(tuple),
        skipped=COUNT,
        damaged_sources=COUNT,
        damage=st.lists(TEXT).map(tuple),
        unusable=st.lists(TEXT).map(tuple),
        unmatched_tickers=st.lists(TEXT).map(tuple),
        first_read_monotonic_ns=COUNT,
    ),
    live=st.builds(LiveReport, st.booleans(), st.booleans()),
    error=TEXT,
    reported_time_ns=INT64,
    pid=COUNT,
)
ANNOUNCEMENTS = st.builds(
    SinkAnnouncement,
    st.builds(SinkPosition, st.just("price"), TEXT, COUNT, COUNT, st.binary(max_size=40), TEXT),
    st.builds(
        LogReport,
        st.lists(COUNT, min_size=7, max_size=7).map(lambda counts: PriceCounts(*counts)),
        INT64,
        INT64,
        TEXT,
        COUNT,
        COUNT,
        COUNT,
        proofs_every=COUNT,
        proofs=st.lists(TEXT, max_size=3).map(tuple),
    ),
    rows_at_start=COUNT,
    time_ns=INT64,
    finished_error=st.none() | TEXT,
)
INTENTS = st.builds(
    Intent,
    st.one_of(
        st.builds(intents.SetMode, st.integers(0, 9), st.integers(0, 9)),
        st.builds(intents.Pause),
        st.builds(intents.Resume),
        st.builds(intents.SetSpeed, FINITE),
    ),
    request_id=TEXT,
    correlation_id=TEXT,
    time_ns=INT64,
)
LATEST = st.builds(LatestMid, st.integers(1, 2**63 - 1), INT64, INT64, FINITE, st.integers(1, 2))
CHECKPOINTS = st.builds(
    Checkpoint,
    st.builds(Effective, mode=st.integers(0, 2), revision=COUNT, paused=st.booleans(), speed=FINITE),
    seams=st.lists(st.dictionaries(TEXT, st.integers(0, 9), max_size=2), max_size=2).map(tuple),
    inputs=TEXT,
    sequence=COUNT,
)


@given(REPORTS)
def test_a_report_is_read_as_it_was_written(value: EngineReport) -> None:
    assert EngineReport.decode("default", value.encode()) == value


@given(ANNOUNCEMENTS)
def test_an_announcement_is_read_as_it_was_written(value: SinkAnnouncement) -> None:
    assert SinkAnnouncement.decode("price", value.encode().encode()) == value


@given(INTENTS)
def test_an_intent_is_read_as_it_was_written(value: Intent) -> None:
    assert Intent.decode(value.encode().encode()) == value


@given(LATEST)
def test_a_latest_mid_is_read_as_it_was_written(value: LatestMid) -> None:
    assert LatestMid.decode("BTC", value.encode()) == value


@given(CHECKPOINTS)
def test_a_checkpoint_is_read_as_it_was_written(value: Checkpoint) -> None:
    texts = [text.encode() for text in value.fields()]

    stored = parse_checkpoint(dict(zip(texts[::2], texts[1::2], strict=True)))

    assert stored is not None
    assert stored.checkpoint == value


def newer(encoded: str | bytes, known: int) -> bytes:
    """The same value as a release writes it that knows one version more."""
    return json.dumps(json.loads(encoded) | {"version": known + 1, "state": "DANCING", "kind": "dance"}).encode()


NEWER: list[Any] = [
    pytest.param(
        lambda: EngineReport.decode("s", newer(EngineReport("s").encode(), report.VERSION)),
        "engine's report of session `s`",
        id="report",
    ),
    pytest.param(
        lambda: SinkAnnouncement.decode(
            "price",
            newer(SinkAnnouncement(SinkPosition("price", "e", 1, 0, b"", "r")).encode(), announcement.VERSION),
        ),
        "announcement of sink `price`",
        id="announcement",
    ),
    pytest.param(
        lambda: Intent.decode(newer(Intent(intents.Pause()).encode(), intents.VERSION)),
        "intent in the control journal",
        id="intent",
    ),
    pytest.param(lambda: Intended.decode({b"version": b"2", b"mode": b"x"}), "sum of the control journal", id="sum"),
    pytest.param(
        lambda: LatestMid.decode("BTC", LatestMid(1, 2, 3, 4.0, 1).encode()[:-1] + bytes([latest_mid.VERSION + 1, 9])),
        "latest mid of `BTC`",
        id="latest mid",
    ),
    pytest.param(lambda: parse_checkpoint({b"version": b"2"}), "checkpoint in Redis", id="checkpoint"),
]


@pytest.mark.parametrize(("read", "what"), NEWER)
def test_a_newer_version_is_named_with_the_one_that_is_known_and_the_fix(read: Callable[[], object], what: str) -> None:
    with pytest.raises(NewerVersion) as caught:
        read()

    assert what in str(caught.value)
    assert (caught.value.found, caught.value.known) == (2, 1)
    assert "version 2, and this process knows versions up to 1" in str(caught.value)
    assert "start all processes of this Redis from that release" in str(caught.value)
    assert isinstance(caught.value, FailedPrecondition)


def test_a_report_from_before_there_were_versions_is_read() -> None:
    stored = (
        b'{"name":"default","epoch":"e","state":"PAUSED","mode":2,"revision":5,"paused":true,"speed":2.5,"last_sequence":7,'
        b'"oldest_sequence":1,"backlog_records":3,"backlog_bytes":300,"last_arrival_time_ns":9,"skipped":4,"live_configured":true,'
        b'"live_connected":true,"error":"x","reported_time_ns":11,"historical_configured":true,"damaged_sources":1,'
        b'"refused":{"revision":4,"reason":"no"},"first_read_monotonic_ns":12,"sources":["a.csv"],"redis_run_id":"r","pid":13}'
    )

    assert EngineReport.decode("default", stored) == EngineReport(
        "default",
        EngineState.PAUSED,
        Effective(mode=2, revision=5, paused=True, speed=2.5, refused=RefusedIntent(4, "no")),
        epoch="e",
        last_sequence=7,
        last_arrival_time_ns=9,
        backlog=BacklogReport(records=3, bytes=300, oldest_sequence=1, redis_run_id="r"),
        historical=HistoricalReport(True, ("a.csv",), skipped=4, damaged_sources=1, first_read_monotonic_ns=12),
        live=LiveReport(configured=True, connected=True),
        error="x",
        reported_time_ns=11,
        pid=13,
    )


def test_an_announcement_from_before_there_were_versions_is_read() -> None:
    stored = (
        b'{"epoch":"e","sequence":7,"live_sequence":3,"cursor":"YWI=","run_id":"r","time_ns":5,"counts":{"mids":1,'
        b'"latency_filtered":2,"missing_side":3,"rejected":4,"crossed":5,"locked":6,"markers":7},"first_arrival_time_ns":8,'
        b'"last_arrival_time_ns":9,"digest":"d","durable_monotonic_ns":10,"mid_bytes":11,"error_bytes":12,"group":"price",'
        b'"finished_error":null}'
    )

    read = SinkAnnouncement.decode("price", stored)

    assert read == SinkAnnouncement(
        SinkPosition("price", "e", 7, 3, b"ab", "r"),
        LogReport(PriceCounts(1, 2, 3, 4, 5, 6, 7), 8, 9, "d", mid_bytes=11, error_bytes=12, durable_monotonic_ns=10),
        time_ns=5,
    )
    assert read.rows == 10


def test_a_sink_of_another_make_needs_to_announce_its_position_only() -> None:
    read = SinkAnnouncement.decode("mine", b'{"epoch":"e","sequence":7,"run_id":"r"}')

    assert read == SinkAnnouncement(SinkPosition("mine", "e", 7, 0, b"", "r"))


@pytest.mark.parametrize(
    ("stored", "change"),
    [
        (b'{"request_id":"r","kind":"mode","mode":2,"previous_mode":1}', intents.SetMode(2, previous_mode=1)),
        (b'{"request_id":"r","kind":"pause"}', intents.Pause()),
        (b'{"request_id":"r","kind":"resume"}', intents.Resume()),
        (b'{"request_id":"r","kind":"speed","speed":0.1}', intents.SetSpeed(0.1)),
    ],
    ids=["mode", "pause", "resume", "speed"],
)
def test_an_intent_from_before_there_were_versions_is_read(stored: bytes, change: Change) -> None:
    assert Intent.decode(stored) == Intent(change, request_id="r")


def test_a_latest_mid_from_before_there_were_versions_is_read() -> None:
    assert LatestMid.decode("BTC", struct.pack("<Qqqdi", 1, 2, 3, 4.5, 2)) == LatestMid(1, 2, 3, 4.5, 2)


def test_a_checkpoint_from_before_there_were_versions_is_read() -> None:
    stored = parse_checkpoint(
        {
            b"revision": b"3",
            b"mode": b"2",
            b"paused": b"1",
            b"speed": b"0.5",
            b"seams": b"[]",
            b"inputs": b"i",
            b"sequence": b"7",
            b"epoch": b"e",
            b"run_id": b"r",
        }
    )

    assert stored is not None
    assert stored.checkpoint == Checkpoint(Effective(2, 3, True, 0.5), seams=(), inputs="i", sequence=7)


@pytest.mark.parametrize(
    "stored", [b"", b"[]", b"7", b"{}", b'{"state":"DANCING"}', b'{"state":"RUNNING","version":"1"}']
)
def test_a_report_that_cannot_be_read_is_a_value_error_that_names_it(stored: bytes) -> None:
    with pytest.raises(ValueError, match="report of session `s` cannot be read"):
        EngineReport.decode("s", stored)


@pytest.mark.parametrize("size", [0, 35, 38], ids=str)
def test_a_latest_mid_of_another_length_is_a_value_error_that_names_it(size: int) -> None:
    with pytest.raises(ValueError, match=f"latest mid of `BTC` cannot be read: it has {size} bytes"):
        LatestMid.decode("BTC", b"\1" * size)


def test_an_unknown_intent_says_which() -> None:
    with pytest.raises(UnknownIntent, match="'dance'"):
        Intent.decode(b'{"kind":"dance"}')


def test_a_journal_adds_up_to_one_change_per_setting() -> None:
    stored = {
        b"revision": b"9",
        b"mode": b"2",
        b"mode_revision": b"4",
        b"paused": b"1",
        b"paused_revision": b"9",
        b"speed": b"0.5",
        b"speed_revision": b"2",
    }

    intended = Intended.decode(stored)

    assert intended == Intended(
        9,
        (intents.SetMode(2), intents.Pause(), SetSpeed(0.5)),
        {"mode": 4, "paused": 9, "speed": 2},
    )
    assert intended.mode == 2


def test_every_change_says_what_it_sets_as_the_report_says_it() -> None:
    effective = Effective(mode=2, revision=9, paused=True, speed=0.5)

    for change in SETTINGS:
        found = change.of_value(change.value_in(effective))
        assert found is None or found.value == change.value_in(effective)
        assert change.setting in {field.name for field in fields(Effective)}
    assert all(is_dataclass(change) for change in SETTINGS)


def test_the_vocabulary_is_one() -> None:
    names = {value: name.removeprefix("MODE_").lower() for name, value in Mode.items() if value}

    assert dict(MODE_NAMES) == names
    assert {mode: name for name, mode in MODES.items()} == names
    assert {str(mode) for mode in CommandMode} == set(names.values())
    assert set(ReplaySettings.model_fields["start_mode"].annotation.__args__) == set(names.values())  # type: ignore[union-attr]
    assert {f"SESSION_STATE_{state}" for state in EngineState} == set(SessionState.keys()) - {
        "SESSION_STATE_UNSPECIFIED"
    }


@pytest.mark.parametrize("speed", [0.0, 0.5, SPEED_MAX])
def test_a_speed_within_the_limits_is_in_range(speed: float) -> None:
    assert SetSpeed(speed).in_range


@pytest.mark.parametrize("speed", [-0.1, SPEED_MAX * 1.1, float("nan"), float("inf")])
def test_a_speed_beyond_the_limits_is_not(speed: float) -> None:
    assert not SetSpeed(speed).in_range
