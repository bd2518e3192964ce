"""How long to wait before a server is started again, and when it is left down."""

from __future__ import annotations

from random import Random

import pytest

from services.cli.restarts import (
    DOWN_PAUSE_S_MAX,
    FRUITLESS_MAX,
    PAUSE_S_MAX,
    POSTPONED,
    REFUSED,
    REFUSED_PAUSE_S_MAX,
    STABLE_S,
    End,
    Restarts,
)

pytestmark = pytest.mark.quick


class Whole(Random):
    """Draws the upper end."""

    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.fixture
def restarts() -> Restarts:
    return Restarts(Whole())


def test_pauses_grow_to_their_bound_and_further_for_what_is_left_down(restarts: Restarts) -> None:
    pauses, downs = [], []
    for _ in range(FRUITLESS_MAX + 7):
        pauses.append(restarts.pause_s(End(-9)))
        downs.append(restarts.down)

    assert pauses == sorted(pauses)
    assert pauses[0] < 0.5
    assert pauses[FRUITLESS_MAX - 1] <= PAUSE_S_MAX
    assert pauses[-1] == DOWN_PAUSE_S_MAX
    assert downs.index(True) == FRUITLESS_MAX


def test_pauses_are_between_half_and_all_so_that_they_grow_whatever_is_drawn() -> None:
    drawn = Restarts(Random(20261130))

    pauses = [drawn.pause_s(End(-9)) for _ in range(7)]

    assert all(0.1 * 2.0**n / 2 <= pause <= 0.1 * 2.0**n for n, pause in enumerate(pauses[:5], 1))
    assert pauses == sorted(pauses)


def test_a_server_that_serves_in_between_is_never_left_down_and_waits_no_longer_than_others(restarts: Restarts) -> None:
    # Somebody kills it again and again.
    pauses = [restarts.pause_s(End(-9, served_s=3.0)) for _ in range(50)]

    assert not restarts.down
    assert pauses[-1] == PAUSE_S_MAX


@pytest.mark.parametrize(
    "good", [End(-9, served_s=STABLE_S + 1), End(-9, progressed=True)], ids=["stable", "what it works on moved on"]
)
def test_a_good_life_begins_the_count_again(restarts: Restarts, good: End) -> None:
    first = restarts.pause_s(End(-9))
    for _ in range(20):
        restarts.pause_s(End(-9))
    assert restarts.down

    again = restarts.pause_s(good)

    assert again == first
    assert not restarts.down


@pytest.mark.parametrize(
    ("code", "bound_s"), [(POSTPONED, PAUSE_S_MAX), (REFUSED, REFUSED_PAUSE_S_MAX)], ids=["trouble", "refusal"]
)
def test_what_waits_for_something_else_is_never_left_down(restarts: Restarts, code: int, bound_s: float) -> None:
    pauses = [restarts.pause_s(End(code)) for _ in range(50)]

    assert not restarts.down
    assert pauses[-1] == bound_s
