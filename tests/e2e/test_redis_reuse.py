"""A Redis that was used before: a replay never takes another run's queue for its own, and never ends with empty logs."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from services.runtime.session import partitions_stored
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partitions import Partitioning
from tests.reference.history import HistoryOptions, expected_outputs
from tests.support.cli import assert_exact, interrupt_replay, midstream, read_outputs, replay
from tests.support.made_ticks import write_made_ticks
from tests.support.redis_server import RedisForTests

NewRedis = Callable[..., RedisForTests]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write_made_ticks(tmp_path / "two.csv", 300), write_made_ticks(tmp_path / "other.csv", 500)


@pytest.mark.long
def test_another_directory_in_the_same_session_is_a_run_of_its_own(
    new_redis: NewRedis, files: tuple[Path, Path], tmp_path: Path
) -> None:
    url = new_redis().url
    for directory in ("first", "second", "third"):
        outputs = replay([files[0]], tmp_path / directory, "--redis-url", url, "--session", "a")

        assert_exact(outputs, expected_outputs([files[0]]))


@pytest.mark.parametrize("options", [(), ("--ticker", "AAA")], ids=["same options", "other options"])
def test_other_inputs_in_a_finished_session_are_a_run_of_their_own(
    new_redis: NewRedis, files: tuple[Path, Path], tmp_path: Path, options: tuple[str, ...]
) -> None:
    url = new_redis().url
    replay([files[0]], tmp_path / "first", "--redis-url", url)

    outputs = replay([files[1]], tmp_path / "second", "--redis-url", url, *options)

    assert_exact(outputs, expected_outputs([files[1]], HistoryOptions(tickers=options[1:])))


def test_overwriting_in_the_same_session_starts_over_and_ends(
    new_redis: NewRedis, files: tuple[Path, Path], tmp_path: Path
) -> None:
    url = new_redis().url
    replay([files[0]], tmp_path / "out", "--redis-url", url)

    outputs = replay([files[0]], tmp_path / "out", "--redis-url", url, "--overwrite")

    assert_exact(outputs, expected_outputs([files[0]]))


@pytest.mark.nightly
def test_a_run_is_resumed_exactly_after_another_one_used_its_session(new_redis: NewRedis, tmp_path: Path) -> None:
    url = new_redis().url
    path = write_made_ticks(tmp_path / "made.csv", 20_000)
    options = ("--redis-url", url, "--speed", "5")
    interrupted = interrupt_replay([path], tmp_path / "first", *options, number=signal.SIGINT, after_bytes=1_000)
    assert interrupted.code == 130, interrupted.stderr

    other = replay([path], tmp_path / "second", "--redis-url", url)
    resumed = replay([path], tmp_path / "first", *options, "--resume")

    for outputs in (other, resumed):
        assert_exact(outputs, expected_outputs([path]))


def test_queue_that_somebody_has_not_read_is_not_deleted(
    new_redis: NewRedis, files: tuple[Path, Path], tmp_path: Path
) -> None:
    redis = new_redis()
    replay([files[0]], tmp_path / "first", "--redis-url", redis.url, "--session", "a")
    keys = SessionKeys("a")
    with contextlib.closing(redis.client()) as client:
        client.xgroup_create(keys.ticks, "mine", id="0")
        before = client.xlen(keys.ticks)

        refused = midstream(
            "replay", files[0], "--out", tmp_path / "second", "--redis-url", redis.url, "--session", "a"
        )
        after = client.xlen(keys.ticks)
        client.xgroup_destroy(keys.ticks, "mine")

    assert refused.code == 2
    assert "consumer group `mine` has not read yet" in refused.stderr
    assert "--session" in refused.stderr
    assert (before, after) == (after, before)
    assert_exact(
        replay([files[0]], tmp_path / "third", "--redis-url", redis.url, "--session", "a"), expected_outputs([files[0]])
    )


def test_session_of_several_partitions_is_left_alone_and_a_run_is_of_one_whatever_the_environment_says(
    new_redis: NewRedis, files: tuple[Path, Path], tmp_path: Path
) -> None:
    redis = new_redis()
    keys = SessionKeys("shared")
    with contextlib.closing(redis.client()) as client:
        client.set(keys.partitions, partitions_stored.encode(Partitioning(4)))
        client.xadd(keys.ticks, {"b": b"somebody's"})
        before = sorted(client.scan_iter())

        refused = midstream(
            "replay", files[0], "--out", tmp_path / "first", "--redis-url", redis.url, "--session", "shared"
        )
        assert sorted(client.scan_iter()) == before

    assert refused.code == 2
    assert "session `shared` is published in 4 partitions" in refused.stderr
    done = midstream(
        "replay", files[0], "--out", tmp_path / "second",
        environment={"MIDSTREAM_PARTITIONS": "4", "MIDSTREAM_PARTITION_OF": "BTC=3"},
    )  # fmt: skip
    assert done.code == 0, done.stderr
    assert_exact(read_outputs(tmp_path / "second", done), expected_outputs([files[0]]))


def test_redis_that_does_not_answer_is_refused_by_name(files: tuple[Path, Path], tmp_path: Path) -> None:
    url = f"unix://{tmp_path / 'nobody.sock'}"

    refused = midstream("replay", files[0], "--out", tmp_path / "out", "--redis-url", url)

    assert refused.code == 2
    assert f"Redis at {url} does not answer" in refused.stderr
    assert "--redis-url" in refused.stderr
    assert "Traceback" not in refused.stderr
