"""The exchange that the documentation builds, built as it stands, and asked for a price."""

from __future__ import annotations

import importlib
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

import clients.exchanges
from clients.exchanges.errors import CallerMustAct, TryLater
from clients.exchanges.names import EXCHANGES
from clients.resilience.errors import LimitReached
from clients.resilience.outcome import Outcome
from services.price.exchanges.desk import PriceDesk
from services.runtime.errors import StartRefused
from services.runtime.exchanges.latest_quotes import LatestQuotes
from services.runtime.exchanges.opened import OpenExchanges, open_exchanges
from services.runtime.exchanges.watcher import ExchangeMetrics
from tests.support.cli import ROOT
from tests.support.toy_exchange import ToyServer

DOCUMENT = ROOT / "docs" / "adding_an_exchange.md"
FOLDER = "clients/exchanges/"


def documented_files() -> Mapping[str, str]:
    """Every file of the document, by path."""
    found = re.findall(r"^### `([^`]+)`\n```python\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    assert len(found) == 5
    return dict(found)


def documented_line() -> tuple[str, str]:
    """The line of `names.py`: name and package."""
    (line,) = re.findall(r'^    "(\w+)": "([\w.]+)",$', DOCUMENT.read_text(), re.MULTILINE)
    return line[0], line[1]


def documented_use() -> str:
    """The block that asks for a price."""
    return DOCUMENT.read_text().split("In Python, with all policies:\n```python\n")[1].split("```")[0]


@pytest.fixture
def _toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Write the folder where `clients.exchanges` looks, and add the line."""
    for path, text in documented_files().items():
        assert path.startswith(f"{FOLDER}toy/")
        file = tmp_path / path.removeprefix(FOLDER)
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(clients.exchanges, "__path__", [*clients.exchanges.__path__, str(tmp_path)])
    name, package = documented_line()
    monkeypatch.setitem(EXCHANGES, name, package)
    importlib.invalidate_caches()
    yield
    for module in [module for module in sys.modules if module.startswith("clients.exchanges.toy")]:
        del sys.modules[module]
    vars(clients.exchanges).pop("toy", None)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ToyServer]:
    monkeypatch.delenv("MIDSTREAM_EXCHANGES", raising=False)
    async with ToyServer() as serving:
        monkeypatch.setenv("MIDSTREAM_TOY_URL", serving.url)
        yield serving


@asynccontextmanager
async def opened() -> AsyncIterator[OpenExchanges]:
    exchanges = await open_exchanges(["toy"], metrics=ExchangeMetrics(CollectorRegistry()), environ={})
    try:
        yield exchanges
    finally:
        await exchanges.close()


@pytest.mark.quick
@pytest.mark.usefixtures("_toy")
async def test_the_documented_exchange_prices_through_the_desk(server: ToyServer) -> None:
    async with opened() as exchanges:
        quotes = LatestQuotes(exchanges.clients["toy"], monotonic_ns=time.monotonic_ns)
        quotes.start()
        desk = PriceDesk(exchanges.clients, {"toy": quotes}, wall_ns=time.time_ns)

        priced = await desk.get("BTC/EUR")

        await quotes.stop()
    assert str(priced.price.price) == "50000.250"
    assert (priced.price.source, priced.price.stale, priced.attempts) == ("rest", False, ())
    assert priced.quote is not None
    assert str(priced.quote.bid_quantity) == "0.50"


@pytest.mark.usefixtures("_toy")
async def test_the_documented_use_prints_a_price(server: ToyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    scope: dict[str, object] = {"__name__": "documented"}
    exec(compile(documented_use(), str(DOCUMENT), "exec"), scope)
    price_of = scope["price_of"]
    scope["ExchangeMetrics"] = lambda: ExchangeMetrics(CollectorRegistry())  # the process's registry takes names once

    assert callable(price_of)
    assert await price_of("BTC/EUR") == "50000.250"


@pytest.mark.usefixtures("_toy")
async def test_the_documented_exchange_knows_its_instruments_and_the_time(server: ToyServer) -> None:
    async with opened() as exchanges:
        client = exchanges.clients["toy"]
        instruments = await client.get_instruments()
        clock = await client.get_server_time()

    assert {symbol: each.tradable for symbol, each in instruments.items()} == {"BTC/EUR": True, "ETH/EUR": False}
    assert str(instruments["BTC/EUR"].price_tick) == "0.5"
    assert abs(clock.offset_ns - server.ahead_ns) <= clock.error_ns + 50_000_000


@pytest.mark.usefixtures("_toy")
async def test_an_answer_that_is_not_as_documented_names_the_field(server: ToyServer) -> None:
    server.quote["bid"] = "nothing"

    async with opened() as exchanges:
        with pytest.raises(TryLater, match="`bid` is not a number"):
            await exchanges.clients["toy"].get_quote("BTC/EUR")


@pytest.mark.usefixtures("_toy")
async def test_the_documented_errors_are_judged_and_reads_are_repeated(server: ToyServer) -> None:
    async with opened() as exchanges:
        client = exchanges.clients["toy"]
        await client.get_instruments()
        server.next = [(503, {}, b"<html>"), (500, {}, b'{"code": "OOPS", "text": "again"}')]
        await client.get_quote("BTC/EUR")
        server.next = [(400, {}, b'{"code": "NO_SUCH_NAME", "text": "who?"}')]
        with pytest.raises(CallerMustAct) as refused:
            await client.get_quote("BTC/EUR")

    assert (refused.value.outcome, refused.value.code) == (Outcome.NOT_FOUND, "NO_SUCH_NAME")


@pytest.mark.usefixtures("_toy")
async def test_a_throttled_answer_stops_everything_that_shares_the_limit(server: ToyServer) -> None:
    async with opened() as exchanges:
        client = exchanges.clients["toy"]
        await client.get_instruments()
        server.next = [(429, {"Retry-After": "40"}, b'{"code": "SLOW", "text": "too many"}')]
        with pytest.raises((TryLater, LimitReached)):
            await client.get_quote("BTC/EUR")
        asked = server.requests
        with pytest.raises(LimitReached):
            await client.get_server_time()
        (status, *_) = await exchanges.statuses()

    assert server.requests == asked
    assert status.target == "toy"


@pytest.mark.usefixtures("_toy")
async def test_an_exchange_without_streams_or_orders_says_so(server: ToyServer) -> None:
    async with opened() as exchanges:
        client = exchanges.clients["toy"]
        with pytest.raises(CallerMustAct, match="streams no quotes"):
            client.stream_quotes(["BTC/EUR"])
        with pytest.raises(CallerMustAct, match="streams no quotes"):
            await client.follow_quotes(["BTC/EUR"], None)
        with pytest.raises(StartRefused, match="prices only"):
            exchanges.by_name["toy"].trading()


@pytest.mark.usefixtures("_toy")
@pytest.mark.parametrize(("environment", "says"), [("simulator", "MIDSTREAM_TOY_URL"), ("testnet", "no testnet")])
async def test_an_environment_that_toy_is_not_in_is_refused_at_start(
    environment: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIDSTREAM_EXCHANGES", environment)
    monkeypatch.delenv("MIDSTREAM_TOY_URL", raising=False)

    with pytest.raises(SystemExit):
        async with opened():
            pass

    assert says in capsys.readouterr().err
