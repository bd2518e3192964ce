"""P13, P16, P17, P19, P20 and the full disk: what servers refuse, and what starting and stopping them leaves behind."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from random import Random

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.reference.history import expected_outputs
from tests.support.chaos import (
    LOGS,
    REFUSED,
    Chaos,
    Server,
    TailReader,
    assert_exact,
    assert_logs_exact,
    can_see_processes,
)
from tests.support.history_files import Quirks, write_files
from tests.support.made_ticks import made_outputs, write_made_ticks

pytestmark = pytest.mark.skipif(not can_see_processes(), reason="engines are found through /proc")

GRACE_S = 5.0


def write_history(directory: Path, seed: int, rows: int, *, step_us: int = 2_000) -> list[str]:
    directory.mkdir(parents=True)
    return write_files(directory, Random(seed), 1, quirks=[Quirks(rows=rows, step_us=step_us, negative=0.05)])


def refusal(server: Server) -> str:
    """The one plain line of its log."""
    (line,) = (line for line in server.log.read_text().splitlines() if not line.startswith("{"))
    return line


def stop_and_check(chaos: Chaos, name: str) -> None:
    """Stopped in order within the grace period, a sink has announced all that it wrote."""
    assert chaos.stop(name) < GRACE_S
    if name == "price":
        sink = chaos.sink()
        for log, length in zip(LOGS, (sink["mid_bytes"], sink["error_bytes"]), strict=True):
            assert (chaos.out / log).stat().st_size == length


def stop_at_random(directory: Path, seed: int, *, stops: int, rows: int) -> None:
    """Stop servers again and again, then everything; what follows has nothing left to do twice."""
    files = write_history(directory / "in", seed, rows)
    expected = expected_outputs(files)
    with (
        Chaos(directory, seed=seed, HISTORICAL=files[0], SPEED="1") as chaos,
        TailReader(chaos.out, expected) as reader,
    ):
        for _ in range(stops):
            least = chaos.log_bytes() + 1
            chaos.until(lambda least=least: chaos.log_bytes() > least, what="ticks")
            chaos.tend_for(chaos.random.random() * 0.5)
            name = chaos.random.choice(("replay", "price"))
            chaos.until(chaos.servers[name].announcement, what=f"the start of {name}")
            stop_and_check(chaos, name)
        sink = chaos.complete_at_full_speed()
        reader.assert_clean()
        assert_exact(chaos.out, expected, sink)
        with chaos.redis.client() as client:
            entries = client.xinfo_stream(chaos.keys.ticks)["entries-added"] if _counts_entries(client) else 0
            for name in ("replay", "price"):
                # Killed a moment ago to go on at full speed, which it may have had nothing left to do at.
                chaos.until(
                    lambda name=name: chaos.pid_of(name) and chaos.servers[name].announcement(),
                    what=f"the start of {name}",
                )
                stop_and_check(chaos, name)
            chaos.tend()
            chaos.until(
                lambda: chaos.state().get("pid") == chaos.pid_of("replay engine"), what="the new engine's report"
            )
            again = chaos.complete()

            # P16: the session is over, and starting its servers again adds nothing.
            assert again["sequence"] == sink["sequence"]
            if entries:
                assert client.xinfo_stream(chaos.keys.ticks)["entries-added"] == entries
        assert_exact(chaos.out, expected, again)


def _counts_entries(client: object) -> bool:
    """Redis counts what was ever added since 7.0."""
    return int(str(client.info("server")["redis_version"]).split(".")[0]) >= 7  # type: ignore[attr-defined]


@pytest.mark.long
def test_servers_stop_in_order_and_go_on_exactly(tmp_path: Path) -> None:
    stop_at_random(tmp_path, 17, stops=1, rows=3_000)


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_servers_stopped_at_many_moments_go_on_exactly(tmp_path: Path) -> None:
    stop_at_random(tmp_path, 1717, stops=10, rows=20_000)


@pytest.mark.long
def test_second_servers_are_refused_naming_the_first_which_goes_on(tmp_path: Path) -> None:
    files = write_history(tmp_path / "in", 13, 4_000)
    expected = expected_outputs(files)
    with Chaos(tmp_path, seed=13, HISTORICAL=files[0], SPEED="1") as chaos, TailReader(chaos.out, expected) as reader:
        chaos.until(lambda: chaos.log_bytes(), what="the first tick")
        for name, setting in (("replay", {}), ("price", {"LOCK_WAIT": "off"})):
            with contextlib.closing(chaos.another(name, **setting)) as second:
                # One that waited, as a price server does by default, would not end at all.
                chaos.until(lambda: second.code is not None, what="the refusal")
                assert second.code == REFUSED
                assert str(chaos.pid_of(f"{name} engine")) in refusal(second)
        sink = chaos.complete_at_full_speed()
        reader.assert_clean()
        assert_exact(chaos.out, expected, sink)


@pytest.mark.long
def test_input_that_changed_under_the_position_is_refused_by_name(tmp_path: Path) -> None:
    files = write_history(tmp_path / "in", 20, 4_000)
    original = Path(files[0]).read_bytes()
    expected = expected_outputs(files)
    with Chaos(tmp_path, seed=20, HISTORICAL=files[0], SPEED="1") as chaos:
        chaos.until(lambda: chaos.log_bytes(), what="the first tick")
        chaos.stop("replay")
        before = (chaos.out / LOGS[0]).read_bytes()
        assert expected.mid_log.startswith(before)
        Path(files[0]).write_bytes(original[: len(original) // 2])
        server = chaos.servers["replay"]
        server.start()
        chaos.until(lambda: server.code is not None, what="the refusal", tend=False)

        assert server.code == REFUSED
        assert files[0] in refusal(server)
        assert expected.mid_log.startswith((chaos.out / LOGS[0]).read_bytes())


@pytest.mark.nightly
def test_full_disk_shows_in_health_ends_the_server_and_leaves_no_trace(tmp_path: Path) -> None:
    files = write_history(tmp_path / "in", 5, 3_000)
    expected = expected_outputs(files)
    with Chaos(tmp_path, seed=5, HISTORICAL=files[0], SPEED="2") as chaos, TailReader(chaos.out, expected) as reader:
        price = chaos.servers["price"]
        chaos.until(lambda: chaos.log_bytes(), what="the first line")
        chaos.stop("price")
        price.environment["MIDSTREAM_FAULT"] = "sink_before_sync:1:enospc"
        price.start()
        port = chaos.until(price.announcement, what="the price server", tend=False)["port"]

        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            seen = _serving(channel)
            chaos.until(lambda: not next(seen), what="NOT_SERVING", tend=False)
        chaos.until(lambda: price.code is not None, what="the end of the price server", tend=False, timeout_s=60)
        assert price.code == 1
        assert "No space left" in price.log.read_text()
        assert chaos.sink()["finished_error"]

        del price.environment["MIDSTREAM_FAULT"]
        price.start()
        sink = chaos.complete()
        assert sink["finished_error"] is None
        reader.assert_clean()
        assert_exact(chaos.out, expected, sink)


def _serving(channel: grpc.Channel) -> object:
    """Yield what the server says of itself; a closed port is no answer, and NOT_SERVING has to come before it."""
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="midstream.price.v1.PriceService")
    while True:
        yield stub.Check(request, timeout=5).status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.nightly
def test_resuming_near_the_end_of_a_million_rows_is_quick(tmp_path: Path) -> None:
    rows = 1_000_000
    path = write_made_ticks(tmp_path / "made.csv", rows, step_us=10)
    with Chaos(tmp_path, seed=19, HISTORICAL=str(path), SPEED="1") as chaos:
        chaos.until(lambda: chaos.state().get("last_sequence", 0) > 0.85 * rows, what="most of it")
        engine = chaos.pid_of("replay engine")
        chaos.kill("replay engine")
        chaos.until(lambda: chaos.pid_of("replay engine") not in (None, engine), what="the new engine")
        at, began_s = chaos.sink()["sequence"], time.monotonic()
        chaos.until(lambda: chaos.sink().get("sequence", 0) > at + 5_000, what="new ticks")
        # One second on a quiet machine, the interpreter's start included.
        assert time.monotonic() - began_s < 3.0
        chaos.complete()
        assert_logs_exact(chaos.out, made_outputs(rows, step_us=10))
