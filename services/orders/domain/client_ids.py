"""Client ids that exchanges know our orders by. Each holds the id of its order, so that any statement leads back to it.

An order that the exchange can only amend by replacing it has several orders there, one after the other; each has an id of its own.
"""

from __future__ import annotations

import re
from string import ascii_letters, digits
from typing import Final

PREFIX: Final = "ms-"
"""Ours at the exchange; with the order id it makes 35 of the 36 characters that exchanges take."""
_DIGITS: Final = digits + ascii_letters
REPLACEMENTS_MAX: Final = len(_DIGITS) ** 2 - 1
"""What two characters in the place of the hyphen can count."""

_ID: Final = re.compile(r"ms(?:-|[0-9A-Za-z]{2})([0-9a-f]{32})", re.ASCII)


def client_id(order_id: str, number: int = 0) -> str:
    """Return the client id of an order, or of the order that replaces it for the `number`-th time."""
    if number == 0:
        return PREFIX + order_id
    if not 0 < number <= REPLACEMENTS_MAX:
        raise ValueError(f"an order cannot be replaced {number} times")
    high, low = divmod(number, len(_DIGITS))
    return f"ms{_DIGITS[high]}{_DIGITS[low]}{order_id}"


def order_id_of(client_order_id: str) -> str:
    """Return the id of the order that a client id was made for; empty when it is none of ours."""
    found = _ID.fullmatch(client_order_id)
    return found[1] if found is not None else ""
