"""Ask an exchange for one order."""

from __future__ import annotations

from typing import Final

from clients.exchanges.trading import OrderReport
from services.orders.domain import Cause, Order
from services.orders.engine.intake import ReportIntake
from services.orders.engine.outcomes import Failure, judge
from services.orders.venues import Venue

QUERY_DEADLINE_S: Final = 5.0


class Asking:
    """Every question has the priority of a recovery; what cannot be answered now is a Failure and never an error."""

    def __init__(self, intake: ReportIntake) -> None:
        self._intake = intake

    async def ask(
        self, venue: Venue, order: Order, *, client_order_id: str = "", exchange_order_id: str = ""
    ) -> OrderReport | Failure:
        """Return what the exchange says of the present leg, or of the one with another id."""
        instrument = await venue.instrument(order.symbol)
        # The exchange's id where it is known: a client id may have been used again by somebody else.
        exchange_order_id = exchange_order_id or ("" if client_order_id else order.exchange_order_id)
        try:
            return await venue.trading.query(
                instrument,
                client_order_id="" if exchange_order_id else client_order_id or order.venue_client_order_id,
                exchange_order_id=exchange_order_id,
                deadline_s=QUERY_DEADLINE_S,
            )
        except Exception as exc:  # noqa: BLE001  an answer that cannot be read is asked for again
            return judge(exc)

    async def look(self, venue: Venue, order: Order) -> Order | None:
        """Return the order after taking in what the exchange says of its present leg; None when it says nothing."""
        found = await self.ask(venue, order)
        return None if isinstance(found, Failure) else await self._intake.absorb(order.order_id, found, Cause.QUERY)
