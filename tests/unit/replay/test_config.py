"""Settings of the replay server as its engine gets them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.replay.config import ReplaySettings


def config(**settings: Any) -> dict[str, object]:
    return ReplaySettings(redis_url="unix:///nowhere", **settings).engine_config()


@pytest.mark.quick
@pytest.mark.parametrize(
    ("text", "files"),
    [
        pytest.param("", [], id="none"),
        pytest.param("a.csv", ["a.csv"], id="one"),
        pytest.param(" a.csv , b*.csv.gz ,", ["a.csv", "b*.csv.gz"], id="several"),
        pytest.param('["a,b.csv", "c.csv"]', ["a,b.csv", "c.csv"], id="names with commas"),
    ],
)
def test_files_are_listed_in_the_order_that_decides_ties(text: str, files: list[str]) -> None:
    assert config(historical=text)["historical"] == files


@pytest.mark.parametrize(("text", "speed"), [("max", 0.0), ("MAX", 0.0), ("0", 0.0), ("50", 50.0), ("0.5", 0.5)])
def test_speed_is_max_or_a_factor(text: str, speed: float) -> None:
    assert config(speed=text)["speed"] == speed


@pytest.mark.parametrize("pace", [{"gap_cap": "5s"}, {"rate": "100"}, {"delay": "5ms"}], ids=str)
def test_who_says_how_long_it_is_between_records_does_not_mean_as_fast_as_possible(pace: dict[str, str]) -> None:
    assert config()["speed"] == 0.0
    assert config(**pace)["speed"] == 1.0
    assert config(**pace, speed="max")["speed"] == 0.0
    assert config(**pace, speed="0.01")["speed"] == 0.01


@pytest.mark.parametrize(
    "settings",
    [
        {"speed": "-1"},
        {"speed": "nan"},
        {"speed": "1e7"},
        {"speed": "fast"},
        {"unsorted": "drop"},
        {"start_mode": "both"},
        {"rate": "-1"},
        {"time_debt": "never"},
    ],
    ids=str,
)
def test_values_without_a_meaning_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        config(**settings)


def test_private_files_lie_below_out() -> None:
    assert config(out=Path("here"))["cache_dir"] == "here/.midstream/cache"
    assert config(min_latency_ms="")["min_latency_ms"] is None


def test_a_session_has_one_partition_unless_it_is_told_otherwise() -> None:
    assert config().items() >= {"partitions": 1, "partition_of": {}}.items()
    given = config(partitions=4, partition_of="BTC/USDT=0, ETH/USDT:USDT=3")
    assert given.items() >= {"partitions": 4, "partition_of": {"BTC/USDT": 0, "ETH/USDT:USDT": 3}}.items()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"partitions": 0}, "greater than or equal to 1"),
        ({"partitions": 1025}, "less than or equal to 1024"),
        ({"partitions": 2, "partition_of": "BTC/USDT"}, "MIDSTREAM_PARTITION_OF: 'BTC/USDT' is not TICKER=NUMBER"),
        ({"partitions": 2, "partition_of": "BTC/USDT=x"}, "is not TICKER=NUMBER"),
        ({"partitions": 2, "partition_of": "BTC/USDT=2"}, "ticker `BTC/USDT` must be in one of 0 to 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_partitions_that_cannot_be_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        config(**settings)
