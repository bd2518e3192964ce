"""The newest quote of every symbol that somebody asked for lately, as the exchanges' streams bring them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from clients.exchanges.client import ExchangeClient
from clients.exchanges.errors import ExchangeError
from clients.exchanges.model import Quote
from clients.exchanges.quote_relay import is_older
from clients.resilience.errors import AttemptTimedOut, ResilienceError
from clients.resilience.ports import MonotonicNs, Sleep
from services.runtime.log_fields import fields
from services.runtime.tasks import end_task

logger = logging.getLogger(__name__)

SYMBOLS_MAX: Final = 100
"""Per exchange; the one that was asked for longest ago makes room. Exchanges allow 200 and more on one connection."""
IDLE_S: Final = 600.0
"""A symbol that nobody asks for is not streamed for ever."""
SETTLE_S: Final = 0.2
"""Symbols that are asked for together are subscribed together."""
RESTART_S: Final = 5.0
"""Between the end of a stream that should not end and the next one; streams reconnect by themselves, so this is rare."""


class LatestQuotes:
    """Streams the quotes of one exchange. Interest begins with `want` and ends by itself."""

    def __init__(
        self,
        client: ExchangeClient,
        *,
        pinned: tuple[str, ...] = (),
        monotonic_ns: MonotonicNs,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`pinned` symbols are streamed from the start and never dropped."""
        self._client = client
        self._monotonic_ns = monotonic_ns
        self._sleep = sleep
        self._pinned = frozenset(pinned)
        self._wanted_ns: dict[str, int] = dict.fromkeys(pinned, 0)
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.quotes: dict[str, Quote] = {}
        self.newest_ns: int | None = None
        """Monotonic time of the newest quote."""
        self.last_error = ""

    @property
    def streamed(self) -> tuple[str, ...]:
        """Symbols being streamed now."""
        return tuple(sorted(self._wanted_ns))

    def start(self) -> None:
        """Begin; needs a running event loop. An exchange without streams has nothing to begin: its prices are asked for."""
        if not self._client.streams_quotes:
            return
        self._task = asyncio.create_task(self._run(), name=f"quotes-{self._client.name}")

    async def stop(self) -> None:
        """End the stream."""
        await end_task(self._task)

    def want(self, symbol: str) -> None:
        """Stream this symbol for as long as it is asked for."""
        new = symbol not in self._wanted_ns
        self._wanted_ns[symbol] = self._monotonic_ns()
        if new and len(self._wanted_ns) > SYMBOLS_MAX:
            droppable = {
                name: at for name, at in self._wanted_ns.items() if name not in self._pinned and name != symbol
            }
            if droppable:
                self._drop(min(droppable, key=droppable.__getitem__))
        if new:
            self._changed.set()

    def _drop(self, symbol: str) -> None:
        del self._wanted_ns[symbol]
        self.quotes.pop(symbol, None)

    def _drop_idle(self) -> bool:
        before_ns = self._monotonic_ns() - round(IDLE_S * 1e9)
        idle = [name for name, at in self._wanted_ns.items() if at < before_ns and name not in self._pinned]
        for name in idle:
            self._drop(name)
        return bool(idle)

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            self._drop_idle()
            symbols = self.streamed
            stream = asyncio.create_task(self._stream(symbols), name=f"stream-{self._client.name}") if symbols else None
            try:
                await self._until_changed(stream)
            finally:
                await end_task(stream)

    async def _until_changed(self, stream: asyncio.Task[None] | None) -> None:
        """Return when the set of symbols has changed, or the stream has ended and may be tried again."""
        changed = asyncio.create_task(self._changed.wait())
        waiting: set[asyncio.Task[Any]] = {changed} if stream is None else {changed, stream}
        try:
            done: set[asyncio.Task[Any]] = set()
            while not done and not self._drop_idle():
                done, _ = await asyncio.wait(waiting, timeout=IDLE_S / 10, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_task(changed)
        if changed in done:
            await self._sleep(SETTLE_S)
        elif stream in done:
            await self._sleep(RESTART_S)

    async def _stream(self, symbols: tuple[str, ...]) -> None:
        try:
            async for quote in self._client.stream_quotes(symbols):
                self._take(quote)
            self.last_error = "the stream ended"
        except (ExchangeError, ResilienceError, AttemptTimedOut, OSError) as exc:
            self.last_error = str(exc)
            logger.warning("quote stream ended", extra=fields(exchange=self._client.name, reason=exc))
        except Exception as exc:
            # Whatever else: prices fall back to REST and the stream is tried again; a bug must not end the server.
            self.last_error = f"the stream failed ({type(exc).__name__})"
            logger.exception("quote stream failed", extra=fields(exchange=self._client.name))

    def _take(self, quote: Quote) -> None:
        known = self.quotes.get(quote.symbol)
        if known is not None and known.market == quote.market and is_older(quote, known):
            return
        self.quotes[quote.symbol] = quote
        self.newest_ns = self._monotonic_ns()


def newest_age_ms(quotes: Mapping[str, LatestQuotes], exchange: str, now_ns: int) -> int | None:
    """Age of the newest streamed quote of an exchange; None without one."""
    latest = quotes.get(exchange)
    return None if latest is None or latest.newest_ns is None else (now_ns - latest.newest_ns) // 1_000_000
