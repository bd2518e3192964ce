"""Instruments are loaded once an hour, by one call for everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from clients.exchanges.errors import CallerMustAct, TryLater
from clients.exchanges.instrument_cache import AGE_S_MAX, ENDED_S, RETRY_S, InstrumentCache
from clients.exchanges.model import Instrument, InstrumentKind, Payout
from clients.resilience.outcome import Outcome
from tests.support.exchange_wire import WireClock
from tests.support.fake_exchange import instrument


class _Loader:
    def __init__(self) -> None:
        self.calls = 0
        self.failing = False
        self.symbols = ["BTC/USDT", "ETH/USDT"]

    async def __call__(self) -> Sequence[Instrument]:
        self.calls += 1
        await asyncio.sleep(0)
        if self.failing:
            raise TryLater("x", "get_instruments", Outcome.RETRYABLE, "down")
        return [instrument("x", symbol) for symbol in self.symbols]


@pytest.fixture
def clock() -> WireClock:
    return WireClock()


@pytest.fixture
def loader() -> _Loader:
    return _Loader()


@pytest.fixture
def cache(clock: WireClock, loader: _Loader) -> InstrumentCache:
    return InstrumentCache("x", {"spot": loader}, monotonic_ns=clock.monotonic_ns)


async def test_those_that_are_loaded_are_there_without_a_turn_of_the_loop(cache: InstrumentCache) -> None:
    loaded = await cache.all()

    with pytest.raises(StopIteration) as done:
        cache.all().send(None)

    assert done.value.value is loaded


@pytest.mark.quick
async def test_they_are_loaded_once_and_again_after_an_hour(
    cache: InstrumentCache, loader: _Loader, clock: WireClock
) -> None:
    await cache.all()
    clock.advance(AGE_S_MAX - 1)
    await cache.all()
    assert loader.calls == 1

    clock.advance(1)
    loader.symbols = ["SOL/USDT"]
    assert list(await cache.all()) == ["SOL/USDT"]
    left = cache.known("spot", "BTCUSDT")
    assert left is not None
    assert (left.symbol, left.listed, left.tradable) == ("BTC/USDT", False, False)


async def test_what_has_left_the_list_is_understood_and_not_offered(
    cache: InstrumentCache, loader: _Loader, clock: WireClock
) -> None:
    await cache.all()
    clock.advance(AGE_S_MAX)
    loader.symbols = ["SOL/USDT"]
    await cache.all()

    with pytest.raises(CallerMustAct, match="no instrument 'BTC/USDT'"):
        await cache.by_symbol("BTC/USDT")
    assert (await cache.by_exchange_symbol("spot", "BTCUSDT")).symbol == "BTC/USDT"
    assert cache.remembered("BTC/USDT") is not None

    clock.advance(AGE_S_MAX)
    loader.symbols = ["BTC/USDT"]
    assert (await cache.by_exchange_symbol("spot", "BTCUSDT")).listed


async def test_names_from_before_are_enough_to_understand_it_and_the_list_counts_more(
    cache: InstrumentCache, loader: _Loader
) -> None:
    cache.recall("coinm", "BTCUSD_251226", "BTC/USD:BTC-251226")
    cache.recall("spot", "BTCUSDT", "BTC/USDT")
    cache.recall("spot", "WHAT", "no symbol")

    made = await cache.by_exchange_symbol("coinm", "BTCUSD_251226")
    assert (made.symbol, made.payout, made.kind, made.settle) == (
        "BTC/USD:BTC-251226",
        Payout.INVERSE,
        InstrumentKind.DELIVERY,
        "BTC",
    )
    assert made.expiry_time_ns == 1_766_707_200_000_000_000
    assert made.over(0)
    assert (await cache.by_exchange_symbol("spot", "BTCUSDT")).listed
    assert cache.remembered("no symbol") is None


async def test_the_list_is_asked_for_again_when_a_contract_ends(clock: WireClock) -> None:
    ends_ns = clock.wall_ns() + 60_000_000_000
    listed = [instrument("x", "BTC/USDT:USDT-251226", expiry_time_ns=ends_ns)]
    loads = 0

    async def load() -> list[Instrument]:
        nonlocal loads
        loads += 1
        return listed

    cache = InstrumentCache("x", {"one": load}, monotonic_ns=clock.monotonic_ns, wall_ns=clock.wall_ns)
    await cache.all()
    clock.advance(60 + ENDED_S - 1)
    await cache.all()
    assert loads == 1

    clock.advance(1)
    await cache.all()
    await cache.all()
    assert loads == 2


async def test_a_thousand_concurrent_callers_are_one_load(cache: InstrumentCache, loader: _Loader) -> None:
    await asyncio.gather(*(cache.by_symbol("BTC/USDT") for _ in range(1000)))

    assert loader.calls == 1


async def test_a_failed_first_load_is_one_error_for_everybody(cache: InstrumentCache, loader: _Loader) -> None:
    loader.failing = True

    results = await asyncio.gather(*(cache.all() for _ in range(100)), return_exceptions=True)

    assert loader.calls == 1
    assert all(isinstance(result, TryLater) for result in results)


async def test_the_older_list_serves_while_a_renewal_fails(
    cache: InstrumentCache, loader: _Loader, clock: WireClock
) -> None:
    await cache.all()
    clock.advance(AGE_S_MAX)
    loader.failing = True

    assert "BTC/USDT" in await cache.all()
    assert "BTC/USDT" in await cache.all()
    assert loader.calls == 2

    clock.advance(RETRY_S)
    loader.failing = False
    await cache.all()
    assert loader.calls == 3


async def test_an_explicit_refresh_says_that_it_failed(cache: InstrumentCache, loader: _Loader) -> None:
    await cache.all()
    loader.failing = True

    with pytest.raises(TryLater):
        await cache.all(refresh=True)

    assert "BTC/USDT" in await cache.all()


async def test_an_unknown_symbol_names_near_matches(cache: InstrumentCache) -> None:
    with pytest.raises(CallerMustAct, match="did you mean BTC/USDT") as unknown:
        await cache.by_symbol("BTC/USTD")

    assert unknown.value.outcome is Outcome.NOT_FOUND


async def test_an_unknown_exchange_symbol_is_not_found(cache: InstrumentCache) -> None:
    assert (await cache.by_exchange_symbol("spot", "BTCUSDT")).symbol == "BTC/USDT"
    with pytest.raises(CallerMustAct):
        await cache.by_exchange_symbol("usdm", "BTCUSDT")


async def test_a_market_that_cannot_be_reached_does_not_take_the_others_along(clock: WireClock) -> None:
    good, bad = _Loader(), _Loader()
    bad.failing = True
    cache = InstrumentCache("x", {"good": good, "bad": bad}, monotonic_ns=clock.monotonic_ns)

    assert (await cache.by_symbol("BTC/USDT")).symbol == "BTC/USDT"
    assert (await cache.by_exchange_symbol("spot", "BTCUSDT")).symbol == "BTC/USDT"
    # What is not found may be where nobody answered: not knowing is another answer than no.
    with pytest.raises(TryLater):
        await cache.by_symbol("XRP/USDT")
    with pytest.raises(TryLater):
        await cache.by_exchange_symbol("spot", "XRPUSDT")
    with pytest.raises(TryLater):
        await cache.all()
    assert good.calls == 1

    bad.failing = False
    bad.symbols = ["XRP/USDT"]
    assert set(await cache.all()) == {"BTC/USDT", "ETH/USDT", "XRP/USDT"}


async def test_a_bug_while_loading_is_not_hidden(clock: WireClock) -> None:
    async def broken() -> Sequence[Instrument]:
        raise ZeroDivisionError

    cache = InstrumentCache("x", {"spot": broken}, monotonic_ns=clock.monotonic_ns)

    with pytest.raises(ZeroDivisionError):
        await cache.by_symbol("BTC/USDT")


async def test_an_instrument_is_there_before_the_other_markets_have_answered(clock: WireClock) -> None:
    ended = asyncio.Event()

    async def hanging() -> Sequence[Instrument]:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return []

    cache = InstrumentCache("x", {"hanging": hanging, "good": _Loader()}, monotonic_ns=clock.monotonic_ns)

    assert (await cache.by_symbol("BTC/USDT")).symbol == "BTC/USDT"
    # Nobody waits for it any more, so nobody pays for it.
    assert ended.is_set()
    assert (await cache.by_symbol("BTC/USDT")).symbol == "BTC/USDT"


async def test_one_market_that_is_due_is_renewed_alone(clock: WireClock) -> None:
    first, second = _Loader(), _Loader()
    second.symbols = ["XRP/USDT"]
    cache = InstrumentCache("x", {"first": first, "second": second}, monotonic_ns=clock.monotonic_ns)
    await cache.all()
    clock.advance(AGE_S_MAX)

    await cache.by_symbol("BTC/USDT")
    assert (first.calls, second.calls) == (2, 1)

    await cache.by_symbol("XRP/USDT")
    assert (first.calls, second.calls) == (2, 2)


async def test_an_instrument_that_is_gone_after_a_renewal_is_not_found(
    cache: InstrumentCache, loader: _Loader, clock: WireClock
) -> None:
    await cache.all()
    clock.advance(AGE_S_MAX)
    loader.symbols = ["ETH/USDT"]

    with pytest.raises(CallerMustAct):
        await cache.by_symbol("BTC/USDT")

    # Orders in it are told of all the same.
    assert cache.remembered("BTC/USDT") is not None
    assert cache.remembered("XRP/USDT") is None


async def test_a_market_is_ready_when_it_has_been_loaded(clock: WireClock) -> None:
    good, bad = _Loader(), _Loader()
    bad.failing = True
    cache = InstrumentCache("x", {"good": good, "bad": bad}, monotonic_ns=clock.monotonic_ns)

    await cache.ready("spot")
    with pytest.raises(TryLater):
        await cache.ready("usdm")
