"""An exchange's own quote stream as a live feed: each best bid and ask becomes one row, in the order of receipt.

`MIDSTREAM_LIVE_URL=EXCHANGE://BTC/USDT,ETH/USDT:USDT` names exchange and unified symbols. The clients speak the native protocol
(subscriptions, heartbeats, rotation before the exchange's daily disconnect, watchdog); here quotes become the same frames that any
other live feed brings, so that one path numbers, buffers and publishes them all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Final

from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from clients.exchanges.client import ExchangeClient
from clients.exchanges.model import Quote
from clients.exchanges.registry import settings_class
from services.replay.engine.exchange_address import ExchangeAddress
from services.replay.engine.feed_connection import FeedLink, OnMessages
from services.runtime.errors import StartRefused
from services.runtime.exchanges.opened import open_exchanges
from services.runtime.exchanges.watcher import ExchangeMetrics

logger = logging.getLogger(__name__)

OPEN_TIMEOUT_S: Final = 30.0
"""Instruments have to be asked for before anything can be subscribed."""

_SECOND_NS: Final = 1_000_000_000

Close = Callable[[], Awaitable[None]]
OpenClient = Callable[[str], Awaitable[tuple[ExchangeClient, Close]]]
"""Opens an exchange's client inside the running event loop; the second part closes it and what it stands on."""


async def open_quotes_client(name: str) -> tuple[ExchangeClient, Close]:
    """Open an exchange as the environment says, with all policies and its limits for this process."""
    exchanges = await open_exchanges((name,), metrics=ExchangeMetrics(CollectorRegistry()))
    return exchanges.by_name[name].client, exchanges.close


def check_place(address: ExchangeAddress) -> None:
    """Raise StartRefused where the environment has no place for the exchange: it has closed, or its settings are of no use."""
    try:
        settings_class(address.exchange)()
    except ValidationError as exc:
        said = "; ".join(detail["msg"].removeprefix("Value error, ") for detail in exc.errors(include_input=False))
        raise StartRefused(f"MIDSTREAM_LIVE_URL: {said}") from exc


class ExchangeDialer:
    """Implements Dialer: each dial follows the quotes of the address until a connection breaks."""

    def __init__(self, address: ExchangeAddress, open_client: OpenClient) -> None:
        self._address = address
        self._open_client = open_client

    async def __call__(self, on_messages: OnMessages) -> FeedLink:
        link = ExchangeLink(self._address, self._open_client, on_messages)
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await link.opened()
        except TimeoutError:
            await link.closed_in_order()
            raise TimeoutError(
                f"{self._address.exchange} has not accepted the subscription within {OPEN_TIMEOUT_S:g} s"
            ) from None
        except BaseException:
            link.end()
            raise
        return link


class ExchangeLink:
    """Implements FeedLink and QuoteSink."""

    def __init__(self, address: ExchangeAddress, open_client: OpenClient, on_messages: OnMessages) -> None:
        self._address = address
        self._open_client = open_client
        self._on_messages = on_messages
        self._suffix = f"@{address.exchange.upper()}"
        self._latest_ns = 0
        self._reason = ""
        self._open = asyncio.Event()
        self._over = asyncio.Event()
        self._task = asyncio.create_task(self._follow(), name=f"{address.exchange}-feed")

    async def opened(self) -> None:
        """Return when the first connection is open; raise what prevented it."""
        await self._open.wait()
        if self._over.is_set():
            raise ConnectionError(self._reason)

    async def wait_closed(self) -> None:
        await self._over.wait()

    def end(self) -> None:
        self._task.cancel()

    async def closed_in_order(self) -> None:
        """End, and wait until the client is closed."""
        self._task.cancel()
        await asyncio.wait((self._task,))

    @property
    def is_refusal(self) -> bool:
        """The client of the exchange has delays of its own for that."""
        return False

    def reason(self) -> str:
        return self._reason or "the feed was ended"

    # What the stream brings.

    def put(self, quote: Quote) -> None:
        # A step of the wall clock must not reorder what a connection brings.
        self._latest_ns = max(self._latest_ns, quote.receive_time_ns)
        self._on_messages(self._latest_ns, [row_of(quote, quote.symbol + self._suffix, self._latest_ns)])

    def forget_order(self, symbols: set[str]) -> None:
        """Quotes are taken in the order of receipt, whatever their numbers."""

    def connected(self) -> None:
        self._open.set()

    def lost(self, reason: str) -> None:
        self._end_with(reason)

    def _end_with(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._over.set()
        self._open.set()

    async def _follow(self) -> None:
        close: Close | None = None
        try:
            client, close = await self._open_client(self._address.exchange)
            await client.follow_quotes(self._address.symbols, self)
            self._end_with("the stream ended")
        except Exception as exc:  # noqa: BLE001  whatever an exchange or its client can do must not end the feed for good
            self._end_with(str(exc).strip() or type(exc).__name__)
        finally:
            if close is not None:
                await close()


def row_of(quote: Quote, ticker: str, receive_time_ns: int) -> bytes:
    """Return a quote as a row of the live layout. Without a time of the exchange's, the event is the receipt: its latency is 0.

    `id` is what the exchange numbers the symbol's quotes with, for telling again what was recorded; who does not number has none.
    """
    number = "" if quote.update_id is None else f'"id":{quote.update_id},'
    event_ns = receive_time_ns if quote.event_time_ns is None else quote.event_time_ns
    return (
        f'{{{number}"timestamp":"{spell_time(event_ns)}","ticker":"{ticker}","ask_amount":{_number(quote.ask_quantity)},'
        f'"ask_price":{_number(quote.ask_price)},"bid_price":{_number(quote.bid_price)},"bid_amount":{_number(quote.bid_quantity)}}}'
    ).encode()


def spell_time(time_ns: int) -> str:
    """Return `YYYY-MM-DD HH:MM:SS.` and nine digits, UTC."""
    seconds, rest = divmod(time_ns, _SECOND_NS)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(seconds))}.{rest:09d}"


def _number(value: Decimal | None) -> str:
    # As the exchange spelled it: the kernel reads the digits, so nothing is rounded twice.
    return "null" if value is None else format(value, "f")
