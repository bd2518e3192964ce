"""Error tables in general."""

from __future__ import annotations

import pytest

from clients.exchanges.error_table import ErrorRow, ErrorTable, Signal, classify, error_class
from clients.exchanges.errors import (
    CallerMustAct,
    ExchangeError,
    OperatorMustAct,
    OutcomeUnknown,
    TryLater,
)
from clients.resilience.errors import LimitReached
from clients.resilience.outcome import Outcome

SIGNAL = Signal(market="spot", operation="place_order", reads=False, status=400, code="-1", text="Broken thing.")
LAST = ErrorRow(Outcome.UNKNOWN, "last")


@pytest.mark.quick
@pytest.mark.parametrize(
    "row",
    [
        ErrorRow(Outcome.REJECTED, "s", code="-1"),
        ErrorRow(Outcome.REJECTED, "s", statuses=range(400, 500)),
        ErrorRow(Outcome.REJECTED, "s", text="BROKEN"),
        ErrorRow(Outcome.REJECTED, "s", markets=("spot",)),
        ErrorRow(Outcome.REJECTED, "s", operations=("place_order",)),
        ErrorRow(Outcome.REJECTED, "s", reads=False),
    ],
)
def test_a_row_matches_when_its_condition_holds(row: ErrorRow) -> None:
    assert ErrorTable([row, LAST]).row_of(SIGNAL) is row


@pytest.mark.parametrize(
    "row",
    [
        ErrorRow(Outcome.REJECTED, "s", code="-1", statuses=range(500, 600)),
        ErrorRow(Outcome.REJECTED, "s", code="-10"),
        ErrorRow(Outcome.REJECTED, "s", code="-1", text="other"),
        ErrorRow(Outcome.REJECTED, "s", code="-1", markets=("usdm",)),
        ErrorRow(Outcome.REJECTED, "s", code="-1", operations=("get_quote",)),
        ErrorRow(Outcome.REJECTED, "s", code="-1", reads=True),
    ],
)
def test_a_row_matches_only_when_all_its_conditions_hold(row: ErrorRow) -> None:
    assert ErrorTable([row, LAST]).row_of(SIGNAL) is LAST


def test_a_table_without_an_answer_to_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="last row"):
        ErrorTable([ErrorRow(Outcome.REJECTED, "s", code="-1")])
    with pytest.raises(ValueError, match="last row"):
        ErrorTable([])


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_says_who_must_act(outcome: Outcome) -> None:
    expected = {
        Outcome.RETRYABLE: TryLater,
        Outcome.THROTTLED: TryLater,
        Outcome.MAINTENANCE: TryLater,
        Outcome.REJECTED: CallerMustAct,
        Outcome.DUPLICATE: CallerMustAct,
        Outcome.NOT_FOUND: CallerMustAct,
        Outcome.AUTH: OperatorMustAct,
        Outcome.CLOCK: OperatorMustAct,
        Outcome.UNKNOWN: OutcomeUnknown,
    }

    assert error_class(outcome) is expected[outcome]


@pytest.mark.parametrize(
    ("outcome", "status", "against"),
    [
        (Outcome.REJECTED, 400, False),
        (Outcome.AUTH, 401, False),
        (Outcome.CLOCK, 400, False),
        (Outcome.DUPLICATE, 400, False),
        (Outcome.NOT_FOUND, 400, False),
        (Outcome.THROTTLED, 429, False),
        (Outcome.THROTTLED, 503, True),
        (Outcome.RETRYABLE, None, True),
        (Outcome.MAINTENANCE, 503, True),
        (Outcome.UNKNOWN, 500, True),
    ],
)
def test_only_the_servers_own_trouble_counts_against_it(outcome: Outcome, status: int | None, against: bool) -> None:
    error = ExchangeError("x", "op", outcome, "text", http_status=status, retry_after_s=3.0)

    verdict = classify(error)

    assert verdict is not None
    assert (verdict.outcome, verdict.counts_against_server, verdict.retry_after_s) == (outcome, against, 3.0)


@pytest.mark.parametrize("error", [ValueError("bug"), KeyboardInterrupt(), LimitReached("wait")])
def test_what_is_no_answer_of_an_exchange_is_not_judged(error: BaseException) -> None:
    assert classify(error) is None
