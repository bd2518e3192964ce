"""`ExchangeClient` for Binance: spot, USD-M and COIN-M behind one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from clients.exchanges.base import Answer, ClientPorts, Complaint, Wire
from clients.exchanges.bases import MarketBases
from clients.exchanges.binance.endpoints import ENDPOINTS
from clients.exchanges.binance.errors import TABLE, ban_end_ms
from clients.exchanges.binance.instruments import parse_instruments
from clients.exchanges.binance.markets import MARKETS, NAME, Market
from clients.exchanges.binance.parsing import parse_last_price, parse_quote, server_time_ms
from clients.exchanges.binance.quote_stream import QuoteStream
from clients.exchanges.binance.signing import encode, signed
from clients.exchanges.binance.weights import costs, limit_report
from clients.exchanges.client import ExchangeRequest
from clients.exchanges.clock_offset import ClockReading
from clients.exchanges.instrument_cache import Load
from clients.exchanges.model import Instrument, Price, Quote
from clients.exchanges.receive_window import RECV_WINDOW_MS, ReceiveWindow
from clients.exchanges.streamed import ConnectionRule, StreamedClient
from clients.exchanges.streaming import StreamPorts
from clients.http.transport import ANSWER_BYTES_MAX, HttpRequest, HttpResponse
from clients.resilience.call import CallSpec, LimitReport

INSTRUMENTS_DEADLINE_S: Final = 30.0
"""Megabytes take their time."""
INSTRUMENTS_BYTES_MAX: Final = 32 * 1024 * 1024
CONNECTIONS: Final = ConnectionRule(150, 300.0)
"""Half of what an address may open in five minutes."""
MILLISECOND_NS: Final = 1_000_000
KEYED_PATHS: Final = ("/listenKey", "/userDataStream")
"""Routes that need the key but no signature."""


class BinanceClient(StreamedClient):
    """Symbols decide the market: `BTC/USDT` is spot, `BTC/USDT:USDT` USD-M, `BTC/USD:BTC` COIN-M."""

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
        """How long after its timestamp Binance still takes a signed request of this client."""
        return self._window.seconds

    def build(self, request: ExchangeRequest, *, server_time_ns: int) -> Wire:
        """Put parameters into the query of GET and DELETE and into the form body of POST and PUT; sign exactly those bytes."""
        expires_ns = None
        if request.signed:
            key = self.ports.key
            assert key is not None
            stamp = self._window.stamp(server_time_ns)
            expires_ns = stamp.expires_ns
            encoded = signed(
                request.parameters, key.reveal(), timestamp_ms=stamp.timestamp_ms, recv_window_ms=self._window.ms
            )
        else:
            encoded = encode(request.parameters)
        headers: dict[str, str] = {}
        if self.ports.key is not None and (request.signed or request.path.endswith(KEYED_PATHS)):
            headers["X-MBX-APIKEY"] = self.ports.key.key_id
        url, body = self.bases[request.market].rest + request.path, b""
        if request.method in ("POST", "PUT"):
            body = encoded.encode("ascii")
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif encoded:
            url += "?" + encoded
        bytes_max = INSTRUMENTS_BYTES_MAX if request.path.endswith("/exchangeInfo") else ANSWER_BYTES_MAX
        return Wire(HttpRequest(request.method, url, headers, body, bytes_max), expires_ns)

    def complaint(self, answer: Answer) -> Complaint | None:
        payload = answer.payload
        code = payload.get("code") if isinstance(payload, dict) else None
        failed = not 200 <= answer.response.status < 300
        # Cancelling everything on futures succeeds with `{"code": 200}`: only negative codes are errors.
        if not failed and not (isinstance(code, int) and code < 0):
            return None
        if isinstance(payload, dict) and isinstance(code, int):
            return Complaint(str(code), str(payload.get("msg", "")))
        return Complaint("", _plain_text(answer))

    def retry_after_s(self, answer: Answer, complaint: Complaint) -> float | None:
        """Return the later of the header and the end of a ban that the text names."""
        hints = [super().retry_after_s(answer, complaint)]
        until_ms = ban_end_ms(complaint.text)
        if until_ms is not None:
            now_ns = self.server_now_ns(answer.request.market) or answer.response.received_wall_ns
            hints.append(max(0.0, (until_ms * MILLISECOND_NS - now_ns) / 1e9))
        known = [hint for hint in hints if hint is not None]
        return max(known) if known else None

    def limit_report(self, answer: Answer) -> LimitReport | None:
        complaint = self.complaint(answer)
        hint = None if complaint is None else self.retry_after_s(answer, complaint)
        return limit_report(MARKETS[answer.request.market], answer, retry_after_s=hint)

    def request_id(self, response: HttpResponse) -> str:
        return response.headers.get("x-mbx-uuid", "")[:64]

    def clock_probe(self, market: str) -> ExchangeRequest:
        return self._market_request(MARKETS[market], MARKETS[market].path("time"), "get_server_time", weight=1)

    def ping_probe(self, market: str) -> ExchangeRequest:
        return self._market_request(MARKETS[market], MARKETS[market].path("ping"), "ping", weight=1)

    def clock_reading(self, answer: Answer) -> ClockReading:
        return ClockReading(server_time_ms(answer.payload) * MILLISECOND_NS, MILLISECOND_NS)

    def instrument_loads(self) -> Mapping[str, Load]:
        return {market.name: partial(self._load, market) for market in MARKETS.values()}

    async def _load(self, market: Market) -> Sequence[Instrument]:
        # Permission sets are most of spot's list, and nothing here needs them.
        parameters = () if market.futures else (("showPermissionSets", "false"),)
        request = self._market_request(
            market,
            market.path("exchangeInfo"),
            "get_instruments",
            weight=1 if market.futures else 20,
            parameters=parameters,
            deadline_s=INSTRUMENTS_DEADLINE_S,
        )
        response = await self.request(request)
        return self.parsed(request, response, lambda payload: parse_instruments(market, payload))

    async def fetch_quote(self, instrument: Instrument) -> Quote:
        market = MARKETS[instrument.market]
        request = self._market_request(
            market, market.path("ticker/bookTicker"), "get_quote", weight=2, parameters=_symbol(instrument)
        )
        response = await self.request(request)
        return self.parsed(
            request, response, lambda payload: parse_quote(instrument, payload, response.received_wall_ns)
        )

    async def fetch_last_price(self, instrument: Instrument) -> Price:
        market = MARKETS[instrument.market]
        request = self._market_request(market, market.price_path, "get_price", weight=2, parameters=_symbol(instrument))
        response = await self.request(request)
        return self.parsed(
            request, response, lambda payload: parse_last_price(instrument, payload, response.received_wall_ns)
        )

    def _market_request(
        self,
        market: Market,
        path: str,
        operation: str,
        *,
        weight: int,
        parameters: tuple[tuple[str, str], ...] = (),
        deadline_s: float = 10.0,
    ) -> ExchangeRequest:
        return ExchangeRequest(
            market=market.name,
            method="GET",
            path=path,
            spec=CallSpec(
                target=f"{NAME}:{market.name}",
                group=ENDPOINTS.group_of(operation),
                operation=operation,
                costs=costs(market, weight),
                deadline_s=deadline_s,
            ),
            parameters=parameters,
        )


def _symbol(instrument: Instrument) -> tuple[tuple[str, str], ...]:
    return (("symbol", instrument.exchange_symbol),)


def _plain_text(answer: Answer) -> str:
    """Return what an answer without JSON says, unless it repeats the request back."""
    body = answer.response.body[:1024]
    if b"signature" in body or b"<" in body:
        return "an answer that is not JSON"
    return body.decode("ascii", "replace")
