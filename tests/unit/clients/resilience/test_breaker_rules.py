"""How errors and results are judged when a permit is used as a context, or a breaker runs the call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from clients.resilience.breaker_config import BreakerState
from clients.resilience.breaker_permit import BreakerRules
from tests.support.resilience_breakers import Bench, bench


@dataclass(frozen=True)
class Answer:
    status: int
    code: str = ""


class BadRequest(Exception):
    """HTTP 400, INVALID_ARGUMENT."""


def totals(here: Bench) -> dict[str, int]:
    counts = here.breaker.snapshot().counts
    return {name: value for name, value in vars(counts).items() if value}


def raising(error: BaseException) -> BaseException:
    def function() -> None:
        raise error

    return function  # type: ignore[return-value]


RULES = BreakerRules(
    ignore=lambda error: isinstance(error, KeyError),
    record=lambda error: isinstance(error, OSError | KeyError),
    failed_result=lambda result: (
        isinstance(result, Answer) and (result.status >= 500 or result.code == "RESOURCE_EXHAUSTED")
    ),
)


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (KeyError("ignored"), {"ignored": 1}),
        (ValueError("not recorded"), {"successes": 1}),
        (OSError("recorded"), {"failures": 1}),
    ],
    ids=["cb15 and cb16: ignored, although recorded too", "cb15: not recorded", "recorded"],
)
def test_cb15_cb16_errors_count_by_the_rules(error: Exception, counted: dict[str, int]) -> None:
    here = bench(rules=RULES)

    with pytest.raises(type(error)):
        here.call(raising(error))  # type: ignore[arg-type]

    assert totals(here) == counted
    assert here.breaker.snapshot().window_calls == (0 if counted == {"ignored": 1} else 1)


@pytest.mark.parametrize("broken", ["ignore", "record"])
def test_cb17_rule_that_raises_makes_a_failure_and_hides_nothing(broken: str) -> None:
    def bug(subject: object) -> bool:
        raise ZeroDivisionError

    here = bench(rules=BreakerRules(**{broken: bug}), probes=1)
    here.half_open()
    counted = here.breaker.snapshot().counts.failures

    with pytest.raises(OSError, match="original"):
        here.call(raising(OSError("original")))  # type: ignore[arg-type]

    assert here.breaker.snapshot().counts.failures == counted + 1
    assert here.breaker.snapshot().outstanding_probes == 0
    assert here.breaker.state is BreakerState.OPEN


def test_cb17_result_rule_that_raises_makes_a_failure_and_keeps_the_result() -> None:
    def bug(subject: object) -> bool:
        raise ZeroDivisionError

    here = bench(rules=BreakerRules(failed_result=bug))

    assert here.call(lambda: "result") == "result"
    assert totals(here) == {"failures": 1}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_cb18_cb19_what_is_about_the_caller_gives_the_place_back_and_passes(error: type[BaseException]) -> None:
    here = bench(rules=BreakerRules(record=lambda error: True), probes=1)
    here.half_open()
    cancelled = here.breaker.snapshot().counts.cancelled

    with pytest.raises(error):
        here.call(raising(error()))  # type: ignore[arg-type]

    assert here.breaker.snapshot().counts.cancelled == cancelled + 1
    assert here.breaker.state is BreakerState.HALF_OPEN
    assert here.admits()


@pytest.mark.parametrize("answer", [Answer(503), Answer(200, "RESOURCE_EXHAUSTED")], ids=["503", "code"])
async def test_cb35_failed_result_counts_as_failure_and_is_returned(answer: Answer) -> None:
    here = bench(rules=RULES)

    async def ask() -> Answer:
        return answer

    for _ in range(5):
        assert here.call(lambda: answer) is answer
        assert await here.call_async(ask) is answer

    assert here.breaker.state is BreakerState.OPEN


def test_cb36_thousand_bad_requests_never_open() -> None:
    here = bench(rules=BreakerRules(record=lambda error: not isinstance(error, BadRequest)))

    for _ in range(1_000):
        with pytest.raises(BadRequest):
            here.call(raising(BadRequest("INVALID_ARGUMENT")))  # type: ignore[arg-type]

    assert here.breaker.state is BreakerState.CLOSED
    assert totals(here) == {"successes": 1_000}


async def test_permit_is_a_context_of_both_kinds() -> None:
    here = bench()

    with here.breaker.acquire():
        pass
    async with here.breaker.acquire():
        pass
    with pytest.raises(OSError):
        async with here.breaker.acquire():
            raise OSError
    with here.breaker.acquire() as permit:
        permit.ignore()

    assert totals(here) == {"successes": 2, "failures": 1, "ignored": 1}
