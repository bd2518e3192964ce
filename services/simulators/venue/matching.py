"""The matching engine: orders of accounts against the simulated book. No I/O, no clock of its own.

Orders of accounts do not trade with each other; each sees the simulated book alone. A resting order fills when the price moves through
it, and now and then, in part, when it is the best price.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from random import Random
from typing import Final

from services.simulators.venue.admission import Admission, worst_price
from services.simulators.venue.clearing import Clearing
from services.simulators.venue.liquidity import Level, Liquidity
from services.simulators.venue.listing import Listing
from services.simulators.venue.orderbook import OrderBook
from services.simulators.venue.orders import (
    Event,
    EventKind,
    Fill,
    Lifetime,
    Order,
    OrderType,
    Reason,
    Refusal,
    Side,
    Status,
    Ticket,
)
from services.simulators.venue.prices import STEPS_MAX, PriceWalk
from services.simulators.venue.self_trade import PREVENTED, SelfTrades
from services.simulators.venue.tape import Tape
from services.simulators.venue.timers import Timers
from services.simulators.venue.triggers import Triggers

DEAD_MAN: Final = "dead-man timer"
TOUCH_CHANCE: Final = 0.15
"""Chance per step that somebody trades with an order at the best price."""


class MatchingEngine:
    """Places, amends, cancels and fills. Every change goes to `listener` as an Event, numbered without holes."""

    def __init__(
        self,
        listings: Iterable[Listing],
        *,
        walk: PriceWalk,
        liquidity: Liquidity,
        clearing: Clearing,
        step_ns: int,
        seed: int,
        listener: Callable[[Event], None],
        touch_chance: float = TOUCH_CHANCE,
        tape: Tape | None = None,
    ) -> None:
        self.listings: dict[tuple[str, str], Listing] = {(one.market, one.symbol): one for one in listings}
        self.book = OrderBook()
        self.walk = walk
        self.liquidity = liquidity
        self.clearing = clearing
        self.held = False
        """While set, resting orders do not fill; the venue keeps new requests in its queue."""
        self._step_ns = step_ns
        self._random = Random(f"{seed}:touch")
        self._touch_chance = touch_chance
        self._listener = listener
        self._tape = tape
        self._order_ids = 4_000_000
        self._trade_ids = 9_000_000
        self._ranks = itertools.count(1)
        self.self_trades = SelfTrades(
            self.book, lambda order, at_ns: self._end(order, Status.EXPIRED, at_ns, why=PREVENTED)
        )
        self.admission = Admission(self.book, clearing, self.self_trades, self.listings)
        self.triggers = Triggers(liquidity)
        self._events = 0
        self.timers = Timers()

    def place(self, ticket: Ticket, now_ns: int, *, tolerant: bool = False) -> Order:
        """Match an order and let the rest of it rest, or raise Refusal with nothing changed.

        With `tolerant` an order that would take against its will, or cannot fill at once, is accepted and ends immediately, with `why`.
        """
        self.advance(now_ns)
        if ticket.trigger is not None:
            return self._wait(ticket, now_ns)
        quantity = ticket.quantity
        if ticket.quote_quantity is not None:
            quantity = self.liquidity.quantity_for(ticket.listing, ticket.side, ticket.quote_quantity)
        levels = self._crossed(ticket.listing, ticket.side, ticket.price)
        refusal = self.admission.unmatchable(ticket, quantity, levels)
        if refusal is not None and not tolerant:
            raise Refusal(refusal)
        if (
            ticket.reduce_only
            and self.admission.reducible(ticket.account, ticket.listing, ticket.side, ticket.leg) <= 0
        ):
            raise Refusal(Reason.NOTHING_TO_REDUCE)
        if not ticket.reduce_only and refusal is None:
            price = worst_price(ticket, levels)
            self.admission.check_funds(ticket.account, ticket.listing, ticket.side, price, quantity, leg=ticket.leg)
        order = self._new_order(ticket, quantity, now_ns)
        self.book.add(order)
        self._emit(EventKind.NEW, order, now_ns)
        if refusal is not None:
            return self._end(order, Status.EXPIRED, now_ns, why=refusal.value)
        return self._begin(order, levels, now_ns)

    def reject(self, ticket: Ticket, now_ns: int, why: str) -> Order:
        """Note an order that was acknowledged before the engine looked at it, and ends without ever being open."""
        self.advance(now_ns)
        order = self._new_order(ticket, ticket.quantity, now_ns)
        self.book.add(order)
        return self._end(order, Status.EXPIRED, now_ns, why=why)

    def cancel(self, order: Order, now_ns: int, *, request_id: str = "", why: str = "canceled") -> Order:
        """Cancel an open order; raise Refusal when it is not open (any more)."""
        self.advance(now_ns)
        if not order.status.is_open:
            raise Refusal(Reason.NOT_OPEN)
        return self._end(order, Status.CANCELED, now_ns, request_id=request_id, why=why)

    def amend(
        self,
        order: Order,
        *,
        quantity: Decimal,
        price: Decimal | None,
        now_ns: int,
        keep_rank: bool = False,
        client_id: str | None = None,
    ) -> Order:
        """Set quantity and price; raise Refusal when it is not open or nothing would change.

        It loses its rank unless told otherwise. A quantity that is filled already, or a post-only order that would take, cancels it.
        """
        self.advance(now_ns)
        if not order.status.is_open:
            raise Refusal(Reason.NOT_OPEN)
        price = order.price if price is None else price
        if quantity == order.quantity and price == order.price and client_id in (None, order.client_id):
            raise Refusal(Reason.NO_CHANGE)
        levels = [] if order.waiting else self._crossed(order.listing, order.side, price)
        if quantity <= order.filled:
            return self._end(order, Status.CANCELED, now_ns, why="amended to what is filled")
        if order.post_only and levels and price != order.price:
            return self._end(order, Status.CANCELED, now_ns, why=Reason.WOULD_TAKE.value)
        if not order.reduce_only and price is not None:
            self.admission.check_funds(
                order.account,
                order.listing,
                order.side,
                price,
                quantity - order.filled,
                leg=order.leg,
                without=order.id,
            )
        order.quantity, order.price, order.updated_ns = quantity, price, now_ns
        order.amends += 1
        if client_id is not None and client_id != order.client_id:
            self.book.rename(order, client_id)
        if not keep_rank:
            order.rank = next(self._ranks)
        self._emit(EventKind.AMENDED, order, now_ns)
        if not order.waiting:
            self._take(order, levels, now_ns)
        return order

    def advance(self, now_ns: int) -> None:
        """Walk all steps that are due, filling resting orders at each."""
        due = self.walk.due(now_ns)
        if due > STEPS_MAX:
            self.walk.jump(due - STEPS_MAX)
            due = STEPS_MAX
        reaches = self._reaches() if due and not self.held else {}
        for left in range(due - 1, -1, -1):
            self.walk.take()
            step_ns = now_ns - left * self._step_ns
            if self._tape is not None:
                self._tape.note_step(step_ns)
            if self.timers:
                self._run_timers(step_ns)
            if self.triggers and not self.held:
                self._run_triggers(step_ns)
            for place, (highest_bid, lowest_ask) in reaches.items():
                if not self.liquidity.is_far(self.listings[place], highest_bid, lowest_ask):
                    self._match_resting(self.listings[place], step_ns)
        if self.timers:
            self._run_timers(now_ns)

    def fill_by_hand(self, order: Order, quantity: Decimal, price: Decimal | None, now_ns: int) -> Order:
        """Fill a resting order as a test says, whatever the book holds."""
        if not order.status.is_open or order.waiting:
            raise Refusal(Reason.NOT_OPEN)
        self._fill(order, price or order.price or Decimal(0), min(quantity, order.remaining), maker=True, now_ns=now_ns)
        return order

    def settle(self, ticket: Ticket, price: Decimal, now_ns: int) -> Order:
        """Fill an order of the exchange's own at its price, whatever the book holds."""
        order = self._new_order(ticket, ticket.quantity, now_ns)
        self.book.add(order)
        self._emit(EventKind.NEW, order, now_ns)
        self._fill(order, price, order.quantity, maker=False, now_ns=now_ns)
        return order

    def expire(self, order: Order, now_ns: int, *, why: str) -> Order:
        """End an open order as the exchange ends it by itself."""
        return self._end(order, Status.EXPIRED, now_ns, why=why)

    def snapshot(self, order: Order) -> Order:
        """Return a copy that later changes leave alone."""
        return copy.copy(order)

    def accepted(self, order: Order) -> Order:
        """Return a copy as it was when it was accepted, before anything matched: what a bare acknowledgement shows."""
        shown = copy.copy(order)
        shown.status, shown.filled, shown.value, shown.coin_value = Status.NEW, Decimal(0), Decimal(0), Decimal(0)
        shown.updated_ns = order.created_ns
        return shown

    # -- matching -------------------------------------------------------------------------------------------------

    def _crossed(self, listing: Listing, side: Side, price: Decimal | None) -> Sequence[Level]:
        levels = self.liquidity.book(listing).against(side)
        if price is None:
            return levels
        return [level for level in levels if (price - level.price) * side.sign >= 0]

    def _take(self, order: Order, levels: Sequence[Level], now_ns: int) -> None:
        for level in levels:
            self.self_trades.prevent(order, level.price, now_ns)
            quantity = min(order.remaining, level.quantity, self.admission.allowed(order))
            if quantity <= 0 or not order.status.is_open:
                break
            self.liquidity.take(order.listing, order.side, level.price, quantity)
            self._fill(order, level.price, quantity, maker=False, now_ns=now_ns)
        self.self_trades.prevent(order, order.price, now_ns)

    def _match_resting(self, listing: Listing, now_ns: int) -> None:
        resting = [one for one in self.book.open_at(listing.market, listing.symbol) if not one.waiting]
        resting.sort(key=lambda order: (-(order.price or Decimal(0)) * order.side.sign, order.rank))
        for order in resting:
            assert order.price is not None
            for level in self._crossed(listing, order.side, order.price):
                quantity = min(order.remaining, level.quantity, self.admission.allowed(order))
                if quantity > 0:
                    self.liquidity.take(listing, order.side, level.price, quantity)
                    self._fill(order, order.price, quantity, maker=True, now_ns=now_ns)
            if order.status.is_open and order.reduce_only and self.admission.allowed(order) <= 0:
                self._end(order, Status.EXPIRED, now_ns, why=Reason.NOTHING_TO_REDUCE.value)
            elif order.status.is_open:
                self._touch(order, now_ns)

    def _reaches(self) -> dict[tuple[str, str], tuple[float, float]]:
        """Return highest buy and lowest sell of each listing with open orders."""
        found = {}
        for place in self.book.places_with_orders():
            orders = [(order.side, float(order.price or 0)) for order in self.book.open_at(*place) if not order.waiting]
            found[place] = (
                max((price for side, price in orders if side is Side.BUY), default=0.0),
                min((price for side, price in orders if side is Side.SELL), default=math.inf),
            )
        return found

    def _touch(self, order: Order, now_ns: int) -> None:
        own_side = self.liquidity.book(order.listing).against(order.side.other)
        assert order.price is not None
        if not own_side or (order.price - own_side[0].price) * order.side.sign < 0:
            return
        if self._random.random() >= self._touch_chance:
            return
        share = Decimal(round(self._random.uniform(0.1, 1.2), 3))
        quantity = min(order.remaining, self.admission.allowed(order), order.listing.lots(order.quantity * share))
        if quantity > 0:
            self._fill(order, order.price, quantity, maker=True, now_ns=now_ns)

    def _fill(self, order: Order, price: Decimal, quantity: Decimal, *, maker: bool, now_ns: int) -> None:
        fee, fee_asset, realized = self.clearing.settle(order, price, quantity, maker=maker, now_ns=now_ns)
        self._trade_ids += 1
        order.filled += quantity
        order.value += price * quantity
        order.coin_value += quantity / price
        order.updated_ns = now_ns
        order.status = Status.PARTIALLY_FILLED if order.remaining else Status.FILLED
        fill = Fill(
            trade_id=self._trade_ids,
            order_id=order.id,
            account=order.account,
            client_id=order.client_id,
            market=order.listing.market,
            symbol=order.listing.symbol,
            side=order.side,
            price=price,
            quantity=quantity,
            fee=fee,
            fee_asset=fee_asset,
            maker=maker,
            realized=realized,
            time_ns=now_ns,
            leg=order.leg,
        )
        self.book.executed(fill)
        if self._tape is not None:
            buyer_is_maker = maker is (order.side is Side.BUY)
            self._tape.of(order.listing).add_fill(price, quantity, now_ns, buyer_is_maker=buyer_is_maker)
        if not order.status.is_open:
            self.book.close(order)
        self._emit(EventKind.TRADE, order, now_ns, fill=fill)

    def _end(self, order: Order, status: Status, now_ns: int, *, request_id: str = "", why: str = "") -> Order:
        order.status, order.updated_ns, order.why = status, now_ns, why
        self.book.close(order)
        kind = EventKind.EXPIRED if status is Status.EXPIRED else EventKind.CANCELED
        self._emit(kind, order, now_ns, request_id=request_id)
        return order

    # -- waiting for a price --------------------------------------------------------------------------------------

    def _wait(self, ticket: Ticket, now_ns: int) -> Order:
        """Keep an order out of the book until its trigger is reached; one that is reached already is refused."""
        assert ticket.trigger is not None
        if self.triggers.is_reached(ticket.listing, ticket.trigger):
            raise Refusal(Reason.TRIGGERED_AT_ONCE)
        self.admission.check_waiting(ticket)
        order = self._new_order(ticket, ticket.quantity, now_ns)
        order.waiting = True
        self.book.add(order)
        self.triggers.add(order)
        self._emit(EventKind.NEW, order, now_ns)
        return order

    def _run_triggers(self, now_ns: int) -> None:
        for order in self.triggers.reached():
            order.waiting, order.rank = False, next(self._ranks)
            order.triggered_ns = order.updated_ns = now_ns
            self._emit(EventKind.TRIGGERED, order, now_ns)
            levels = self._crossed(order.listing, order.side, order.price)
            refusal = self.admission.late_refusal(order, levels)
            if refusal is not None:
                self._end(order, Status.EXPIRED, now_ns, why=refusal.value)
            else:
                self._begin(order, levels, now_ns)

    def _begin(self, order: Order, levels: Sequence[Level], now_ns: int) -> Order:
        """Match an order that has come to the book; what is left rests, or ends where it may not."""
        self._take(order, levels, now_ns)
        if order.status.is_open and (order.type is OrderType.MARKET or order.lifetime is not Lifetime.GTC):
            self._end(order, Status.EXPIRED, now_ns, why="nothing more to trade with")
        return order

    def _run_timers(self, now_ns: int) -> None:
        for key in self.timers.run_out(now_ns):
            for order in self.book.open_of(*key):
                self._end(order, Status.CANCELED, now_ns, why=DEAD_MAN)

    # -- bookkeeping ----------------------------------------------------------------------------------------------

    def _new_order(self, ticket: Ticket, quantity: Decimal, now_ns: int) -> Order:
        self._order_ids += 1
        return Order(
            id=self._order_ids,
            listing=ticket.listing,
            account=ticket.account,
            client_id=ticket.client_id,
            side=ticket.side,
            type=ticket.type,
            quantity=quantity,
            price=ticket.price,
            lifetime=ticket.lifetime,
            post_only=ticket.post_only,
            reduce_only=ticket.reduce_only,
            created_ns=now_ns,
            updated_ns=now_ns,
            rank=next(self._ranks),
            marks=dict(ticket.marks),
            leg=ticket.leg,
            self_trade=ticket.self_trade,
            trigger=ticket.trigger,
        )

    def _emit(
        self, kind: EventKind, order: Order, now_ns: int, *, fill: Fill | None = None, request_id: str = ""
    ) -> None:
        self._events += 1
        self._listener(Event(self._events, kind, now_ns, self.snapshot(order), fill, request_id))
