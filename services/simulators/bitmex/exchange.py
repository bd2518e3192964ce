"""The simulated BitMEX below its routes: instruments, accounts, limits, orders by their ids, executions."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from services.simulators.bitmex.errors import BitmexError
from services.simulators.bitmex.limits import BitmexLimits, LimitOptions
from services.simulators.bitmex.listings import MARKET, bitmex_listings
from services.simulators.venue.clearing import Account, demo_account
from services.simulators.venue.exchange import SimulatedVenue, VenueOptions
from services.simulators.venue.faults import Rule
from services.simulators.venue.forced import DELEVERAGING, LIQUIDATION, OwnName
from services.simulators.venue.listing import Listing
from services.simulators.venue.orderbook import make_room
from services.simulators.venue.orders import Leg, Order

DEMO_ACCOUNT: Final = demo_account("bitmex")
DEPOSITS: Final[Mapping[tuple[str, str], Decimal]] = {
    (MARKET, asset): Decimal(amount)
    for asset, amount in (("BTC", 20), ("USDT", 1_000_000), ("ETH", 300), ("SOL", 5_000))
}
CLOSED_BY: Final = {LIQUIDATION: "Liquidation", DELEVERAGING: "Deleverage"}
"""What `text` of the order says with which the exchange closes a position."""
EXECUTIONS_MAX: Final = 200_000


class BitmexExchange(SimulatedVenue):
    """What routes and streams stand on."""

    def __init__(
        self,
        *,
        options: VenueOptions,
        limits: LimitOptions,
        accounts: Iterable[Account],
        faults: Iterable[Rule],
        wall_ns: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        listed = bitmex_listings(wall_ns())
        self.listings: dict[str, Listing] = {name: listing for name, (listing, _) in listed.items()}
        """What is traded, by symbol."""
        self.closed: dict[str, Listing] = {}
        """What was settled."""
        self.terms = {name: terms for name, (_, terms) in listed.items()}
        super().__init__(
            self.listings.values(),
            accounts=accounts,
            deposits=DEPOSITS,
            options=options,
            faults=faults,
            wall_ns=wall_ns,
            sleep=sleep,
        )
        self.limits = BitmexLimits(limits)
        self._client_ids: dict[tuple[str, str], Order] = {}
        self._order_ids: dict[tuple[str, str], Order] = {}
        self._executions: deque[tuple[str, dict[str, Any]]] = deque(maxlen=EXECUTIONS_MAX)

    def listed(self, symbol: str) -> Listing:
        """Return a listing, closed ones too."""
        return self.closed[symbol] if symbol in self.closed else self.listings[symbol]

    def own_order(self, listing: Listing, why: str, number: int, leg: Leg) -> OwnName:
        return OwnName(marks={"orderID": self.made_uuid(), "text": CLOSED_BY.get(why, "Settlement")})

    def roll_over(self, listing: Listing, now_ns: int) -> None:
        self.closed[listing.symbol] = self.listings.pop(listing.symbol)
        for name, (fresh, terms) in bitmex_listings(now_ns).items():
            if (MARKET, name) not in self.engine.listings:
                self.engine.listings[MARKET, name] = self.listings[name] = fresh
                self.terms[name] = terms
                self.tape.add(fresh)

    def made_uuid(self) -> str:
        """Return a seeded UUID."""
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def account(self, api_key: str) -> Account:
        """Return the account behind a key; raise 401 when there is none."""
        account = self.clearing.by_key(api_key)
        if account is None:
            raise BitmexError(401, "Invalid API Key.")
        return account

    def remember(self, order: Order) -> None:
        """Keep an order findable; a client id stays taken for as long as the order is remembered."""
        self._order_ids[order.account, order.marks["orderID"]] = order
        if order.client_id:
            self._client_ids[order.account, order.client_id] = order
        make_room(self._order_ids)
        make_room(self._client_ids)

    def rename(self, order: Order, client_id: str) -> None:
        """Give an order another client id."""
        self._client_ids.pop((order.account, order.client_id), None)
        self._client_ids[order.account, client_id] = order

    def by_client_id(self, account: str, client_id: str) -> Order | None:
        """Return the order with that client id."""
        return self._client_ids.get((account, client_id))

    def by_order_id(self, account: str, order_id: str) -> Order | None:
        """Return the order with that id."""
        return self._order_ids.get((account, order_id))

    def keep_execution(self, account: str, row: dict[str, Any]) -> None:
        """Keep what happened to an order; the oldest go."""
        self._executions.append((account, row))

    def executions(self, account: str) -> list[dict[str, Any]]:
        """Return an account's executions, oldest first."""
        return [row for owner, row in self._executions if owner == account]
