"""The tape of trades, and the candles that are made of it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from random import Random

import pytest

from services.simulators.binance.listings import binance_listings
from services.simulators.venue.candles import Candle
from services.simulators.venue.intervals import DAY_NS, MINUTE_NS, SECOND_NS, Interval
from services.simulators.venue.liquidity import Liquidity
from services.simulators.venue.listing import Listing, Payout
from services.simulators.venue.orders import Side
from services.simulators.venue.price_history import COUNT
from services.simulators.venue.prices import PriceWalk
from services.simulators.venue.step_log import StepLog
from services.simulators.venue.tape import Tape, Trade
from tests.unit.simulators.venue.engine_support import INVERSE, LINEAR, SPOT, START_NS, STEP_NS, Market

D = Decimal
EVERYTHING = 1 << 60
INTERVALS = {
    "1s": Interval(SECOND_NS),
    "1m": Interval(MINUTE_NS),
    "5m": Interval(5 * MINUTE_NS),
    "1h": Interval(60 * MINUTE_NS),
    "1d": Interval(DAY_NS),
    "1w": Interval(7 * DAY_NS),
    "1M": Interval(months=1),
}


def traded(market: Market, *, rounds: int = 12, steps: int = 200, seed: int = 1) -> None:
    """Let time go by, with fills of an account here and there."""
    random = Random(seed)
    for number in range(rounds):
        market.pass_steps(random.randint(1, steps))
        for listing in (SPOT, INVERSE):
            quantity = "3" if listing is INVERSE else "0.004"
            market.place(market.ticket(Side.BUY if number % 2 else Side.SELL, quantity, listing=listing))
        resting = market.place(market.ticket(Side.BUY, "0.02", str(market.liquidity.book(SPOT).bids[0].price - 5)))
        market.engine.fill_by_hand(resting, D("0.01"), None, market.now_ns)
        market.engine.cancel(resting, market.now_ns)


def recomputed(trades: list[Trade], listing: Listing, interval: Interval) -> list[Candle]:
    """Return the candles of trades, the slow way."""
    found: dict[int, list[Trade]] = {}
    for trade in trades:
        found.setdefault(interval.opening(trade.time_ns), []).append(trade)

    def value(trade: Trade) -> Decimal:
        return listing.settlement_value(trade.price, trade.quantity)

    candles = []
    for opening, own in found.items():
        bought = [one for one in own if not one.buyer_is_maker]
        candles.append(
            Candle(
                open_ns=opening,
                end_ns=interval.moved(opening, 1),
                open=own[0].price,
                high=max(one.price for one in own),
                low=min(one.price for one in own),
                close=own[-1].price,
                volume=sum((one.quantity for one in own), D(0)),
                value=sum((value(one) for one in own), D(0)),
                bought=sum((one.quantity for one in bought), D(0)),
                bought_value=sum((value(one) for one in bought), D(0)),
                count=len(own),
                first_id=own[0].id,
                last_id=own[-1].id,
            )
        )
    return candles


def same(ours: Candle, theirs: Candle, listing: Listing) -> bool:
    """Whether two candles are equal; sums of coins up to a billionth, since they are divisions."""
    if listing.payout is not Payout.INVERSE:
        return ours == theirs
    near = [abs(getattr(ours, name) - getattr(theirs, name)) < D("1e-9") for name in ("value", "bought_value")]
    exact = [
        [
            getattr(one, name)
            for name in ("open_ns", "open", "high", "low", "close", "volume", "bought", "count", "first_id", "last_id")
        ]
        for one in (ours, theirs)
    ]
    return all(near) and exact[0] == exact[1]


@pytest.mark.cases(5)
@pytest.mark.parametrize("name", INTERVALS)
@pytest.mark.parametrize("listing", [SPOT, LINEAR, INVERSE], ids=["spot", "linear", "inverse"])
def test_candles_are_those_of_the_trades(name: str, listing: Listing) -> None:
    market = Market(volatility=30)
    traded(market)
    interval = INTERVALS[name]
    back = {"1s": 60 * SECOND_NS, "1m": 2 * 60 * MINUTE_NS, "5m": 2 * DAY_NS, "1h": 8 * DAY_NS}.get(name, 600 * DAY_NS)
    first = interval.moved(interval.opening(market.now_ns - back), 1)
    trades = market.tape.of(listing).between(first, market.now_ns, EVERYTHING)

    found = market.candles.candles(listing, interval, first, market.now_ns)
    expected = recomputed(trades, listing, interval)

    assert len(expected) > 10
    assert [one.open_ns for one in found] == sorted({one.open_ns for one in found})
    assert all(one.end_ns == after.open_ns for one, after in pairwise(found))
    busy = [one for one in found if one.count]
    assert [one.open_ns for one in busy] == [one.open_ns for one in expected]
    assert all(same(ours, theirs, listing) for ours, theirs in zip(busy, expected, strict=True))
    for one, after in pairwise(found):
        if not after.count:
            assert {after.open, after.high, after.low, after.close} == {one.close}
            assert (after.volume, after.first_id) == (D(0), -1)


def test_candles_asked_for_at_every_step_are_those_asked_for_once() -> None:
    often, once = Market(volatility=30), Market(volatility=30)
    for market in (often, once):
        for number in range(300):
            market.pass_steps()
            if number % 7 == 0:
                market.place(market.ticket(Side.BUY, "0.004"))
            if market is often:
                market.candles.candles(SPOT, INTERVALS["1m"], market.now_ns // MINUTE_NS * MINUTE_NS, market.now_ns)
    first = START_NS // MINUTE_NS * MINUTE_NS

    found = [one.candles.candles(SPOT, INTERVALS["1m"], first, one.now_ns) for one in (often, once)]

    assert found[0] == found[1]
    assert sum(one.count for one in found[0]) > 300


@pytest.mark.quick
def test_trades_are_numbered_without_holes_from_the_past_on() -> None:
    market = Market(volatility=30)
    traded(market)
    tape = market.tape.of(SPOT)

    everything = tape.from_id(0, EVERYTHING)

    assert [one.id for one in everything] == list(range(tape.end))
    assert [one.time_ns for one in everything] == sorted(one.time_ns for one in everything)
    assert len(everything) > COUNT + 24
    for first in (0, 5, COUNT - 3, COUNT + 1, tape.end - 40, tape.end - 1):
        assert tape.from_id(first, 7) == everything[first : first + 7]
    assert tape.recent(50) == everything[-50:]
    assert tape.last() == everything[-1]
    assert tape.from_id(tape.end, 5) == []


def test_fills_of_accounts_are_on_the_tape_with_the_taker_they_had() -> None:
    market = Market()
    market.pass_steps(5)
    market.place(market.ticket(Side.SELL, "0.004"))
    sold = market.tape.of(SPOT).last()
    resting = market.place(market.ticket(Side.BUY, "0.02", "60000"))
    market.engine.fill_by_hand(resting, D("0.01"), D(60001), market.now_ns)
    given = market.tape.of(SPOT).last()

    assert (sold.quantity, sold.buyer_is_maker, sold.price) == (
        D("0.004"),
        True,
        market.liquidity.book(SPOT).bids[0].price,
    )
    assert (given.quantity, given.buyer_is_maker, given.price) == (D("0.01"), True, D(60001))
    assert given.id == sold.id + 1


@pytest.mark.cases(2)
@pytest.mark.parametrize("volatility", [0.0, 1.0, 40.0])
def test_trades_are_at_the_best_prices_of_the_book(volatility: float) -> None:
    listings = binance_listings(START_NS)
    walk = PriceWalk(seed=3, start_ns=START_NS, step_ns=STEP_NS, volatility=volatility)
    tape = Tape(listings, walk, seed=3, start_ns=START_NS, volatility=volatility)
    liquidity = Liquidity(walk, seed=3)
    for _ in range(150):
        walk.take()
        tape.note_step(START_NS + walk.step * STEP_NS)
        for listing in listings:
            last, book = tape.of(listing).last(), liquidity.book(listing)
            assert last.price == (book.bids if last.buyer_is_maker else book.asks)[0].price


def test_the_past_is_of_the_seed_ends_with_the_start_and_keeps_to_an_exchanges_filters() -> None:
    first, again, other = (Market(seed=seed, volatility=1) for seed in (5, 5, 6))
    past = [market.tape.of(SPOT).from_id(0, COUNT) for market in (first, again, other)]

    assert past[0] == past[1] != past[2]
    assert past[0][-1].time_ns == START_NS
    assert abs(past[0][-1].price - 65_000) < 1
    assert START_NS - past[0][0].time_ns > 400 * DAY_NS
    assert all(30_000 < one.price < 140_000 for one in past[0])


def test_a_window_is_of_the_minutes_in_it_and_knows_the_price_before() -> None:
    market = Market(volatility=30)
    traded(market)
    first = market.now_ns - DAY_NS
    first_minute = first // MINUTE_NS * MINUTE_NS + MINUTE_NS
    tape = market.tape.of(SPOT)

    before, day = market.candles.window(SPOT, first, market.now_ns)

    inside = tape.between(first_minute, market.now_ns, EVERYTHING)
    assert (day.open, day.close, day.count) == (inside[0].price, inside[-1].price, len(inside))
    assert day.value == sum((one.price * one.quantity for one in inside), D(0))
    assert before is not None
    assert before.close == tape.price_before(first_minute)


def test_old_pages_go_and_their_minutes_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    small = 64
    for module in ("step_log", "tape", "candles"):
        monkeypatch.setattr(f"services.simulators.venue.{module}.PAGE", small)
    monkeypatch.setattr(StepLog.__init__, "__kwdefaults__", {"pages_kept": 2})
    dropping, keeping = Market(volatility=30), Market(volatility=30)
    keeping.tape.steps._pages_kept = 1000
    for market in (dropping, keeping):
        traded(market, rounds=20, steps=100)
    first = (START_NS - 60 * MINUTE_NS) // MINUTE_NS * MINUTE_NS

    gone, kept = (one.candles.candles(SPOT, INTERVALS["1m"], first, one.now_ns) for one in (dropping, keeping))

    assert dropping.tape.steps.live > COUNT + 5 * small
    assert gone == kept
    newest = [market.tape.of(SPOT).recent(60) for market in (dropping, keeping)]
    assert newest[0] == newest[1]
    assert dropping.tape.of(SPOT).from_id(100, 5) == keeping.tape.of(SPOT).from_id(100, 5)


def test_what_is_older_than_the_held_pages_is_forgotten_with_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    small = 64
    for module in ("step_log", "tape", "candles"):
        monkeypatch.setattr(f"services.simulators.venue.{module}.PAGE", small)
    monkeypatch.setattr("services.simulators.venue.candles.DROPPED_KEPT", 3)
    monkeypatch.setattr(StepLog.__init__, "__kwdefaults__", {"pages_kept": 2})
    market = Market(volatility=30)
    for _ in range(20):
        market.pass_steps(small)

    found = market.candles.candles(SPOT, INTERVALS["1m"], START_NS - DAY_NS, market.now_ns)

    assert 0 < sum(one.count for one in found) <= 6 * small
    assert len(market.candles._held) == 3 * 3


def test_a_pause_has_still_candles() -> None:
    market = Market(volatility=30)
    market.pass_steps(10)
    market.pass_steps(100_000)
    first = START_NS // MINUTE_NS * MINUTE_NS + 5 * MINUTE_NS

    found = market.candles.candles(SPOT, INTERVALS["1m"], first, first + 20 * MINUTE_NS)

    assert [one.count for one in found] == [0] * 21
    assert len({one.close for one in found}) == 1


@pytest.mark.parametrize(
    ("interval", "moment", "opening", "following"),
    [
        (Interval(60 * MINUTE_NS), "2026-11-30T12:34:56", "2026-11-30T12:00", "2026-11-30T13:00"),
        (Interval(7 * DAY_NS), "2026-11-29T12:00", "2026-11-23T00:00", "2026-11-30T00:00"),
        (Interval(7 * DAY_NS), "2026-11-30T00:00", "2026-11-30T00:00", "2026-12-07T00:00"),
        (Interval(months=1), "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00"),
    ],
    ids=["hour", "sunday", "monday", "month"],
)
def test_spans_begin_where_the_calendar_says(interval: Interval, moment: str, opening: str, following: str) -> None:
    times = [
        int(datetime.fromisoformat(f"{one}+00:00").timestamp()) * SECOND_NS for one in (moment, opening, following)
    ]

    assert interval.opening(times[0]) == times[1]
    assert interval.moved(times[1], 1) == times[2]
    assert interval.moved(times[2], -1) == times[1]
