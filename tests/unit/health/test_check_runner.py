"""The runner: what a report says, when watchers hear of it, and that nobody but the schedule runs a check."""

from __future__ import annotations

import asyncio

import pytest
import redis

from protos.health.v1.health_pb2 import STATUS_DEGRADED, STATUS_DOWN, STATUS_OK, STATUS_UNSPECIFIED, Check, Report
from services.health.check_runner import CheckRunner
from services.health.checks import Finding
from tests.support.clock import FakeClock


class Scripted:
    """A check that says what it is told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.outcome: Finding | Exception = Finding(STATUS_OK, "fine")

    async def __call__(self) -> Finding:
        self.calls += 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def one() -> Scripted:
    return Scripted()


@pytest.fixture
def runner(one: Scripted, fake_clock: FakeClock) -> CheckRunner:
    return CheckRunner({"one": one, "two": Scripted()}, clock=fake_clock, interval_s=0.001, timeout_s=0.05)


def check(report: Report, name: str = "one") -> Check:
    return next(check for check in report.checks if check.name == name)


def test_before_the_first_check_nothing_is_known(runner: CheckRunner) -> None:
    report = runner.report()

    assert report.status == STATUS_UNSPECIFIED
    assert check(report).detail == "not checked yet"


@pytest.mark.quick
async def test_worst_check_decides_and_every_transition_is_seen(runner: CheckRunner, one: Scripted) -> None:
    seen = []
    for outcome in (
        Finding(STATUS_OK, "fine"),
        Finding(STATUS_DEGRADED, "slow"),
        Finding(STATUS_DOWN, "gone"),
        Finding(STATUS_OK, "fine again"),
    ):
        one.outcome = outcome
        changed = runner.changed
        await runner.check_once("one", one)
        seen.append((runner.report().status, check(runner.report()).detail, changed.is_set()))

    assert seen == [
        # The other one has not been looked at yet, so nobody may say that all is well.
        (STATUS_UNSPECIFIED, "fine", True),
        (STATUS_DEGRADED, "slow", True),
        (STATUS_DOWN, "gone", True),
        (STATUS_UNSPECIFIED, "fine again", True),
    ]
    await runner.check_once("two", Scripted())
    assert runner.report().status == STATUS_OK
    assert check(runner.report()).last_error == "gone"


async def test_a_check_that_was_well_and_is_not_is_a_warning_and_what_starts_is_none(
    runner: CheckRunner, one: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="services.health.check_runner")
    for status in (STATUS_DEGRADED, STATUS_OK, STATUS_DOWN, STATUS_DOWN):
        one.outcome = Finding(status, "as it is")
        await runner.check_once("one", one)

    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "check changed"),
        ("INFO", "check changed"),
        ("WARNING", "check changed"),
    ]


async def test_same_status_again_is_no_change(runner: CheckRunner, one: Scripted) -> None:
    await runner.check_once("one", one)
    changed = runner.changed
    await runner.check_once("one", one)

    assert not changed.is_set()


async def test_age_grows_until_the_next_check(runner: CheckRunner, one: Scripted, fake_clock: FakeClock) -> None:
    await runner.check_once("one", one)
    assert check(runner.report()).age_ms == 0

    fake_clock.advance(12.5)

    assert check(runner.report()).age_ms == 12_500


@pytest.mark.parametrize(
    ("error", "part"),
    [
        pytest.param(redis.ConnectionError("unix:///secret.sock"), "Redis does not answer", id="redis"),
        pytest.param(RuntimeError("secret"), "RuntimeError", id="bug"),
    ],
)
async def test_check_that_fails_is_down_without_leaking_its_text(
    runner: CheckRunner, one: Scripted, error: Exception, part: str
) -> None:
    one.outcome = error

    await runner.check_once("one", one)

    result = check(runner.report())
    assert result.status == STATUS_DOWN
    assert part in result.detail
    assert "secret" not in result.detail


async def test_check_that_hangs_is_down_and_does_not_hold_up_the_others(fake_clock: FakeClock) -> None:
    async def hang() -> Finding:
        await asyncio.Event().wait()
        raise AssertionError

    fine = Scripted()
    runner = CheckRunner({"hangs": hang, "fine": fine}, clock=fake_clock, interval_s=0.001, timeout_s=0.05)
    running = asyncio.create_task(runner.run())
    async with asyncio.timeout(10):
        while check(runner.report(), "hangs").status != STATUS_DOWN:
            await runner.changed.wait()
    running.cancel()

    assert "0.05 s" in check(runner.report(), "hangs").detail
    assert fine.calls > 1


async def test_reading_reports_runs_no_check(runner: CheckRunner, one: Scripted) -> None:
    await runner.check_once("one", one)
    for _ in range(1_000):
        runner.report()

    assert one.calls == 1
