"""As docs/operations.md has it, every process is restarted, one after the other, during a replay and live: nothing is lost."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protos.common.v1.market_pb2 import MODE_LIVE, Marker
from services.price.merged_logs import merge_logs
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partitions import Partitioning
from tests.reference.history import expected_outputs
from tests.support.chaos import LOGS, assert_logs_exact
from tests.support.cli import until
from tests.support.driven_feed import FeedInThread, running_feed
from tests.support.live_stream import (
    Stream,
    assert_live_gaps_are_explained,
    assert_logs_follow_the_stream,
    assert_no_unexplained_hole,
    feed_ticker,
    read_stream,
    write_feed,
)
from tests.support.one_order import Reader, write_files
from tests.support.redis_cluster import RedisClusterForTests
from tests.support.redis_server import RedisForTests
from tests.support.rolling import Delays, Deployment, LogWatch

Store = RedisForTests | RedisClusterForTests

pytestmark = pytest.mark.timeout(400)

BOUND_S = 60.0
"""On what anybody waits for; what was measured is printed."""
TICKERS = 23
LIVE_ROWS = 100_000
STEP_MS = 4


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    found: Store = request.getfixturevalue(request.param)
    return found


def over_deployments() -> pytest.MarkDecorator:
    """Run a test with one partition and with four, on one Redis and on a cluster; but for the first that takes minutes."""
    return pytest.mark.parametrize(
        ("store", "partitions"),
        [
            pytest.param("own_redis", 1, marks=pytest.mark.long, id="Redis-1"),
            pytest.param("own_redis", 4, marks=pytest.mark.nightly, id="Redis-4"),
            pytest.param("redis_cluster", 1, marks=pytest.mark.nightly, id="cluster-1"),
            pytest.param("redis_cluster", 4, marks=pytest.mark.nightly, id="cluster-4"),
        ],
        indirect=["store"],
    )


def report(delays: list[Delays]) -> None:
    """Hold what was measured against a bound that is generous on any machine."""
    assert max(delay.subscriber_s for delay in delays) < BOUND_S
    assert max(delay.log_s for delay in delays) < BOUND_S


@over_deployments()
def test_a_replay_leaves_the_logs_of_one_that_nobody_disturbed(store: Store, tmp_path: Path, partitions: int) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201  (shown when it fails)
    files = write_files(tmp_path, Partitioning(4), seed=seed)
    expected = expected_outputs(files)
    # Twenty seconds of data last longer than all restarts, and are hurried at their end.
    speed = "0.25" if isinstance(store, RedisForTests) else "0.1"
    settings = {"HISTORICAL": ",".join(map(str, files)), "SPEED": speed}
    with Deployment(store.url, tmp_path, partitions=partitions, **settings) as deployed:
        control = deployed.control()
        reader = deployed.read()
        deployed.wait_ready()
        reader.wait(100)
        with LogWatch(deployed.out, partitions) as log:
            report(deployed.roll(store, reader, log))
        assert len(reader.records) < len(expected.sequence), "the data ended before the restarts did"
        control.set_speed(0)
        reader.wait(len(expected.sequence))
        wait_logged(deployed.out, len(expected.sequence))
        assert [number for number, _ in reader.records] == list(range(1, len(expected.sequence) + 1))
        assert not reader.missed
        assert reader.troubles, "its server was never away"
        for name in (name for name in deployed.names if name.startswith("price")):
            assert deployed.servers[name].stop() == 0

    out = deployed.out
    if partitions > 1:
        out = tmp_path / "merged"
        merge_logs([deployed.out], out)
    assert_logs_exact(out, expected)


@over_deployments()
def test_live_data_is_in_the_logs_or_a_gap_says_where_it_is_not(store: Store, tmp_path: Path, partitions: int) -> None:
    with sending(tmp_path) as (feed, sent):
        settings = {"HISTORICAL": "", "LIVE_URL": feed.url, "START_MODE": "live"}
        with Deployment(store.url, tmp_path, partitions=partitions, **settings) as deployed:
            reader = deployed.read()
            deployed.wait_ready()
            reader.wait(100)
            with LogWatch(deployed.out, partitions) as log:
                report(deployed.roll(store, reader, log))
            feed.hush()
            streams = published(store, partitions, upto=rows_sent(sent))
            written = [row for stream in streams for row in rows(stream)]
            wait_logged(deployed.out, len(written))
            reader.wait_until(lambda: len(read_rows(reader)) >= len(written), what="all")
            for name in deployed.names:
                assert deployed.servers[name].stop() == 0

    for partition, stream in enumerate(streams):
        assert not assert_no_unexplained_hole(stream)
        assert_live_gaps_are_explained(stream, rows_of(Partitioning(partitions), partition))
        assert_logs_follow_the_stream(deployed.out if partitions == 1 else deployed.out / f"p{partition}", stream)
    assert sorted(read_rows(reader)) == sorted(written)
    assert len(written) == len(set(written))
    assert not reader.missed
    gaps = Counter(Marker.Kind.Name(marker.kind) for stream in streams for marker in stream.markers)
    print(f"{len(written)} of rows {min(written)} to {max(written)} are there; {dict(gaps)}")  # noqa: T201
    # Nothing but an engine that ends loses anything. A partition moves off a server that ends, and another one may move back;
    # when the second server came, it got half of them.
    assert set(gaps) == {"KIND_GAP"}
    assert 0 < gaps.total() <= (1 if partitions == 1 else 2 * partitions + partitions // 2)


@pytest.mark.nightly
@pytest.mark.parametrize("partitions", [1, 4])
def test_a_session_that_joined_its_feed_has_all_of_it_by_its_recording(
    own_redis: RedisForTests, tmp_path: Path, partitions: int
) -> None:
    with sending(tmp_path) as (feed, sent):
        settings = {"HISTORICAL": str(sent), "LIVE_URL": feed.url, "HAND_OVER": "join"}
        with Deployment(own_redis.url, tmp_path, partitions=partitions, **settings) as deployed:
            control, reader = deployed.control(), deployed.read()
            deployed.wait_ready()
            until(lambda: control.state().mode == MODE_LIVE, what="the join")
            with LogWatch(deployed.out, partitions) as log:
                report(deployed.roll(own_redis, reader, log))
            until(lambda: control.state().mode == MODE_LIVE, what="the last join")
            feed.hush()
            count = rows_sent(sent)
            streams = published(own_redis, partitions, upto=count)
            wait_logged(deployed.out, count)
            reader.wait_until(lambda: len(read_rows(reader)) >= count, what="all")

    assert sorted(row for stream in streams for row in rows(stream)) == list(range(1, count + 1))
    assert sorted(read_rows(reader)) == list(range(1, count + 1))
    assert not reader.missed
    assert {Marker.Kind.Name(marker.kind) for stream in streams for marker in stream.markers} == {"KIND_SEAM"}


@contextlib.contextmanager
def sending(directory: Path) -> Iterator[tuple[FeedInThread, Path]]:
    """Have a feed send all the time; returns it, and the file with what it has sent."""
    script = write_feed(directory / "feed.csv", LIVE_ROWS, tickers=TICKERS, step_ms=STEP_MS)
    with running_feed(script, directory / "sent.csv") as feed:
        yield feed, directory / "sent.csv"


def rows_sent(sent: Path) -> int:
    return sent.read_bytes().count(b"\n") - 1


def rows_of(spread: Partitioning, partition: int) -> Callable[[int], int]:
    """Return what tells the next row of the feed that belongs to a partition."""

    def following(row: int) -> int:
        row += 1
        while spread.of_ticker(feed_ticker(row, TICKERS)) != partition:
            row += 1
        return row

    return following


def published(store: Store, partitions: int, *, upto: int) -> list[Stream]:
    """Read the streams of all partitions once they have the last row of each that was sent."""
    found: list[Stream] = []

    def is_there() -> bool:
        found[:] = [read_stream(store.url, SessionKeys("default", partition)) for partition in range(partitions)]
        following = [rows_of(Partitioning(partitions), partition) for partition in range(partitions)]
        return all(following[each](rows(stream)[-1]) > upto for each, stream in enumerate(found))

    until(is_there, what="all that was sent")
    return found


def rows(stream: Stream) -> list[int]:
    """Return the rows of the feed that are there."""
    return [int(bid) for batch in stream.batches for bid in batch.bid_price]


def read_rows(reader: Reader) -> list[int]:
    """Return those that a subscriber got."""
    return [int(value.partition("(")[2].partition(".")[0]) for value in reader.values if value[0].isdigit()]


def wait_logged(out: Path, count: int) -> None:
    """Wait until the logs, which lie in one folder or in one for each partition, have so many lines."""

    def lines() -> int:
        return sum(path.read_bytes().count(b"\n") for name in LOGS for path in out.rglob(name))

    until(lambda: lines() >= count, what=f"{count} lines in the logs")
