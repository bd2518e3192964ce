"""The facts in which exchanges differ and on which the safety of orders rests: two real ones, and a third that is like neither."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from clients.exchanges.trading import ArrivalBound, DeadManScope


@dataclass(frozen=True)
class ExchangeRules:
    """What a scripted exchange keeps to, and states in its capabilities."""

    exchange: str
    arrival: ArrivalBound | None
    dead_man: DeadManScope
    ids_for_ever: bool
    """Whether a client id is never taken twice, and not only among open orders."""
    amend_up: bool = True

    @property
    def window_s(self) -> float:
        """How late a request may arrive; for ever where that is not bounded."""
        return self.arrival.receive_window_s if self.arrival is not None else float("inf")

    @property
    def proof_s(self) -> float:
        """How long after a request was sent "no such order" proves nothing."""
        return self.window_s + self.arrival.processing_s if self.arrival is not None else float("inf")


BINANCE: Final = ExchangeRules("binance", ArrivalBound(5.0, 10.0), DeadManScope.SYMBOL, ids_for_ever=False)
BITMEX: Final = ExchangeRules("bitmex", None, DeadManScope.ACCOUNT, ids_for_ever=True)
TOY: Final = ExchangeRules("toy", ArrivalBound(30.0, 15.0), DeadManScope.ACCOUNT, ids_for_ever=False)
"""One timer for the whole account as at BitMEX, late requests dropped as at Binance, and much more patient with both."""
BOUNDED: Final = (BINANCE, TOY)
"""Exchanges where "no such order" can become proof."""
