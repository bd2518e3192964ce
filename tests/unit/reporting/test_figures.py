"""Sums, averages and performance, against decimals worked out one deal at a time."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reporting.engine.figures import Figures, Side, Sums, from_e4, from_e10, plain, quotient, total

Deal = tuple[bool, int, int]
"""Sells, price and quantity times 10^4."""

DEALS = st.lists(
    st.tuples(st.booleans(), st.integers(-(10**10), 10**10), st.integers(1, 10**10)), min_size=1, max_size=30
)


def sums_of(deals: list[Deal]) -> Sums:
    result = Sums()
    for sells, price, quantity in deals:
        side = Side.of(1, quantity, price * quantity, 60)
        result += Sums(sold=side) if sells else Sums(bought=side)
    return result


def test_selling_above_the_reference_wins() -> None:
    figures = Figures.of(sums_of([(True, 102_000, 30_000)]), 98_000)

    assert figures.performance_per_mwh == Decimal("0.4")
    assert figures.performance == Decimal("1.2")


def test_selling_below_the_reference_loses() -> None:
    figures = Figures.of(sums_of([(True, 57_000, 10_000)]), 89_000)

    assert figures.performance_per_mwh == Decimal("-3.2")


def test_buying_below_the_reference_wins() -> None:
    figures = Figures.of(sums_of([(False, 57_000, 10_000)]), 89_000)

    assert figures.performance_per_mwh == Decimal("3.2")


def test_a_mixed_row_is_not_average_minus_reference() -> None:
    figures = Figures.of(sums_of([(True, 120_000, 10_000), (False, 80_000, 10_000)]), 100_000)

    assert figures.mixed
    assert figures.average == Decimal(10)
    assert figures.performance_per_mwh == Decimal(2)


def test_without_a_reference_there_is_no_performance() -> None:
    figures = Figures.of(sums_of([(True, 120_000, 10_000)]), None)

    assert figures.performance is None
    assert figures.performance_per_mwh is None
    assert figures.unpriced_deals == 1


def test_without_deals_there_are_no_figures() -> None:
    figures = Figures.of(Sums(), 10_000)

    assert (figures.average, figures.performance, figures.performance_per_mwh) == (None, None, None)


@pytest.mark.quick
@given(DEALS, st.integers(-(10**9), 10**9))
def test_figures_equal_the_formula_deal_by_deal(deals: list[Deal], reference: int) -> None:
    figures = Figures.of(sums_of(deals), reference)

    ref = Decimal(reference).scaleb(-4)
    quantity = sum(Decimal(q).scaleb(-4) for _, _, q in deals)
    euro = sum((1 if sells else -1) * Decimal(q).scaleb(-4) * (Decimal(p).scaleb(-4) - ref) for sells, p, q in deals)
    value = sum(Decimal(q).scaleb(-4) * Decimal(p).scaleb(-4) for _, p, q in deals)
    assert figures.performance == euro
    assert figures.performance_per_mwh is not None
    assert abs(Fraction(figures.performance_per_mwh) - Fraction(euro) / Fraction(quantity)) <= Fraction(1, 2 * 10**8)
    assert figures.average is not None
    assert abs(Fraction(figures.average) - Fraction(value) / Fraction(quantity)) <= Fraction(1, 2 * 10**8)


@given(st.lists(DEALS, max_size=5), st.integers(-(10**9), 10**9))
def test_a_total_is_the_figures_of_all_deals(parts: list[list[Deal]], reference: int) -> None:
    together = total(Figures.of(sums_of(part), reference) for part in parts)

    assert together == (
        Figures.of(sums_of([deal for part in parts for deal in part]), reference) if parts else Figures()
    )


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [
        (1, 3, "0.33333333"),
        (2, 3, "0.66666667"),
        (-1, 3, "-0.33333333"),
        (1, 2 * 10**8, "0"),
        (3, 2 * 10**8, "0.00000002"),
    ],
    ids=["third", "two-thirds", "negative", "half-to-even-down", "half-to-even-up"],
)
def test_a_quotient_is_rounded_once_half_to_even(numerator: int, denominator: int, expected: str) -> None:
    result = quotient(numerator, denominator)

    assert result is not None
    assert plain(result) == expected


def test_numbers_are_spelled_plainly() -> None:
    assert [plain(from_e4(number)) for number in (0, 1, 10_000, -5_000, 123_400_000)] == [
        "0", "0.0001", "1", "-0.5", "12340",
    ]  # fmt: skip
    assert plain(from_e10(-1)) == "-0.0000000001"
