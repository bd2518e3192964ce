"""How many retries a client may add."""

from __future__ import annotations

from random import Random

import pytest

from clients.resilience.budget import RetryBudget, RetryTokens
from tests.support.resilience_calls import SEED


def per_target_only() -> RetryBudget:
    return RetryBudget(share=1.0, burst=1_000)


@pytest.mark.quick
def test_r09_sixth_retry_is_refused_and_ten_successes_buy_one() -> None:
    budget = per_target_only()

    assert [budget.try_retry("exchange") for _ in range(7)] == [True] * 5 + [False] * 2
    for _ in range(9):
        budget.on_success("exchange")
    assert not budget.try_retry("exchange")
    budget.on_success("exchange")

    assert budget.try_retry("exchange")
    assert not budget.try_retry("exchange")


def test_r09_targets_have_tokens_of_their_own() -> None:
    budget = per_target_only()
    while budget.try_retry("down"):
        pass

    assert budget.try_retry("up")


def test_r09_successes_never_save_more_than_the_maximum() -> None:
    budget = per_target_only()
    for _ in range(10_000):
        budget.on_success("exchange")

    assert sum(budget.try_retry("exchange") for _ in range(100)) == 5


@pytest.mark.quick
def test_r10_retries_are_a_tenth_of_any_stretch_of_requests_and_three() -> None:
    random = Random(SEED)
    budget = RetryBudget(target_tokens=1e6)
    asked, given = [0], [0]
    for _ in range(10_000):
        request = random.random() < 0.4
        if request:
            budget.on_request()
        asked.append(asked[-1] + request)
        given.append(given[-1] + sum(budget.try_retry("exchange") for _ in range(random.randrange(3))))
    for _ in range(20_000):
        start, end = sorted(random.sample(range(len(asked)), 2))
        assert given[end] - given[start] <= 0.1 * (asked[end] - asked[start]) + 3


def test_r10_refused_retry_takes_nothing_from_either_bucket() -> None:
    budget = RetryBudget(share=0.1, burst=3, target_tokens=10)
    assert sum(budget.try_retry("a") for _ in range(10)) == 3

    for _ in range(20):
        budget.on_request()

    # The client's bucket has two tokens again; the target's five were not touched by the refusals.
    assert sum(budget.try_retry("a") for _ in range(10)) == 2


@pytest.mark.parametrize(("field", "value"), [("share", -0.1), ("share", 1.1), ("burst", 0)])
def test_wrong_figure_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"`{field}`"):
        RetryBudget(**{field: value})  # type: ignore[arg-type]


def test_floor_has_to_leave_room() -> None:
    with pytest.raises(ValueError, match="`floor`"):
        RetryTokens(tokens_max=5, floor=5)
