"""Keys, errors, clock, backoff, faults, redaction: the small parts."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from services.runtime.backoff import Backoff, BackoffPolicy
from services.runtime.connection import connect, connect_async, redacted
from services.runtime.errors import InvalidRequest, StartPostponed, StartRefused, cannot_start
from services.runtime.faults import FaultPlan, FaultPoint, parse_plan
from services.runtime.session.keys import SessionKeys, check_session_name
from tests.support.clock import FakeClock


def test_keys_carry_the_braces_of_a_cluster_hash_tag() -> None:
    keys = SessionKeys("default")

    assert keys.ticks == "midstream:{default/0}:ticks"
    assert keys.mids == "midstream:{default/0}:mids"
    assert keys.latest == "midstream:{default/0}:latest"
    assert keys.fence == "midstream:{default/0}:fence"
    assert keys.lease == "midstream:{default/0}:lease"
    assert keys.checkpoint == "midstream:{default/0}:checkpoint"
    assert keys.sinks == "midstream:{default/0}:sinks"
    assert keys.control == "midstream:{default}:control"
    assert keys.requests == "midstream:{default}:requests"
    assert keys.intended == "midstream:{default}:intended"
    assert keys.state == "midstream:{default}:state"
    assert SessionKeys("x", 3).ticks == "midstream:{x/3}:ticks"


@pytest.mark.parametrize("name", ["a", "default", "A.b-c_9", "x" * 64])
def test_session_names_of_the_alphabet_are_accepted(name: str) -> None:
    assert check_session_name(name) == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a}", "{a", "a/0", "a\n", "ä", "*"])
def test_other_session_names_are_refused_naming_field_and_legal_values(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_session_name(name)

    assert caught.value.field == "session"
    assert "1 to 64 characters of A-Z a-z 0-9 . _ -" in str(caught.value)


def test_backoff_draws_from_a_doubling_interval_up_to_the_cap_and_starts_again_after_a_success() -> None:
    backoff = Backoff(Random(7), BackoffPolicy(base_s=0.1, cap_s=1.0))

    for attempt in range(2000):
        assert 0 <= backoff.next_s() <= min(1.0, 0.1 * 2 ** min(attempt, 10))
    backoff.reset()

    assert backoff.attempt == 0
    assert backoff.next_s() <= 0.1


def test_backoff_spreads_over_the_whole_interval() -> None:
    seed = 11
    print(f"seed={seed}")  # noqa: T201
    backoff = Backoff(Random(seed), BackoffPolicy(base_s=1.0, cap_s=1.0))

    delays = sorted(backoff.next_s() for _ in range(1000))

    assert delays[50] < 0.1
    assert delays[-50] > 0.9


def test_fake_clock_moves_only_when_moved() -> None:
    clock = FakeClock(time_ns=5, monotonic_ns=7)

    clock.sleep(1.5)
    clock.jump_wall_ns(-5)

    assert (clock.time_ns(), clock.monotonic_ns(), clock.sleeps) == (1_500_000_000, 1_500_000_007, [1.5])


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:secret@host:6379/0", "redis://user:***@host:6379/0"),
        ("redis://:secret@host", "redis://:***@host"),
        ("rediss://u:p%40ss@host/1", "rediss://u:***@host/1"),
        ("redis://:se@cret@host/1", "redis://:***@host/1"),
        ("unix://u:secret@/tmp/redis.sock?db=1", "unix://u:***@/tmp/redis.sock?db=1"),
        ("unix:///tmp/redis.sock?password=secret&db=1", "unix:///tmp/redis.sock?password=***&db=1"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("failed for redis://:secret@host, again", "failed for redis://:***@host, again"),
    ],
)
def test_passwords_of_redis_urls_are_never_shown(url: str, shown: str) -> None:
    assert redacted(url) == shown


@pytest.mark.parametrize("url", ["http://x", "localhost:6379", "redis://:secret@host:port/0"])
def test_unusable_redis_url_is_refused_without_its_password(url: str) -> None:
    for make in (connect, connect_async):
        with pytest.raises(StartRefused, match="MIDSTREAM_REDIS_URL") as caught:
            make(url, client_name="test")
        assert "secret" not in str(caught.value)


def test_fault_plan_is_read_from_the_environment() -> None:
    assert parse_plan({}) is None
    assert parse_plan({"MIDSTREAM_FAULT": "a.b:3"}) == FaultPlan("a.b", 3)
    assert parse_plan({"MIDSTREAM_FAULT": "a:1:stop"}) == FaultPlan("a", 1, "enospc")
    assert parse_plan({"MIDSTREAM_FAULT": "a:1", "MIDSTREAM_FAULT_KIND": "eio"}) == FaultPlan("a", 1, "eio")


@pytest.mark.parametrize("text", ["a", "a:", "a:0", "a:x", ":1", "a:1:explode"])
def test_misspelt_fault_plan_is_refused(text: str) -> None:
    with pytest.raises(StartRefused, match="MIDSTREAM_FAULT"):
        parse_plan({"MIDSTREAM_FAULT": text})


def test_full_disk_begins_at_the_nth_pass_and_stays() -> None:
    point = FaultPoint(FaultPlan("write", 2, "enospc"))

    point.pass_by("write")
    point.pass_by("other")
    for _ in range(2):
        with pytest.raises(OSError) as caught:
            point.pass_by("write")
        assert caught.value.errno == errno.ENOSPC


def test_fault_ends_the_process_at_the_nth_pass_and_only_once(tmp_path: Path) -> None:
    program = (
        "from services.runtime.faults import fault\nfor n in range(3):\n    print(n, flush=True)\n    fault('here')\n"
    )
    environment = {"MIDSTREAM_FAULT": "here:2", "MIDSTREAM_FAULT_ONCE": str(tmp_path / "once")}

    first, second = (
        subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=False)
        for _ in range(2)
    )

    assert (first.returncode, first.stdout) == (137, b"0\n1\n")
    assert (second.returncode, second.stdout) == (0, b"0\n1\n2\n")


@pytest.mark.parametrize(
    ("number", "passes"),
    [(errno.ENOSPC, True), (errno.EMFILE, True), (errno.EIO, True), (errno.EACCES, False), (errno.ENOENT, False)],
)
def test_a_start_that_failed_at_the_system_is_postponed_where_waiting_may_be_all_that_it_takes(
    number: int, passes: bool
) -> None:
    refused = cannot_start(OSError(number, "no"), "cannot write")

    assert isinstance(refused, StartPostponed) is passes
    assert (refused.exit_code, refused.message) == (75 if passes else 2, "cannot write")
