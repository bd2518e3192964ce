"""BitMEX's REST API."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from clients.exchanges.base import Answer, ClientPorts, Complaint, Wire, clean
from clients.exchanges.bases import MarketBases
from clients.exchanges.bitmex import signing
from clients.exchanges.bitmex.endpoints import ENDPOINTS
from clients.exchanges.bitmex.errors import ERRORS, OVERLOAD_WAIT_S
from clients.exchanges.bitmex.instruments import EXCHANGE, MARKET, parse_instruments
from clients.exchanges.bitmex.json_body import encode
from clients.exchanges.bitmex.limits import limit_report, read_costs
from clients.exchanges.bitmex.parsing import parse_quote
from clients.exchanges.bitmex.quote_stream import QuoteStream
from clients.exchanges.bitmex.stream_requests import CONNECTIONS_PER_HOUR
from clients.exchanges.bitmex.units import time_ns
from clients.exchanges.client import ExchangeRequest, ExchangeResponse
from clients.exchanges.clock_offset import ClockReading
from clients.exchanges.error_table import Signal, error_class
from clients.exchanges.errors import ExchangeError, Sent
from clients.exchanges.exact_json import MalformedAnswer, to_decimal
from clients.exchanges.model import Instrument, Price, Quote
from clients.exchanges.streamed import ConnectionRule, StreamedClient
from clients.exchanges.streaming import StreamPorts
from clients.http.transport import HttpRequest, HttpResponse
from clients.resilience.call import CallSpec, Cost, LimitReport, Priority

PATH_PREFIX: Final = "/api/v1"
"""Used where the base URL has no path of its own."""

_DATE_RESOLUTION_NS: Final = 1_000_000_000
_PROBE_SYMBOL: Final = "XBTUSD"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,80}", re.ASCII)


class BitMEXClient(StreamedClient):
    """Everything is one market; the base URL's path, where it has one, replaces `/api/v1`.

    With a key, market data is asked for signed as well: the account may send four times as much as an address without one.
    """

    name = EXCHANGE
    markets: Sequence[str] = (MARKET,)
    errors = ERRORS
    quote_streams = QuoteStream
    connections = ConnectionRule(CONNECTIONS_PER_HOUR, 3600.0)

    def __init__(
        self, ports: ClientPorts, bases: Mapping[str, MarketBases], stream_ports: StreamPorts | None = None
    ) -> None:
        super().__init__(ports, bases, stream_ports)
        parts = urlsplit(bases[MARKET].rest)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._prefix = parts.path.rstrip("/") or PATH_PREFIX

    # Hooks of the base.

    def build(self, request: ExchangeRequest, *, server_time_ns: int) -> Wire:
        target = self._prefix + request.path
        if request.parameters:
            target += "?" + urlencode(list(request.parameters), quote_via=quote, safe="")
        body = b"" if request.json_body is None else encode(request.json_body)
        headers = {"Accept": "application/json"}
        if body:
            headers["Content-Type"] = "application/json"
        if request.signed:
            assert self.ports.key is not None
            key, expires_s = self.ports.key, signing.expiry_s(server_time_ns)
            headers |= signing.headers(key.key_id, key.reveal(), request.method, target, expires_s, body)
        # No expiry of the wire: `api-expires` is checked before the engine's queue, so it does not bound when an order arrives.
        return Wire(HttpRequest(request.method, self._origin + target, headers, body))

    def complaint(self, answer: Answer) -> Complaint | None:
        if 200 <= answer.response.status < 300:
            return None
        error = answer.payload.get("error") if isinstance(answer.payload, Mapping) else None
        if not isinstance(error, Mapping):
            return Complaint("", "")
        details = error.get("details")
        code = details if isinstance(details, str) and details else error.get("name")
        return Complaint(str(code or "")[:32], str(error.get("message") or ""))

    def retry_after_s(self, answer: Answer, complaint: Complaint) -> float | None:
        hint_s = super().retry_after_s(answer, complaint)
        if answer.response.status == 429 and hint_s is None:
            hint_s = _until_reset_s(answer.response)
        if answer.response.status == 503:
            hint_s = max(hint_s or 0.0, OVERLOAD_WAIT_S)
        return hint_s

    def limit_report(self, answer: Answer) -> LimitReport | None:
        complaint = self.complaint(answer)
        hint_s = None if complaint is None else self.retry_after_s(answer, complaint)
        return limit_report(answer, retry_after_s=hint_s)

    def request_id(self, response: HttpResponse) -> str:
        value = response.headers.get("x-request-id", "")
        return value if _REQUEST_ID.fullmatch(value) else ""

    def clock_probe(self, market: str) -> ExchangeRequest:
        # There is no time route: the answer's Date header tells, to the second. The columns only keep the answer short.
        parameters = (("symbol", _PROBE_SYMBOL), ("count", "1"), ("columns", "lastPrice"))
        return self._read("get_server_time", "/instrument", parameters, signed=False)

    def clock_reading(self, answer: Answer) -> ClockReading:
        value = answer.response.headers.get("date", "")
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            raise MalformedAnswer(f"the answer's Date header is no date: {value[:40]!r}") from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        # Truncated to the second: the truth lies up to one second later.
        return ClockReading(int(moment.timestamp()) * 1_000_000_000, _DATE_RESOLUTION_NS)

    async def load_instruments(self) -> Sequence[Instrument]:
        request = self._read("get_instruments", "/instrument/active")
        response = await self.request(request)
        try:
            return parse_instruments(response.payload)
        except MalformedAnswer as error:
            raise self.unreadable(request, response, error) from error

    def recall(self, market: str, exchange_symbol: str, symbol: str) -> None:
        # Spot is counted in units that only the list tells.
        if ":" in symbol:
            super().recall(market, exchange_symbol, symbol)

    async def fetch_quote(self, instrument: Instrument) -> Quote:
        parameters = (("symbol", instrument.exchange_symbol), ("count", "1"), ("reverse", "true"))
        request = self._read("get_quote", "/quote", parameters)
        response = await self.request(request)
        try:
            rows = response.payload
            if not isinstance(rows, list) or len(rows) != 1 or not isinstance(rows[0], Mapping):
                raise MalformedAnswer("the answer is not one quote")
            return parse_quote(rows[0], instrument, receive_time_ns=response.received_wall_ns, source="rest")
        except MalformedAnswer as error:
            raise self.unreadable(request, response, error) from error

    async def fetch_last_price(self, instrument: Instrument) -> Price:
        parameters = (("symbol", instrument.exchange_symbol), ("count", "1"), ("columns", "lastPrice,timestamp"))
        request = self._read("get_price", "/instrument", parameters)
        response = await self.request(request)
        try:
            row = response.payload[0] if isinstance(response.payload, list) and response.payload else None
            if not isinstance(row, Mapping) or row.get("symbol") != instrument.exchange_symbol:
                raise MalformedAnswer("the answer is not about this instrument")
            stamp = row.get("timestamp")
            return Price(
                exchange=EXCHANGE,
                market=MARKET,
                symbol=instrument.symbol,
                price=to_decimal(row.get("lastPrice"), "lastPrice"),
                basis="last",
                event_time_ns=None if stamp is None else time_ns(stamp, "timestamp"),
                receive_time_ns=response.received_wall_ns,
                source="rest",
            )
        except MalformedAnswer as error:
            raise self.unreadable(request, response, error) from error

    # For trading and streams.

    def spec(
        self,
        operation: str,
        costs: tuple[Cost, ...],
        *,
        idempotent: bool = True,
        priority: Priority = Priority.NORMAL,
    ) -> CallSpec:
        """Return the description of a call for the policies."""
        return CallSpec(
            target=EXCHANGE,
            group=ENDPOINTS.group_of(operation),
            operation=operation,
            idempotent=idempotent,
            costs=costs,
            priority=priority,
        )

    def unreadable(self, request: ExchangeRequest, response: ExchangeResponse, error: MalformedAnswer) -> ExchangeError:
        """Return the error for a successful answer that does not say what it should: a write may well have been executed."""
        return self._lost(request, f"the answer is not as documented: {error}", response.sent, response.raw)

    def refused(self, request: ExchangeRequest, text: str, *, sent: Sent, raw: bytes) -> ExchangeError:
        """Return the error for an element of a 200 that says in itself that it was refused."""
        row = self.errors.row_of(Signal(MARKET, request.spec.operation, reads=False, status=400, text=text))
        return error_class(row.outcome)(
            EXCHANGE, request.spec.operation, row.outcome, clean(text), http_status=200, sent=sent, raw=raw
        )

    def _read(
        self,
        operation: str,
        path: str,
        parameters: Sequence[tuple[str, str]] = (),
        *,
        signed: bool | None = None,
    ) -> ExchangeRequest:
        signs = self.ports.key is not None if signed is None else signed
        return ExchangeRequest(
            market=MARKET,
            method="GET",
            path=path,
            spec=self.spec(operation, read_costs(signed=signs)),
            parameters=parameters,
            signed=signs,
        )


def _until_reset_s(response: HttpResponse) -> float | None:
    """Return the seconds until the bucket has room again, as the headers say; their times are the server's."""
    reset = response.headers.get("x-ratelimit-reset", "")
    if not reset.isascii() or not reset.isdecimal() or len(reset) > 12:
        return None
    try:
        now_s = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except ValueError:
        now_s = response.received_wall_ns / 1e9
    return max(0.0, min(int(reset) - now_s, 3600.0))


def json_filter(conditions: Mapping[str, Any]) -> str:
    """Return the value of a `filter` parameter."""
    return encode(conditions).decode()
