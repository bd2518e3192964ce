"""A matching engine on a small made-up market, with its events kept."""

from __future__ import annotations

from decimal import Decimal

from services.simulators.venue.candles import Candles
from services.simulators.venue.clearing import Account, Clearing
from services.simulators.venue.liquidity import Liquidity
from services.simulators.venue.listing import Kind, Listing, Payout
from services.simulators.venue.matching import MatchingEngine
from services.simulators.venue.orders import Event, Lifetime, Order, OrderType, Side, Ticket
from services.simulators.venue.prices import PriceWalk
from services.simulators.venue.tape import Tape

D = Decimal
STEP_NS = 250_000_000
START_NS = 1_760_000_000_000_000_000

SPOT = Listing(
    market="spot",
    symbol="BTCUSDT",
    kind=Kind.SPOT,
    payout=Payout.SPOT,
    base="BTC",
    quote="USDT",
    settle="USDT",
    tick=D("0.5"),
    lot=D("0.001"),
    quantity_min=D("0.001"),
    quantity_max=D(1000),
    unit=D(1),
    typical_quantity=D("0.5"),
    maker_fee=D("0.001"),
    taker_fee=D("0.001"),
    leverage=D(1),
)
LINEAR = Listing(
    market="usdm",
    symbol="BTCUSDT",
    kind=Kind.PERPETUAL,
    payout=Payout.LINEAR,
    base="BTC",
    quote="USDT",
    settle="USDT",
    tick=D("0.5"),
    lot=D("0.001"),
    quantity_min=D("0.001"),
    quantity_max=D(1000),
    unit=D(1),
    typical_quantity=D("0.5"),
)
INVERSE = Listing(
    market="coinm",
    symbol="BTCUSD_PERP",
    kind=Kind.PERPETUAL,
    payout=Payout.INVERSE,
    base="BTC",
    quote="USD",
    settle="BTC",
    tick=D("0.5"),
    lot=D(1),
    quantity_min=D(1),
    quantity_max=D(100_000),
    unit=D(100),
    typical_quantity=D(50),
)
DEPOSITS = {
    ("spot", "USDT"): D(1_000_000),
    ("spot", "BTC"): D(10),
    ("usdm", "USDT"): D(1_000_000),
    ("coinm", "BTC"): D(10),
}


class Market:
    """An engine, its parts, and what it told."""

    def __init__(self, *, seed: int = 5, volatility: float = 0.0, touch_chance: float = 0.0) -> None:
        self.now_ns = START_NS
        self.events: list[Event] = []
        self.walk = PriceWalk(seed=seed, start_ns=START_NS, step_ns=STEP_NS, volatility=volatility)
        self.liquidity = Liquidity(self.walk, seed=seed)
        self.clearing = Clearing([Account("me", "key", "secret")], DEPOSITS)
        listings = [SPOT, LINEAR, INVERSE]
        self.tape = Tape(listings, self.walk, seed=seed, start_ns=START_NS, volatility=volatility)
        self.candles = Candles(self.tape)
        self.engine = MatchingEngine(
            listings,
            walk=self.walk,
            liquidity=self.liquidity,
            clearing=self.clearing,
            step_ns=STEP_NS,
            seed=seed,
            listener=self.events.append,
            touch_chance=touch_chance,
            tape=self.tape,
        )

    def ticket(
        self,
        side: Side = Side.BUY,
        quantity: str = "0.1",
        price: str | Decimal | None = None,
        *,
        listing: Listing = SPOT,
        client_id: str = "",
        lifetime: Lifetime = Lifetime.GTC,
        post_only: bool = False,
        reduce_only: bool = False,
    ) -> Ticket:
        """Return what somebody wants."""
        return Ticket(
            listing=listing,
            account="me",
            client_id=client_id,
            side=side,
            type=OrderType.MARKET if price is None else OrderType.LIMIT,
            quantity=D(quantity),
            price=None if price is None else D(price),
            lifetime=lifetime,
            post_only=post_only,
            reduce_only=reduce_only,
        )

    def place(self, ticket: Ticket) -> Order:
        """Place it now."""
        return self.engine.place(ticket, self.now_ns)

    def pass_steps(self, steps: int = 1) -> None:
        """Let time go by."""
        self.now_ns += steps * STEP_NS
        self.engine.advance(self.now_ns)

    def move_to(self, price: float) -> None:
        """Move the price there, with the next step."""
        self.walk.set_price("BTC", price)
        self.liquidity.forget()
        self.pass_steps()
