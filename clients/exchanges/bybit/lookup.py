"""What became of an order: asked for, or told by the stream, because an acknowledgement says nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from clients.exchanges.bybit.client import BybitClient
from clients.exchanges.bybit.markets import MARKETS, NAME
from clients.exchanges.bybit.orders import about
from clients.exchanges.bybit.parsing import newest, parse_order
from clients.exchanges.bybit.rows import Row, rows_of
from clients.exchanges.client import ExchangeRequest, ExchangeResponse
from clients.exchanges.errors import ExchangeError, OutcomeUnknown
from clients.exchanges.model import Instrument
from clients.exchanges.trading import OrderReport
from clients.resilience.call import Priority
from clients.resilience.errors import ResilienceError
from clients.resilience.outcome import Outcome

REALTIME: Final = "/v5/order/realtime"
HISTORY: Final = "/v5/order/history"
STATUS: Final = "/v5/system/status"
LEFT_S_MIN: Final = 0.05
"""What a question gets that begins when the time is as good as over: its error then says so."""
TOLD_S: Final = 0.3
"""How long the stream may take to tell what an acknowledged request did, before it is asked for."""
WAITS_S: Final = (0.02, 0.08, 0.2, 0.5, 1.0)
"""Before each question about an acknowledged request; the row may take a moment to show."""
UNSHOWN_MAX: Final = 10_000

Done = Callable[[OrderReport], bool]


@dataclass
class Expected:
    """A statement that somebody waits for."""

    named: tuple[str, str]
    done: Done
    told: asyncio.Future[OrderReport] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def note(self, report: OrderReport) -> None:
        """Look at a statement of the stream."""
        name = report.exchange_order_id if self.named[0] == "orderId" else report.client_order_id
        if name == self.named[1] and report.fill is None and not self.told.done() and self.done(report):
            self.told.set_result(report)


class OrderLookup:
    """Asks for orders, and knows which were acknowledged and have not shown since."""

    def __init__(self, client: BybitClient) -> None:
        self._client = client
        self._expected: list[Expected] = []
        self._unshown: dict[str, None] = {}
        self.streams = 0
        """User streams that are open; without one nothing is told."""

    def acknowledged(self, client_order_id: str) -> None:
        """Remember that the exchange has accepted a request to place this: it must not count as not placed without a word."""
        self._unshown[client_order_id] = None
        while len(self._unshown) > UNSHOWN_MAX:
            del self._unshown[next(iter(self._unshown))]

    def note(self, report: OrderReport) -> None:
        """Take a statement of the stream."""
        self._unshown.pop(report.client_order_id, None)
        for expected in tuple(self._expected):
            expected.note(report)

    @contextmanager
    def expecting(self, named: tuple[str, str], done: Done) -> Iterator[Expected]:
        """Listen from before a request is sent: what it does may be told before it is answered."""
        expected = Expected(named, done)
        self._expected.append(expected)
        try:
            yield expected
        finally:
            self._expected.remove(expected)
            expected.told.cancel()

    async def outcome(
        self, expected: Expected, instrument: Instrument, acknowledgement: ExchangeResponse, *, until_ns: int
    ) -> OrderReport | None:
        """Return what the stream tells, or a question answers; without the expected statement the last other one, if any."""
        if self.streams and not expected.told.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(min(TOLD_S, self._left_s(until_ns))):
                    await asyncio.shield(expected.told)
        last: OrderReport | None = None
        for wait_s in WAITS_S:
            if expected.told.done():
                return expected.told.result()
            if self._left_s(until_ns) <= wait_s:
                break
            await self._client.streams.sleep(wait_s)
            try:
                found, _, _ = await self._look(instrument, expected.named, until_ns)
            except (ExchangeError, ResilienceError):
                # It was acknowledged; why it cannot be asked for now is no answer to that.
                break
            last = found or last
            if last is not None and expected.done(last):
                return last
        return expected.told.result() if expected.told.done() else last

    async def query(self, instrument: Instrument, named: tuple[str, str], *, deadline_s: float) -> OrderReport:
        """Return an order; raise NOT_FOUND when that is the exchange's answer, and not only for now.

        It is not for one that was acknowledged, which nobody may place again unasked, and not while the exchange says that it is in
        trouble: its lists may lack what it has.
        """
        until_ns = self._client.ports.monotonic_ns() + round(deadline_s * 1e9)
        found, request, response = await self._look(instrument, named, until_ns)
        if found is not None:
            return found
        if named[1] in self._unshown:
            text = "the exchange acknowledged this order and does not show it"
            raise OutcomeUnknown(NAME, "query_order", Outcome.UNKNOWN, text, sent=response.sent)
        if trouble := await self._trouble(instrument, until_ns):
            text = f"no order with this id, while the exchange announces trouble: {trouble}"
            raise self._client.fail(request, Outcome.MAINTENANCE, text, sent=response.sent)
        raise self._client.fail(request, Outcome.NOT_FOUND, "no order with this id (yet)", sent=response.sent)

    async def _look(
        self, instrument: Instrument, named: tuple[str, str], until_ns: int
    ) -> tuple[OrderReport | None, ExchangeRequest, ExchangeResponse]:
        """Ask among the open and the lately closed, then in the history; return what was asked last, too."""
        for path in (REALTIME, HISTORY):
            request = self._request(instrument, path, named)
            response = await self._client.request(request, deadline_s=self._left_s(until_ns))
            found = newest(self._rows(request, response, instrument, named))
            if found is not None:
                self._unshown.pop(found.client_order_id, None)
                break
        return found, request, response

    async def _trouble(self, instrument: Instrument, until_ns: int) -> str:
        """Return what the exchange says of itself that concerns trading; empty when all is well."""
        spec = self._client.spec(MARKETS[instrument.market], STATUS, "get_system_status", priority=Priority.RECOVERY)
        request = ExchangeRequest(instrument.market, "GET", STATUS, spec)
        response = await self._client.request(request, deadline_s=self._left_s(until_ns))
        rows = self._client.parsed(request, response, rows_of)
        return next((str(row.get("title") or "an incident") for row in rows if _concerns_trading(row)), "")

    def _rows(
        self, request: ExchangeRequest, response: ExchangeResponse, instrument: Instrument, named: tuple[str, str]
    ) -> Sequence[OrderReport]:
        market = MARKETS[instrument.market]
        return self._client.parsed(
            request,
            response,
            lambda payload: [
                parse_order(market, instrument.symbol, row, source="query", raw=response.raw, sent=response.sent)
                for row in rows_of(payload)
                if row.get(named[0]) == named[1] and row.get("symbol") == instrument.exchange_symbol
            ],
        )

    def _request(self, instrument: Instrument, path: str, named: tuple[str, str]) -> ExchangeRequest:
        spec = self._client.spec(MARKETS[instrument.market], path, "query_order", priority=Priority.RECOVERY)
        parameters = (*about(instrument).items(), named)
        return ExchangeRequest(instrument.market, "GET", path, spec, parameters, signed=True)

    def _left_s(self, until_ns: int) -> float:
        return max((until_ns - self._client.ports.monotonic_ns()) / 1e9, LEFT_S_MIN)


def _concerns_trading(row: Row) -> bool:
    """Whether an announcement says that trading, or this way to it, does not work now; one that does not say what it is about counts."""
    services = row.get("serviceTypes")
    return row.get("state") == "ongoing" and (not isinstance(services, list) or bool({1, 2} & {*services}))
