"""Options are read exactly or refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from services.price.config import PriceSettings
from services.price.engine.options import EngineOptions, nanoseconds_of
from services.runtime.errors import StartRefused

REQUIRED = {"redis_url": "redis://x", "session": "default", "out": "var"}


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("20", 20_000_000),
        (20, 20_000_000),
        (0.1, 100_000),
        ("0.000001", 1),
        (" 24.435913 ", 24_435_913),
        ("1e3", 1_000_000_000),
        ("-3.5", -3_500_000),
        ("0", 0),
    ],
)
def test_threshold_is_exact_to_the_nanosecond(text: str | int | float, nanoseconds: int) -> None:
    assert nanoseconds_of(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-inf", "1e40", "20ms"])
def test_threshold_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(StartRefused, match="milliseconds"):
        nanoseconds_of(text)


def test_threshold_finer_than_a_nanosecond_is_refused() -> None:
    with pytest.raises(StartRefused, match="nanosecond"):
        nanoseconds_of("0.0000005")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"out": ""}, "out"),
        ({"redis_url": None}, "redis_url"),
        ({"log_timestamp": "receive"}, "log_timestamp"),
        ({"mids": "on"}, "mids"),
        ({"retain_bytes": 0}, "retain_bytes"),
        ({"commit_records": True}, "commit_records"),
    ],
)
def test_wrong_option_is_refused_by_name(change: dict[str, Any], name: str) -> None:
    with pytest.raises(StartRefused, match=f"`{name}`"):
        EngineOptions.from_config(REQUIRED | change)


def test_defaults_are_those_of_a_server() -> None:
    options = EngineOptions.from_config(REQUIRED)

    assert options.latency_threshold_ns == 20_000_000
    assert options.with_mids
    assert options.lock_wait
    assert not options.with_csv


@pytest.mark.parametrize(("partitions", "due_s", "entries"), [(1, 0.05, 4), (2, 0.1, 8), (64, 0.2, 16)])
def test_sinks_of_one_session_share_its_commits_and_reads_out(partitions: int, due_s: float, entries: int) -> None:
    options = EngineOptions.from_config(
        REQUIRED | {"partition": 0 if partitions > 1 else None, "partitions": partitions}
    )

    assert options.commit_due_s == pytest.approx(due_s)
    assert options.entries_per_read == entries


def test_settings_of_the_server_reach_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_REDIS_URL", "redis://127.0.0.1:6379/0")
    monkeypatch.setenv("MIDSTREAM_LATENCY_THRESHOLD_MS", "0.5")
    monkeypatch.setenv("MIDSTREAM_LOG_TIMESTAMP", "arrival")
    monkeypatch.setenv("MIDSTREAM_MIDS", "off")
    monkeypatch.setenv("MIDSTREAM_MIDS_CSV", "on")
    monkeypatch.setenv("MIDSTREAM_SINK", "second")

    options = EngineOptions.from_config(PriceSettings().engine_config())

    assert options.latency_threshold_ns == 500_000
    assert options.log_arrival
    assert not options.with_mids
    assert options.with_csv
    assert options.sink == "second"
