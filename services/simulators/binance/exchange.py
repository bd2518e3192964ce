"""The simulated Binance below its routes: listings, accounts, limits and what changed about orders."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from services.simulators.binance.account_settings import AccountSettings
from services.simulators.binance.errors import BinanceError, invalid_symbol
from services.simulators.binance.limits import BinanceLimits, LimitOptions
from services.simulators.binance.listen_keys import ListenKeys
from services.simulators.binance.listings import COINM, SPOT, USDM, binance_listings
from services.simulators.venue.clearing import Account, demo_account
from services.simulators.venue.ed25519 import public_key
from services.simulators.venue.exchange import SimulatedVenue, VenueOptions
from services.simulators.venue.faults import Rule
from services.simulators.venue.forced import CAUSES, DELEVERAGING, LIQUIDATION, OwnName
from services.simulators.venue.listing import Listing
from services.simulators.venue.orders import Leg, Order

DEMO_ACCOUNT: Final = demo_account("binance")
DEMO_SEED: Final = hashlib.sha256(b"midstream demo").digest()
"""Of the other key of the same account, which everybody may know, too: some clients sign with Ed25519 alone."""
DEMO_ED25519: Final = Account(DEMO_ACCOUNT.name, "midstream-demo-binance-ed25519", "", public_key=public_key(DEMO_SEED))
AMENDMENTS_MAX: Final = 10_000
MARK_STEP: Final = Decimal("0.01")
INDEX_STEP: Final = Decimal("0.00000001")
"""What mark and index prices are rounded to."""

DEPOSITS: Final[Mapping[tuple[str, str], Decimal]] = {
    **{
        (SPOT, asset): Decimal(amount)
        for asset, amount in (("USDT", 1_000_000), ("USDC", 1_000_000), ("BTC", 20), ("ETH", 300), ("SOL", 5_000))
    },
    **{(USDM, asset): Decimal(1_000_000) for asset in ("USDT", "USDC")},
    **{(COINM, asset): Decimal(amount) for asset, amount in (("BTC", 20), ("ETH", 300), ("SOL", 5_000))},
}


@dataclass(frozen=True)
class Amendment:
    """One change of an order's terms."""

    client_id_before: str
    client_id_after: str
    quantity_before: Decimal
    quantity_after: Decimal
    price_before: Decimal
    price_after: Decimal
    time_ns: int


class BinanceExchange(SimulatedVenue):
    """What the routes and streams of all three markets stand on."""

    ends = tuple(why for why in CAUSES if why != DELEVERAGING)
    """Positions are closed for somebody else's loss; orders go on."""

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
        super().__init__(
            binance_listings(wall_ns()),
            accounts=accounts,
            deposits=DEPOSITS,
            options=options,
            faults=faults,
            wall_ns=wall_ns,
            sleep=sleep,
        )
        self.limits = BinanceLimits(limits)
        self.listen_keys = ListenKeys(lambda: self.made_id() + self.made_id())
        self.settings = AccountSettings()
        self._by_symbol: dict[str, dict[str, Listing]] = {}
        for listing in self.engine.listings.values():
            self._by_symbol.setdefault(listing.market, {})[listing.symbol] = listing
        for listing in list(self.engine.listings.values()):
            if listing.market != SPOT:
                self.tape.add(self.mark_of(listing))
                self.tape.add(self.index_of(listing))
        self._closed: dict[tuple[str, str], Listing] = {}
        self._amendments: dict[int, list[Amendment]] = {}

    def listings(self, market: str) -> Mapping[str, Listing]:
        """Return a market's listings by symbol."""
        return self._by_symbol[market]

    def listing(self, market: str, symbol: str) -> Listing:
        """Return one listing, closed ones too; raise -1121 when there is none."""
        found = self._by_symbol[market].get(symbol) or self._closed.get((market, symbol))
        if found is None:
            raise invalid_symbol()
        return found

    def own_order(self, listing: Listing, why: str, number: int, leg: Leg) -> OwnName:
        return OwnName(
            {LIQUIDATION: f"autoclose-{number}", DELEVERAGING: "adl_autoclose"}.get(
                why, f"settlement_autoclose-{number}"
            )
        )

    def remember(self, order: Order) -> None:
        """The engine's own book finds it."""

    def roll_over(self, listing: Listing, now_ns: int) -> None:
        """Take a contract that was delivered off the list, and put what is listed then on it."""
        self._closed[listing.market, listing.symbol] = self._by_symbol[listing.market].pop(listing.symbol)
        for fresh in binance_listings(now_ns):
            place = (fresh.market, fresh.symbol)
            if place not in self.engine.listings:
                self.engine.listings[place] = fresh
                self._by_symbol[fresh.market][fresh.symbol] = fresh
                self.tape.add(fresh)
                self.tape.add(self.mark_of(fresh))

    def mark_of(self, listing: Listing) -> Listing:
        """Return what a contract's mark price is taped as: a listing without a spread, finer than its tick."""
        return replace(listing, market=f"{listing.market}:mark", tick=MARK_STEP, spread_ticks=0)

    def index_of(self, listing: Listing) -> Listing:
        """Return what the index price of a contract's pair is taped as."""
        symbol = listing.base + listing.quote
        return replace(
            listing,
            market=f"{listing.market}:index",
            symbol=symbol,
            tick=INDEX_STEP,
            spread_ticks=0,
            premium=Decimal(0),
            expiry_ns=None,
        )

    def engine_ns(self, shown_ms: int) -> int:
        """Return what a time on the exchange's clock is on the engine's."""
        return shown_ms * 1_000_000 - self.faults.skew_ns(self.wall_ns())

    def account(self, api_key: str) -> Account:
        """Return the account behind a key; raise -2014 or -2015 when there is none."""
        if not api_key:
            raise BinanceError(401, -2014, "API-key format invalid.")
        account = self.clearing.by_key(api_key)
        if account is None:
            raise BinanceError(401, -2015, "Invalid API-key, IP, or permissions for action.")
        return account

    def made_id(self) -> str:
        """Return an id as the exchange makes them."""
        alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0123456789"
        return "".join(self.random.choices(alphabet, k=22))

    def note_amendment(
        self,
        order: Order,
        client_id_before: str,
        quantity_before: Decimal,
        quantity_after: Decimal,
        now_ns: int,
        price_before: Decimal | None = None,
        price_after: Decimal | None = None,
    ) -> None:
        """Remember a change of terms, for the history routes."""
        if len(self._amendments) >= AMENDMENTS_MAX:
            self._amendments.pop(next(iter(self._amendments)))
        self._amendments.setdefault(order.id, []).append(
            Amendment(
                client_id_before,
                order.client_id,
                quantity_before,
                quantity_after,
                price_before or order.price or Decimal(0),
                price_after or order.price or Decimal(0),
                now_ns,
            )
        )

    def amendments(self, order: Order) -> list[Amendment]:
        """Return an order's changes of terms, oldest first."""
        return self._amendments.get(order.id, [])
