"""`ExchangeClient` for Bybit: spot, linear and inverse behind one object."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from clients.exchanges.base import Answer, ClientPorts, Complaint, Wire
from clients.exchanges.bases import MarketBases
from clients.exchanges.bybit import signing
from clients.exchanges.bybit.book import parse_book
from clients.exchanges.bybit.endpoints import ENDPOINTS
from clients.exchanges.bybit.errors import HEDGE_MODE, NO_CODE, NO_JSON, TABLE
from clients.exchanges.bybit.instruments import parse_instruments
from clients.exchanges.bybit.limits import BAN_S, THROTTLE_S, costs, is_ban, limit_report, until_reset_s
from clients.exchanges.bybit.markets import MARKETS, NAME, Market
from clients.exchanges.bybit.paging import pages
from clients.exchanges.bybit.quote_stream import QuoteStream
from clients.exchanges.bybit.rows import Row, number, result_of, row_about, time_ns
from clients.exchanges.client import ExchangeRequest, ExchangeResponse
from clients.exchanges.clock_offset import ClockReading
from clients.exchanges.errors import ExchangeError
from clients.exchanges.exact_json import MalformedAnswer, to_int
from clients.exchanges.instrument_cache import Load
from clients.exchanges.model import Instrument, Price, Quote
from clients.exchanges.receive_window import RECV_WINDOW_MS, ReceiveWindow
from clients.exchanges.streamed import ConnectionRule, StreamedClient
from clients.exchanges.streaming import StreamPorts
from clients.http.transport import ANSWER_BYTES_MAX, HttpRequest, HttpResponse
from clients.resilience.call import CallSpec, LimitReport, Priority

INSTRUMENTS_DEADLINE_S: Final = 30.0
"""Megabytes take their time."""
INSTRUMENTS_BYTES_MAX: Final = 32 * 1024 * 1024
INSTRUMENTS_PAGE: Final = 1000
CONNECTIONS: Final = ConnectionRule(250, 300.0)
"""Half of what an address may open in five minutes."""
ONE_WAY: Final = (
    "the account is in hedge mode: close the coin's positions and orders, then switch to one-way mode "
    "(site settings, or POST /v5/position/switch-mode, mode 0)"
)

_TRACE: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_SIGNATURE_REFUSED: Final = "10004"


class BybitClient(StreamedClient):
    """Symbols decide the market: `BTC/USDT` is spot, `BTC/USDT:USDT` linear, `BTC/USD:BTC` inverse."""

    name = NAME
    markets: Sequence[str] = tuple(MARKETS)
    errors = TABLE
    quote_streams = QuoteStream
    connections = CONNECTIONS

    def __init__(
        self,
        ports: ClientPorts,
        bases: Mapping[str, MarketBases],
        stream_ports: StreamPorts | None = None,
        *,
        recv_window_ms: int = RECV_WINDOW_MS,
    ) -> None:
        super().__init__(ports, bases, stream_ports)
        self._window = ReceiveWindow(recv_window_ms)

    @property
    def receive_window_s(self) -> float:
        """How long after its timestamp Bybit still takes a signed request of this client; the same for every attempt."""
        return self._window.seconds

    # Hooks of the base.

    def build(self, request: ExchangeRequest, *, server_time_ns: int) -> Wire:
        query = signing.query_of(request.parameters)
        body = b"" if request.json_body is None else signing.body_of(request.json_body)
        headers = {"Accept": "application/json"}
        if body:
            headers["Content-Type"] = "application/json"
        expires_ns = None
        if request.signed:
            key = self.ports.key
            assert key is not None
            stamp = self._window.stamp(server_time_ns)
            expires_ns = stamp.expires_ns
            headers |= signing.headers(
                key.key_id,
                key.reveal(),
                timestamp_ms=stamp.timestamp_ms,
                recv_window_ms=self._window.ms,
                payload=body.decode() if body else query,
            )
        url = self.bases[request.market].rest + request.path + (f"?{query}" if query else "")
        bytes_max = INSTRUMENTS_BYTES_MAX if request.path.endswith("/instruments-info") else ANSWER_BYTES_MAX
        return Wire(HttpRequest(request.method, url, headers, body, bytes_max), expires_ns)

    def complaint(self, answer: Answer) -> Complaint | None:
        """Return what an answer complains about. The status says little: refusals come with 200, and a code that is not 0."""
        succeeded = 200 <= answer.response.status < 300
        if answer.malformed or not isinstance(answer.payload, Mapping):
            # One that cannot be read is as good as lost, and the base says so; one that is no success has a table for it.
            return None if succeeded and answer.malformed else Complaint(NO_JSON, _plain_text(answer))
        code = answer.payload.get("retCode")
        if not isinstance(code, int) or isinstance(code, bool):
            return Complaint(NO_CODE, _plain_text(answer))
        if succeeded and code == 0:
            return None
        text = str(answer.payload.get("retMsg") or "")
        if str(code) == _SIGNATURE_REFUSED:
            # The text repeats all that was signed.
            text = "the signature was refused"
        return Complaint(str(code), ONE_WAY + f" ({HEDGE_MODE})" if HEDGE_MODE in text else text)

    def retry_after_s(self, answer: Answer, complaint: Complaint) -> float | None:
        if is_ban(answer):
            return BAN_S
        if complaint.code == "10006":
            until_s = until_reset_s(answer)
            return THROTTLE_S if until_s is None else max(until_s, 0.05)
        return super().retry_after_s(answer, complaint)

    def limit_report(self, answer: Answer) -> LimitReport | None:
        complaint = self.complaint(answer)
        if complaint is None:
            return limit_report(answer, code="", retry_after_s=None)
        return limit_report(answer, code=complaint.code, retry_after_s=self.retry_after_s(answer, complaint))

    def request_id(self, response: HttpResponse) -> str:
        value = response.headers.get("traceid", "")
        return value if _TRACE.fullmatch(value) else ""

    def clock_name(self, market: str) -> str:
        """Return one name for all: the markets are one host."""
        return NAME

    def clock_probe(self, market: str) -> ExchangeRequest:
        return self._read(MARKETS[market], "/v5/market/time", "get_server_time")

    def clock_reading(self, answer: Answer) -> ClockReading:
        return ClockReading(to_int(result_of(answer.payload).get("timeNano"), "timeNano"), 1)

    def instrument_loads(self) -> Mapping[str, Load]:
        return {market.name: partial(self._load, market) for market in MARKETS.values()}

    async def _load(self, market: Market) -> Sequence[Instrument]:
        parameters: tuple[tuple[str, str], ...] = (("category", market.name),)
        if market.paged:
            parameters += (("limit", str(INSTRUMENTS_PAGE)),)
        request = self._read(
            market,
            "/v5/market/instruments-info",
            "get_instruments",
            parameters,
            deadline_s=INSTRUMENTS_DEADLINE_S,
        )
        rows: list[Row] = []
        async for page, _ in pages(self, request, rows_max=None):
            rows += page
        return parse_instruments(market, rows)

    async def fetch_quote(self, instrument: Instrument) -> Quote:
        request = self._read(
            MARKETS[instrument.market], "/v5/market/orderbook", "get_quote", (*_about(instrument), ("limit", "1"))
        )
        response = await self.request(request)
        return self.parsed(
            request,
            response,
            lambda payload: parse_book(result_of(payload), instrument, receive_time_ns=response.received_wall_ns),
        )

    async def fetch_last_price(self, instrument: Instrument) -> Price:
        request = self._read(MARKETS[instrument.market], "/v5/market/tickers", "get_price", _about(instrument))
        response = await self.request(request)
        return self.parsed(
            request, response, lambda payload: _last_price(payload, instrument, response.received_wall_ns)
        )

    # For trading and streams.

    def spec(
        self,
        market: Market,
        path: str,
        operation: str,
        *,
        idempotent: bool = True,
        priority: Priority = Priority.NORMAL,
        deadline_s: float = 10.0,
    ) -> CallSpec:
        """Return the description of a call for the policies."""
        return CallSpec(
            target=f"{NAME}:{market.name}",
            group=ENDPOINTS.group_of(operation),
            operation=operation,
            idempotent=idempotent,
            costs=costs(market.name, path),
            priority=priority,
            deadline_s=deadline_s,
        )

    def unreadable(self, request: ExchangeRequest, response: ExchangeResponse, error: MalformedAnswer) -> ExchangeError:
        """Return the error for a successful answer that does not say what it should: a write may well have been executed."""
        return self._lost(request, f"the answer is not as documented: {error}", response.sent, response.raw)

    def _read(
        self,
        market: Market,
        path: str,
        operation: str,
        parameters: Sequence[tuple[str, str]] = (),
        *,
        deadline_s: float = 10.0,
    ) -> ExchangeRequest:
        spec = self.spec(market, path, operation, deadline_s=deadline_s)
        return ExchangeRequest(market=market.name, method="GET", path=path, spec=spec, parameters=parameters)


def _about(instrument: Instrument) -> tuple[tuple[str, str], ...]:
    return ("category", instrument.market), ("symbol", instrument.exchange_symbol)


def _last_price(payload: Any, instrument: Instrument, received_wall_ns: int) -> Price:
    """Return the price of the last trade. Nobody says when that was; the answer says when it was the last one."""
    price = number(row_about(payload, instrument.exchange_symbol), "lastPrice")
    if not price:
        raise MalformedAnswer("`lastPrice` is missing")
    return Price(
        exchange=NAME,
        market=instrument.market,
        symbol=instrument.symbol,
        price=price,
        basis="last",
        event_time_ns=time_ns(payload, "time"),
        receive_time_ns=received_wall_ns,
        source="rest",
    )


def _plain_text(answer: Answer) -> str:
    """Return the beginning of an answer that is not as documented, unless it is a page."""
    body = answer.response.body[:1024]
    return (
        "an answer that is a page"
        if b"<" in body and b"access too frequent" not in body.lower()
        else body.decode("ascii", "replace")
    )
