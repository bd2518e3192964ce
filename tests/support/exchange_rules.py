"""The facts in which exchanges differ and on which the safety of orders rests: the real ones, and one that is like none of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from clients.exchanges.model import Instrument, InstrumentKind
from clients.exchanges.trading import AmendWay, ArrivalBound, Capabilities, DeadManScope, TimeInForce


@dataclass(frozen=True)
class ExchangeRules:
    """What a scripted exchange keeps to, and states in its capabilities."""

    exchange: str
    arrival: ArrivalBound | None
    dead_man: DeadManScope | None
    ids_for_ever: bool
    """Whether a client id is never taken twice, and not only among open orders."""
    amend_spot: AmendWay
    """How a spot order gets another price, or more quantity."""
    amend_spot_down: AmendWay
    amend_derivative: AmendWay

    @property
    def window_s(self) -> float:
        """How late a request may arrive; for ever where that is not bounded."""
        return self.arrival.receive_window_s if self.arrival is not None else float("inf")

    @property
    def proof_s(self) -> float:
        """How long after a request was sent "no such order" proves nothing."""
        return self.window_s + self.arrival.processing_s if self.arrival is not None else float("inf")

    def covered(self, instrument: Instrument) -> tuple[str, str]:
        """Return what shares a dead-man timer with an instrument: market and symbol, empty where all of them do."""
        assert self.dead_man is not None, f"{self.exchange} has no such timer"
        return {
            DeadManScope.SYMBOL: (instrument.market, instrument.symbol),
            DeadManScope.MARKET: (instrument.market, ""),
            DeadManScope.ACCOUNT: ("", ""),
        }[self.dead_man]

    def capabilities(self, instrument: Instrument) -> Capabilities:
        """State these facts as an exchange's client does; an account's timer covers spot as well."""
        derivative = instrument.kind is not InstrumentKind.SPOT
        timed = derivative or self.dead_man is DeadManScope.ACCOUNT
        return Capabilities(
            time_in_force=frozenset(TimeInForce),
            post_only=True,
            reduce_only=derivative,
            amend_price=self.amend_derivative if derivative else self.amend_spot,
            amend_quantity_up=self.amend_derivative if derivative else self.amend_spot,
            amend_quantity_down=self.amend_derivative if derivative else self.amend_spot_down,
            dead_man=self.dead_man if timed else None,
            arrival=self.arrival,
        )


BINANCE: Final = ExchangeRules(
    "binance",
    ArrivalBound(5.0, 10.0),
    DeadManScope.SYMBOL,
    ids_for_ever=False,
    amend_spot=AmendWay.REPLACES,
    amend_spot_down=AmendWay.KEEPS_PLACE,
    amend_derivative=AmendWay.LOSES_PLACE,
)
BITMEX: Final = ExchangeRules(
    "bitmex",
    None,
    DeadManScope.ACCOUNT,
    ids_for_ever=True,
    amend_spot=AmendWay.IN_PLACE,
    amend_spot_down=AmendWay.IN_PLACE,
    amend_derivative=AmendWay.IN_PLACE,
)
BYBIT: Final = ExchangeRules(
    "bybit",
    ArrivalBound(5.0, 10.0),
    None,
    ids_for_ever=True,
    amend_spot=AmendWay.IN_PLACE,
    amend_spot_down=AmendWay.IN_PLACE,
    amend_derivative=AmendWay.IN_PLACE,
)
TOY: Final = ExchangeRules(
    "toy",
    ArrivalBound(30.0, 15.0),
    DeadManScope.ACCOUNT,
    ids_for_ever=False,
    amend_spot=AmendWay.LOSES_PLACE,
    amend_spot_down=AmendWay.LOSES_PLACE,
    amend_derivative=AmendWay.REPLACES,
)
"""One timer for the whole account as at BitMEX, late requests dropped as at Binance, and much more patient with both; it amends spot
in its place and replaces derivatives, where Binance does the opposite."""
BOUNDED: Final = (BINANCE, BYBIT, TOY)
"""Exchanges where "no such order" can become proof."""
TIMED: Final = (BINANCE, TOY)
"""Exchanges of those that have a dead-man timer."""
