"""Keep the accounts of a simulated exchange: balances, positions, margin, and what a fill does to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from services.simulators.venue.listing import Listing, Payout
from services.simulators.venue.orders import Leg, Order, Reason, Refusal, Side

ALL_RIGHTS: Final = frozenset({"read", "order", "cancel"})


@dataclass
class Position:
    """Signed quantity; `entry` averages as the payout demands."""

    quantity: Decimal = Decimal(0)
    entry: Decimal = Decimal(0)
    realized: Decimal = Decimal(0)
    updated_ns: int = 0


@dataclass
class Account:
    """One API key and what is behind it. Several keys may share a `name` and thus everything else."""

    name: str
    api_key: str
    secret: str = field(repr=False)
    rights: frozenset[str] = ALL_RIGHTS
    public_key: bytes | None = None
    """Of an Ed25519 key, which has no secret here."""


def demo_account(exchange: str) -> Account:
    """Return the account whose keys everybody may know: the simulators open with it, and `midstream serve` uses it."""
    return Account("demo", f"midstream-demo-{exchange}-key", f"midstream-demo-{exchange}-secret")


@dataclass
class Holdings:
    """Balances by (wallet, asset) and positions by (market, symbol)."""

    balances: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    positions: dict[tuple[str, str], Position] = field(default_factory=dict)
    legs: dict[tuple[str, str, Leg], Position] = field(default_factory=dict)
    """Positions of an account that holds long and short apart, by (market, symbol, leg)."""
    leverages: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    """By (market, symbol), where the account has chosen another one than the listing's."""

    def leverage(self, listing: Listing) -> Decimal:
        """Return how many times its margin a position on the listing may be worth."""
        return self.leverages.get((listing.market, listing.symbol), listing.leverage)

    def balance(self, wallet: str, asset: str) -> Decimal:
        """0 where there never was any."""
        return self.balances.get((wallet, asset), Decimal(0))

    def add(self, wallet: str, asset: str, amount: Decimal) -> None:
        """Change a balance."""
        self.balances[wallet, asset] = self.balance(wallet, asset) + amount

    def position(self, listing: Listing, leg: Leg = Leg.BOTH) -> Position:
        """Return a position, made when it does not exist."""
        if leg is not Leg.BOTH:
            return self.legs.setdefault((listing.market, listing.symbol, leg), Position())
        return self.positions.setdefault((listing.market, listing.symbol), Position())

    def held(self) -> Iterator[tuple[tuple[str, str], Leg, Position]]:
        """Yield every position that is not flat: its (market, symbol), leg and figures."""
        for place, position in self.positions.items():
            if position.quantity:
                yield place, Leg.BOTH, position
        for (market, symbol, leg), position in self.legs.items():
            if position.quantity:
                yield (market, symbol), leg, position


class Clearing:
    """All accounts of a venue."""

    def __init__(self, accounts: Iterable[Account], deposits: Mapping[tuple[str, str], Decimal]) -> None:
        self._by_key: dict[str, Account] = {}
        self.holdings: dict[str, Holdings] = {}
        self.deposits = dict(deposits)
        for account in accounts:
            self.open(account)

    @property
    def accounts(self) -> Iterable[Account]:
        """All keys."""
        return self._by_key.values()

    def open(self, account: Account) -> None:
        """Add a key; its account starts with the deposits when it is new."""
        self._by_key[account.api_key] = account
        if account.name not in self.holdings:
            self.holdings[account.name] = Holdings(dict(self.deposits))

    def by_key(self, api_key: str) -> Account | None:
        """Return the account behind a key."""
        return self._by_key.get(api_key)

    def leverage(self, name: str, listing: Listing) -> Decimal:
        """Return an account's leverage on a listing."""
        return self.holdings[name].leverage(listing)

    def reserved(self, wallet: str, asset: str, orders: Iterable[Order]) -> Decimal:
        """Return what open orders hold back of a balance."""
        return sum((cost for order in orders for cost in self._held(order, wallet, asset)), Decimal(0))

    def margin(self, name: str, wallet: str, asset: str, listings: Mapping[tuple[str, str], Listing]) -> Decimal:
        """Return what positions hold back of a balance, valued at entry."""
        total = Decimal(0)
        for key, leg, _ in self.holdings[name].held():
            listing = listings[key]
            if listing.wallet == wallet and listing.settle == asset:
                total += self.position_margin(name, listing, leg)
        return total

    def position_margin(self, name: str, listing: Listing, leg: Leg = Leg.BOTH) -> Decimal:
        """Return what one position holds back, valued at entry."""
        position = self.holdings[name].position(listing, leg)
        if not position.quantity:
            return Decimal(0)
        return listing.settlement_value(position.entry, abs(position.quantity)) / self.leverage(name, listing)

    def check(
        self,
        ticket_cost: tuple[str, Decimal],
        *,
        name: str,
        wallet: str,
        orders: Iterable[Order],
        listings: Mapping[tuple[str, str], Listing],
    ) -> None:
        """Raise Refusal when the account cannot pay for one more order."""
        asset, cost = ticket_cost
        held = self.reserved(wallet, asset, orders) + self.margin(name, wallet, asset, listings)
        if cost > self.holdings[name].balance(wallet, asset) - held:
            raise Refusal(Reason.INSUFFICIENT_FUNDS, cost)

    def settle(
        self, order: Order, price: Decimal, quantity: Decimal, *, maker: bool, now_ns: int
    ) -> tuple[Decimal, str, Decimal]:
        """Book one fill; return fee, the asset it is in, and the realised profit."""
        listing, holdings = order.listing, self.holdings[order.account]
        rate = listing.maker_fee if maker else listing.taker_fee
        if listing.payout is Payout.SPOT:
            base, value = quantity * listing.unit, quantity * listing.unit * price
            got, amount = (listing.base, base) if order.side is Side.BUY else (listing.quote, value)
            fee = amount * rate
            holdings.add(listing.wallet, listing.base, base * order.side.sign)
            holdings.add(listing.wallet, listing.quote, -value * order.side.sign)
            holdings.add(listing.wallet, got, -fee)
            return fee, got, Decimal(0)
        fee = listing.settlement_value(price, quantity) * rate
        realized = _move(holdings.position(listing, order.leg), listing, order.side.sign * quantity, price, now_ns)
        holdings.add(listing.wallet, listing.settle, realized - fee)
        return fee, listing.settle, realized

    def _held(self, order: Order, wallet: str, asset: str) -> Iterable[Decimal]:
        if order.listing.wallet == wallet and not (order.waiting and order.listing.payout is not Payout.SPOT):
            leverage = self.leverage(order.account, order.listing)
            held, cost = order_cost(order.listing, order.side, order.price or Decimal(0), order.remaining, leverage)
            if held == asset and not order.reduce_only:
                yield cost


def order_cost(
    listing: Listing, side: Side, price: Decimal, quantity: Decimal, leverage: Decimal | None = None
) -> tuple[str, Decimal]:
    """Return what an order holds back while it is open: the asset and how much; at the listing's own leverage unless told."""
    if listing.payout is Payout.SPOT:
        if side is Side.BUY:
            return listing.quote, quantity * listing.unit * price
        return listing.base, quantity * listing.unit
    if not price:
        return listing.settle, Decimal(0)
    return listing.settle, listing.settlement_value(price, quantity) / (leverage or listing.leverage)


def _move(position: Position, listing: Listing, change: Decimal, price: Decimal, now_ns: int) -> Decimal:
    """Change a position; return the profit that was realised."""
    held, realized = position.quantity, Decimal(0)
    if held and (held > 0) != (change > 0):
        closing = min(abs(held), abs(change)) * (1 if held > 0 else -1)
        realized = profit(listing, closing, position.entry, price)
        if abs(change) > abs(held):
            position.entry = price
    elif held:
        position.entry = _average(listing, held, position.entry, change, price)
    else:
        position.entry = price
    position.quantity = held + change
    if not position.quantity:
        position.entry = Decimal(0)
    position.realized += realized
    position.updated_ns = now_ns
    return realized


def profit(listing: Listing, quantity: Decimal, entry: Decimal, price: Decimal) -> Decimal:
    """Return what a signed quantity gains between two prices, in the settlement currency."""
    if not quantity:
        return Decimal(0)
    if listing.payout is Payout.INVERSE:
        return quantity * listing.unit * (1 / entry - 1 / price)
    return quantity * listing.unit * (price - entry)


def _average(listing: Listing, held: Decimal, entry: Decimal, change: Decimal, price: Decimal) -> Decimal:
    weigh: Callable[[Decimal], Decimal] = (lambda p: 1 / p) if listing.payout is Payout.INVERSE else (lambda p: p)
    return weigh((weigh(entry) * held + weigh(price) * change) / (held + change))
