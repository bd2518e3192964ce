"""The sink among processes that die, stop and come back at random."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from services.runtime.connection import connect
from services.runtime.redis_binary import find_engine
from tests.integration.price.harness import Engine, Queue, read_logs, wait_for
from tests.integration.price.test_sink import SMALL_COMMITS, assert_exact
from tests.support.price_batches import expected_logs, make_batches

StartEngine = Callable[..., Engine]


class MortalRedis:
    """A Redis without any persistence that can be killed, and started again where it was."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._socket = directory / "r.sock"
        self.url = f"unix://{self._socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [str(find_engine().path), "--port", "0", "--unixsocket", str(self._socket), "--save", "", "--dir", str(self._directory)],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        client = connect(self.url, client_name="test-mortal")
        wait_for(lambda: _answers(client), what="an answer of the new Redis")
        client.close()

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._socket.unlink(missing_ok=True)


def _answers(client: Any) -> bool:
    try:
        return bool(client.ping())
    except (OSError, Exception):  # noqa: BLE001 - whatever redis-py says while nobody listens
        return False


@pytest.fixture
def mortal_redis(tmp_path: Path) -> Iterator[MortalRedis]:
    server = MortalRedis(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.mark.parametrize("mids", [False, True], ids=["logs only", "with mids"])
def test_redis_that_dies_and_comes_back_empty_costs_nothing(
    start_engine: StartEngine, mortal_redis: MortalRedis, out: Path, session: str, mids: bool
) -> None:
    batches = make_batches(3_000)
    queue = Queue(mortal_redis.url, session)
    engine = start_engine(redis_url=mortal_redis.url, mids=mids)
    queue.publish(batches[:10])
    committed = queue.wait_committed(1_000)

    mortal_redis.kill()
    engine.wait_report("connecting")
    mortal_redis.start()
    announcement = wait_for(queue.announcement, what="the announcement to the new Redis")
    again = make_batches(3_000, rows_per_batch=64)
    queue.publish([batch for batch in again if batch.last_sequence > announcement["sequence"]])
    queue.wait_committed(3_000)

    assert announcement["sequence"] == 1_000
    assert announcement["run_id"] != committed["run_id"]
    assert engine.stop() == 0
    assert_exact(out, batches)
    queue.close()


@pytest.mark.long
def test_redis_that_stands_still_is_left_and_found_again(
    start_engine: StartEngine, mortal_redis: MortalRedis, out: Path, session: str
) -> None:
    batches = make_batches(1_000)
    queue = Queue(mortal_redis.url, session)
    engine = start_engine(redis_url=mortal_redis.url)
    queue.publish(batches[:5])
    queue.wait_committed(500)

    mortal_redis.send(signal.SIGSTOP)
    engine.wait_report("connecting")
    mortal_redis.send(signal.SIGCONT)
    queue.publish(batches[5:])
    queue.wait_committed(1_000)

    assert engine.stop() == 0
    assert_exact(out, batches)
    queue.close()


@pytest.mark.parametrize("kills", [8, pytest.param(60, marks=pytest.mark.nightly)])
def test_random_kills_leave_the_logs_of_an_undisturbed_run(
    start_engine: StartEngine, queue: Queue, out: Path, kills: int
) -> None:
    random = Random(kills)
    batches = make_batches(kills * 1_500)
    expected = expected_logs(batches)
    published = 0
    for _ in range(kills):
        engine = start_engine(mids=True, **SMALL_COMMITS)
        engine.wait_report("consuming")
        count = random.randrange(1, 15)
        queue.publish(batches[published : published + count])
        published += count
        queue.wait_committed(batches[published - random.randrange(1, count + 1)].last_sequence)
        # The wait is random on purpose: the kill shall hit anything between two commits.
        time.sleep(random.random() * 0.004)
        engine.kill()
        assert expected.mids.startswith(_whole_lines(read_logs(out).mids))
    queue.publish(batches[published:])
    engine = start_engine(mids=True)
    queue.wait_committed(len(batches) * 100)

    assert engine.stop() == 0
    assert_exact(out, batches)


@pytest.mark.parametrize("times", [5, pytest.param(50, marks=pytest.mark.nightly)])
def test_sigterm_at_random_commits_everything_it_took(
    start_engine: StartEngine, queue: Queue, out: Path, times: int
) -> None:
    random = Random(times)
    batches = make_batches(times * 2_000, rows_per_batch=50)
    share = len(batches) // times
    for start in range(0, len(batches), share):
        engine = start_engine()
        engine.wait_report("consuming")
        queue.publish(batches[start : start + share])
        time.sleep(random.random() * 0.01)
        engine.signal(signal.SIGTERM)

        assert engine.wait_exit(patience_s=5) == 0
        # Everything taken is committed and acknowledged; what Redis had handed out ahead is delivered again.
        announced = queue.announcement()
        assert announced["mid_bytes"] == len(read_logs(out).mids)
    engine = start_engine()
    queue.wait_committed(batches[-1].last_sequence)

    assert engine.stop() == 0
    assert_exact(out, batches)


def _whole_lines(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]
