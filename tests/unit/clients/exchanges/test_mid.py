"""The price between two sides."""

from __future__ import annotations

from decimal import Decimal

import pytest

from clients.exchanges.model import mid_of


@pytest.mark.parametrize(
    ("bid", "ask", "text"),
    [
        ("50000.00", "50000.50", "50000.250"),
        ("100.1", "100.2", "100.15"),
        ("1", "1", "1.0"),
        ("3.9E-8", "4.1E-8", "4.00E-8"),
    ],
)
def test_the_mid_is_exact_and_written_with_one_digit_more_than_its_sides(bid: str, ask: str, text: str) -> None:
    assert str(mid_of(Decimal(bid), Decimal(ask))) == text
