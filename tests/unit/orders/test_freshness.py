"""Whether an exchange is reachable is what the last calls say, not only the last comparison of the books."""

from __future__ import annotations

import pytest

from services.orders.reconciliation.freshness import FreshnessTracker


@pytest.fixture
def tracker() -> FreshnessTracker:
    made = FreshnessTracker(monotonic_ns=lambda: 0)
    made.reconciled("binance")
    return made


@pytest.mark.quick
def test_a_call_without_an_answer_makes_it_unreachable_at_once(tracker: FreshnessTracker) -> None:
    assert tracker.of("binance").reachable

    tracker.called("binance", "binance:spot/order", False, "place: unknown")

    now = tracker.of("binance")
    assert (now.reachable, now.problem) == (False, "no answer: place: unknown")
    tracker.called("binance", "binance:spot/order", True, "place: success")
    assert tracker.of("binance").reachable


def test_prices_that_are_answered_do_not_hide_placements_that_are_not(tracker: FreshnessTracker) -> None:
    tracker.called("binance", "binance:spot/order", False, "place: unknown")
    tracker.called("binance", "binance:spot/public", True, "get_quote: success")

    assert not tracker.of("binance").reachable
    assert tracker.of("bitmex").problem == "the exchange has not been asked yet"


def test_books_that_were_compared_since_count_for_all(tracker: FreshnessTracker) -> None:
    tracker.called("binance", "binance:spot/order", False, "cancel: retryable")
    tracker.reconciled("binance")

    assert tracker.of("binance").reachable


def test_one_that_is_only_asked_for_prices_is_reachable_when_it_answers() -> None:
    tracker = FreshnessTracker(monotonic_ns=lambda: 0)
    before = tracker.of("binance")
    tracker.called("binance", "binance:spot/public", True, "get_quote: success")

    assert (before.reachable, tracker.of("binance").reachable) == (False, True)
