"""Let an operator end what nothing here can find out: an order of which no exchange says whether it exists."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from clients.exchanges.names import closure
from clients.exchanges.trading import OrderReport
from services.orders.domain import Body, Cause, Order, OrderState
from services.orders.domain.events import Settled
from services.orders.domain.statements import mismatch
from services.orders.engine.changing import Changer
from services.orders.engine.commands import Caller, SettleCommand
from services.orders.engine.intake import ReportIntake
from services.orders.engine.outcomes import Failure, Fate
from services.orders.engine.placing import Placer
from services.orders.errors import Reason, denied
from services.orders.journal.ledger import OrderLedger
from services.orders.journal.store import JournalUnavailable
from services.orders.ports import Ports
from services.orders.reconciliation.asking import Asking
from services.orders.venues import Venue, Venues
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SettledOrder:
    """The order, and whether it was settled so before."""

    order: Order
    already: bool = False


class Settler:
    """Believes an operator only where the exchange itself says nothing, and only once nothing of the order can go out any more.

    An exchange that is not in use (any more) says nothing ever: what is open there is settled as well.
    """

    def __init__(
        self,
        ledger: OrderLedger,
        venues: Venues,
        intake: ReportIntake,
        changer: Changer,
        placer: Placer,
        asking: Asking,
        ports: Ports,
    ) -> None:
        self._ledger = ledger
        self._venues = venues
        self._intake = intake
        self._changer = changer
        self._placer = placer
        self._asking = asking
        self._ports = ports

    async def settle(self, command: SettleCommand, caller: Caller) -> SettledOrder:
        """Take an operator's word that an order is not at its exchange, or under which id it is there."""
        order = await self._changer.visible(command.order_id, caller)
        if order.state.terminal and order.settled and not command.exchange_order_id:
            return SettledOrder(order, already=True)
        venue = self._venues.get(order.exchange)
        if venue is None:
            return await self._settle_unasked(order, command, caller)
        _check_unknown(order)
        await self._check_nothing_leaves(venue, order)
        if command.exchange_order_id:
            return await self._settle_there(venue, order, command, caller)
        found = await self._ask(venue, order)
        note = ""
        if not isinstance(found, Failure):
            after = await self._intake.absorb(order.order_id, found, Cause.QUERY)
            raise denied(
                Reason.ORDER_KNOWN, f"{order.exchange} has it after all: it is {after.state}; nothing was settled"
            )
        if found.fate is not Fate.MISSING:
            note = f"{order.exchange} could not be asked: {found.text}"
        return await self._settle_not_there(order, command, caller, note)

    async def _settle_unasked(self, order: Order, command: SettleCommand, caller: Caller) -> SettledOrder:
        """Take the word about an order at an exchange that is not in use here: there is nobody to ask."""
        if order.state.terminal:
            _check_unknown(order)
        if command.exchange_order_id:
            self._venues.named(order.exchange)
        await self._check_nothing_leaves(None, order)
        note = f"{closure(order.exchange) or f'{order.exchange} is not in use here'}, and was not asked"
        return await self._settle_not_there(order, command, caller, note)

    async def _settle_not_there(self, order: Order, command: SettleCommand, caller: Caller, note: str) -> SettledOrder:
        note = f"; {note}" if note else ""
        text = f"{caller.name} has looked, and it is not at {order.exchange}: {command.reason}{note}"[:500]
        return SettledOrder(await self._journal(order, Settled(text, evidence=command.evidence), caller))

    async def _settle_there(self, venue: Venue, order: Order, command: SettleCommand, caller: Caller) -> SettledOrder:
        name = command.exchange_order_id
        other = await self._ledger.by_venue_ids(order.exchange, order.market, "", name)
        if other is not None and other.order_id != order.order_id:
            raise denied(Reason.ORDER_KNOWN, f"{name} at {order.exchange} is order {other.order_id} already")
        found = await self._asking.ask(venue, order, exchange_order_id=name)
        if isinstance(found, Failure):
            raise denied(
                Reason.ORDER_UNKNOWN, f"{order.exchange} does not show {name}: {found.text}; nothing was settled"
            )
        problem = _not_this(order, found)
        if problem:
            raise denied(Reason.BAD_FIELD, f"names another order: {problem}", field="exchange_order_id")
        text = f"{caller.name} has found it at {order.exchange} as {name}: {command.reason}"[:500]
        await self._journal(order, Settled(text, name, command.evidence), caller)
        return SettledOrder(await self._intake.absorb(order.order_id, found, Cause.OPERATOR))

    async def _journal(self, order: Order, body: Settled, caller: Caller) -> Order:
        def decide(now: Order) -> Body | None:
            return body if now.state is order.state and not now.sending and now.attempts == order.attempts else None

        try:
            after = await self._ledger.change(order.order_id, decide, Cause.OPERATOR, actor=caller.name, must=False)
        except JournalUnavailable as exc:
            raise denied(Reason.JOURNAL, f"nothing was settled: {exc}") from exc
        if after.settled != body.text:
            raise denied(Reason.ORDER_KNOWN, f"the order became {after.state} meanwhile; nothing was settled")
        logger.warning(
            "order settled",
            extra=fields(order=order.order_id, actor=caller.name, text=body.text, evidence=body.evidence),
        )
        return after

    async def _ask(self, venue: Venue, order: Order) -> OrderReport | Failure:
        replacement = order.replacement
        if replacement is not None and order.between_legs:
            return await self._asking.ask(venue, order, client_order_id=replacement.venue_client_order_id)
        return await self._asking.ask(venue, order)

    async def _check_nothing_leaves(self, venue: Venue | None, order: Order) -> None:
        """Deny while a request may still be on its way: then "not there" is not known by anybody."""
        if self._placer.is_sending(order.order_id) or order.sending:
            raise denied(Reason.ORDER_BUSY, "the order is being sent; wait for the outcome")
        until_ns = order.replacement.until_ns if order.replacement is not None else order.send_until_ns
        bound = venue.trading.capabilities(await venue.instrument(order.symbol)).arrival if venue is not None else None
        if bound is not None:
            until_ns += round((bound.receive_window_s + bound.processing_s) * 1e9)
        left_s = (until_ns - self._ports.wall_ns()) / 1e9
        if left_s > 0:
            raise denied(
                Reason.ORDER_BUSY, f"the order may still be sent or arrive; look again and settle it in {left_s:.0f} s"
            )


def _check_unknown(order: Order) -> None:
    if order.state is OrderState.UNKNOWN:
        return
    reason = Reason.ORDER_CLOSED if order.state.terminal else Reason.ORDER_KNOWN
    raise denied(reason, f"the order is {order.state}: only what is UNKNOWN can be settled")


def _not_this(order: Order, found: OrderReport) -> str:
    names = {order.venue_client_order_id}
    if order.replacement is not None:
        names.add(order.replacement.venue_client_order_id)
    if found.client_order_id and found.client_order_id not in names:
        return f"its client id is {found.client_order_id}, this one's is {order.venue_client_order_id}"
    return mismatch(order, found)
