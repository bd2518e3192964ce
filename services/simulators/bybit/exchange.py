"""The simulated Bybit below its routes: instruments, accounts and their switches, orders by their ids, what is seen of them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any, Final
from uuid import UUID

from services.simulators.bybit.errors import BybitError, parameter
from services.simulators.bybit.funding import DELIVERY, EXECUTION_TYPE, Funding
from services.simulators.bybit.limits import BybitLimits, LimitOptions
from services.simulators.bybit.listings import INDEX, MARK, PURSE, SPOT, Terms, bybit_listings, priced
from services.simulators.bybit.marks import CREATE_TYPE, TRADE_TYPE
from services.simulators.bybit.price_limits import price_limits
from services.simulators.bybit.sightings import Execution, RowDelays, Sightings
from services.simulators.venue.clearing import Account, demo_account
from services.simulators.venue.exchange import SimulatedVenue, VenueOptions
from services.simulators.venue.faults import Rule
from services.simulators.venue.forced import DELEVERAGING, LIQUIDATION, OwnName
from services.simulators.venue.listing import Listing, Payout
from services.simulators.venue.orderbook import ORDERS_MAX, make_room
from services.simulators.venue.orders import Event, Leg, Order

DEMO_ACCOUNT: Final = demo_account("bybit")
DEPOSITS: Final[Mapping[tuple[str, str], Decimal]] = {
    (PURSE, asset): Decimal(amount)
    for asset, amount in (("USDT", 1_000_000), ("USDC", 1_000_000), ("BTC", 20), ("ETH", 300), ("SOL", 5_000))
}
LINK_IDS_MAX: Final = 1_000_000
"""Ids of clients that stay taken: for ever, as far as any test can see."""
DELIVERY_IDS: Final = "delivery "
"""How the client's ids of the exchange's own closing orders begin: no client may send a blank."""
CREATED: Final[Mapping[str, Mapping[str, str]]] = {
    LIQUIDATION: {CREATE_TYPE: "CreateByLiq", TRADE_TYPE: "BustTrade"},
    DELEVERAGING: {CREATE_TYPE: "CreateByAdl_PassThrough", TRADE_TYPE: "AdlTrade"},
}
"""Marks of the orders with which the exchange closes a position; what it delivers has an execution and no order."""
POSITION_INDEX: Final = {Leg.BOTH: "0", Leg.LONG: "1", Leg.SHORT: "2"}
INCIDENTS_MAX: Final = 20


@dataclass
class Switches:
    """What an account has set for itself."""

    hedge: set[str] = field(default_factory=set)
    """Symbols of perpetuals whose buys and sells are kept apart."""
    hedge_all: bool = False
    spot_adjusts: bool = False
    """Whether a price beyond the limit is moved on spot; refused otherwise."""
    margin_mode: str = "REGULAR_MARGIN"
    futures_reject: bool = False
    """Whether a price beyond the limit is refused on futures; moved otherwise, without a word."""


class BybitExchange(SimulatedVenue):
    """What routes and streams stand on."""

    def __init__(
        self,
        *,
        options: VenueOptions,
        limits: LimitOptions,
        delays: RowDelays,
        accounts: Iterable[Account],
        faults: Iterable[Rule],
        wall_ns: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        listed = bybit_listings(wall_ns())
        self.listings: dict[tuple[str, str], Listing] = {place: listing for place, (listing, _) in listed.items()}
        """What is traded, by category and symbol."""
        self.closed: dict[tuple[str, str], Listing] = {}
        """What was delivered."""
        self._terms = {place: terms for place, (_, terms) in listed.items()}
        super().__init__(
            self.listings.values(),
            accounts=accounts,
            deposits=DEPOSITS,
            options=options,
            faults=faults,
            wall_ns=wall_ns,
            sleep=sleep,
        )
        for listing in self.listings.values():
            self._tape_prices(listing)
        self.limits = BybitLimits(limits)
        self.sightings = Sightings(delays, random=Random(f"{options.seed}:rows"), show=self._seen)
        self._funding = Funding(self.clearing, self.liquidity, self.engine.listings)
        self.incidents: list[dict[str, Any]] = []
        """Rows of `system/status`, newest first."""
        self._switches: dict[str, Switches] = {}
        self._orders: dict[tuple[str, str], Order] = {}
        self._linked: dict[tuple[str, str], Order] = {}
        self._taken: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._spot_ids = 1_900_000_000_000_000_000
        self._releasing: asyncio.Task[None] | None = None
        self._fresh: dict[int, Execution] = {}

    # -- instruments and accounts ---------------------------------------------------------------------------------

    def listing(self, category: str, symbol: str | None) -> Listing:
        """Return one listing, closed ones too; raise 10001 when there is none."""
        place = (category, symbol or "")
        found = self.listings.get(place) or self.closed.get(place)
        if found is None:
            raise parameter("params error: symbol invalid" if symbol else "params error: Missing symbol")
        return found

    def own_order(self, listing: Listing, why: str, number: int, leg: Leg) -> OwnName:
        marks = {"orderId": self.made_uuid(), "positionIdx": POSITION_INDEX[leg]}
        if why in CREATED:
            return OwnName(marks={**marks, **CREATED[why]})
        return OwnName(f"{DELIVERY_IDS}{number}", marks | {EXECUTION_TYPE: DELIVERY, CREATE_TYPE: "CreateBySettle"})

    def roll_over(self, listing: Listing, now_ns: int) -> None:
        """Take a contract that was delivered off the list, and put what is listed then on it."""
        self.closed[listing.market, listing.symbol] = self.listings.pop((listing.market, listing.symbol))
        for place, (fresh, terms) in bybit_listings(now_ns).items():
            if place not in self.engine.listings:
                self.engine.listings[place] = self.listings[place] = fresh
                self._terms[place] = terms
                self.tape.add(fresh)
                self._tape_prices(fresh)

    def _tape_prices(self, listing: Listing) -> None:
        if listing.market != SPOT:
            self.tape.add(priced(listing, MARK))
            self.tape.add(priced(listing, INDEX))

    def terms(self, listing: Listing) -> Terms:
        """Return what instruments say of a listing."""
        return self._terms[listing.market, listing.symbol]

    def price_limits(self, listing: Listing) -> tuple[Decimal, Decimal]:
        """Return the highest price of a buy and the lowest of a sell."""
        return price_limits(listing, self.terms(listing), self.walk, self.liquidity)

    def account(self, api_key: str) -> Account:
        """Return the account behind a key; raise 10003 when there is none."""
        account = self.clearing.by_key(api_key)
        if account is None:
            raise BybitError(10003, "API key is invalid.")
        return account

    def switches(self, account: str) -> Switches:
        """Return what an account has set."""
        return self._switches.setdefault(account, Switches())

    def is_hedged(self, account: str, listing: Listing) -> bool:
        """Whether an account keeps buys and sells of a listing apart: perpetuals in USDT alone still offer it."""
        if listing.payout is not Payout.LINEAR or listing.settle != "USDT" or listing.expiry_ns is not None:
            return False
        switches = self.switches(account)
        return switches.hedge_all or listing.symbol in switches.hedge

    # -- orders by their ids --------------------------------------------------------------------------------------

    def new_order_id(self, listing: Listing) -> str:
        """Return an id as the exchange makes them: a number on spot, a UUID elsewhere."""
        if listing.market == SPOT:
            self._spot_ids += 1 + self.random.randrange(1000)
            return str(self._spot_ids)
        return self.made_uuid()

    def made_uuid(self) -> str:
        """Return a seeded UUID."""
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def take_link_id(self, account: str, listing: Listing, link_id: str) -> None:
        """Take a client's id for ever; raise the code of the category when it was taken before."""
        if (account, link_id) in self._taken:
            if listing.market == SPOT:
                raise BybitError(170141, "Duplicate clientOrderId")
            raise BybitError(110072, "OrderLinkedID is duplicate")
        self._taken[account, link_id] = None
        if len(self._taken) > LINK_IDS_MAX:
            self._taken.popitem(last=False)

    def give_back_link_id(self, account: str, link_id: str) -> None:
        """Let a client's id be used again: its order was refused at the door."""
        self._taken.pop((account, link_id), None)

    def remember(self, order: Order) -> None:
        """Keep an order findable."""
        self._orders[order.account, order.marks["orderId"]] = order
        if order.client_id:
            self._linked[order.account, order.client_id] = order
        make_room(self._orders)
        make_room(self._linked)

    def find_order(self, account: str, order_id: str | None, link_id: str | None) -> Order | None:
        """Return an order by the exchange's id, which wins, or the client's."""
        if order_id is not None:
            return self._orders.get((account, order_id))
        return self._linked.get((account, link_id or ""))

    # -- what is seen ---------------------------------------------------------------------------------------------

    def advance(self) -> None:
        super().advance()
        now_ns = self.wall_ns()
        for payment in self._funding.due(now_ns):
            self.sightings.note(payment, now_ns, mark=self.liquidity.mark(payment.order.listing))
        self.see(now_ns)

    def _on_event(self, event: Event) -> None:
        order, fill = event.order, event.fill
        closed = Decimal(0)
        if fill is not None and order.listing.payout is not Payout.SPOT:
            after = self.clearing.holdings[order.account].position(order.listing, order.leg).quantity * order.side.sign
            closed = max(Decimal(0), min(fill.quantity, fill.quantity - after))
        now_ns = self.wall_ns()
        self.sightings.note(event, now_ns, closed=closed, mark=self.liquidity.mark(order.listing))
        self.see(now_ns)

    def see(self, now_ns: int) -> None:
        """Let rows be seen that are due, and mind those that are not."""
        self.sightings.settle(now_ns)
        if self.sightings.next_due_ns() is not None and (self._releasing is None or self._releasing.done()):
            self._releasing = asyncio.create_task(self._release())
            self._keep(self._releasing)

    async def _release(self) -> None:
        while (due_ns := self.sightings.next_due_ns()) is not None:
            await self._sleep(max(0, due_ns - self.wall_ns()) / 1e9)
            self.sightings.settle(self.wall_ns())

    def _seen(self, event: Event, execution: Execution | None) -> None:
        if execution is not None:
            self._fresh[event.number] = execution
            if len(self._fresh) > ORDERS_MAX:
                self._fresh.pop(next(iter(self._fresh)))
        # From here on the plan has its say: what a stream loses, queries have all the same.
        super()._on_event(event)

    def execution_of(self, event: Event) -> Execution | None:
        """Return the fill of an event that goes out now."""
        return self._fresh.get(event.number)
