"""The half that all exchange clients share: sending, signing, judging, clocks, instruments. An exchange fills in hooks of `RestClient`."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from clients.exchanges.client import ExchangeClient, ExchangeRequest, ExchangeResponse
from clients.exchanges.clock_offset import Clock, ClockOffset, ClockReading, measure
from clients.exchanges.error_table import ErrorTable, Signal, error_class
from clients.exchanges.errors import CallerMustAct, ExchangeError, OperatorMustAct, OutcomeUnknown, Sent, TryLater
from clients.exchanges.exact_json import MalformedAnswer, parse_json
from clients.exchanges.instrument_cache import InstrumentCache, Load
from clients.exchanges.model import Instrument, Price, Quote, ServerTime, mid_price
from clients.exchanges.wire import Answer, ClientPorts, Complaint, SigningKey, Wire
from clients.http.transport import HttpResponse, NotSent, ResponseLost
from clients.resilience.call import Attempt, LimitReport
from clients.resilience.outcome import Outcome
from clients.resilience.single_flight import SingleFlight

__all__ = ["Answer", "ClientPorts", "Complaint", "RestClient", "SigningKey", "Wire", "clean"]

T = TypeVar("T")

RAW_BYTES_MAX: Final = 4096
TEXT_CHARACTERS_MAX: Final = 200
CLOCK_AGE_S_MAX: Final = 600.0
"""Quartz drifts by less than 100 ppm: 60 ms in that time, a hundredth of the usual receive window."""
PARSE_INLINE_BYTES_MAX: Final = 256 * 1024
EXECUTOR_MARGIN: Final = 0.95
"""Part of an attempt's time that the transport gets: it must end first, because it knows whether something was sent."""


class RestClient(ExchangeClient):
    """Implements ExchangeClient on hooks.

    An attempt is: know the server's clock, build and sign anew, send, report the headers to the limiter, parse, judge. Every attempt
    has a timestamp and a signature of its own. After an answer that blames the clock, the next signed attempt measures it again first.
    """

    errors: ErrorTable

    def __init__(self, ports: ClientPorts) -> None:
        self.ports = ports
        self.instruments = InstrumentCache(
            self.name, self.instrument_loads(), monotonic_ns=ports.monotonic_ns, wall_ns=ports.wall_ns
        )
        self._clocks: dict[str, Clock] = {}
        self._flights: SingleFlight[tuple[str, str], Any] = SingleFlight()
        self._closed = False

    # Hooks: what an exchange has to fill in.

    @abstractmethod
    def build(self, request: ExchangeRequest, *, server_time_ns: int) -> Wire:
        """Return the bytes to send; sign when `request.signed`. `server_time_ns` is the exchange's time now (0 when unsigned)."""

    @abstractmethod
    def complaint(self, answer: Answer) -> Complaint | None:
        """Return what the answer complains about, or None when it is a success. The status alone may decide."""

    @abstractmethod
    def clock_probe(self, market: str) -> ExchangeRequest:
        """Return an unsigned request whose answer tells the server's time."""

    @abstractmethod
    def clock_reading(self, answer: Answer) -> ClockReading:
        """Return the server's time; raise MalformedAnswer."""

    async def load_instruments(self) -> Sequence[Instrument]:
        """Ask for all instruments with one request; where it takes several, override `instrument_loads` instead."""
        raise NotImplementedError

    def instrument_loads(self) -> Mapping[str, Load]:
        """Return the requests that together bring all instruments, by name; one unless overridden."""
        return {"": self.load_instruments}

    @abstractmethod
    async def fetch_quote(self, instrument: Instrument) -> Quote:
        """Ask for best bid and ask."""

    @abstractmethod
    async def fetch_last_price(self, instrument: Instrument) -> Price:
        """Ask for the price of the last trade."""

    def clock_name(self, market: str) -> str:
        """Return what identifies the clock of a market; markets on one host may share one."""
        return market

    def retry_after_s(self, answer: Answer, complaint: Complaint) -> float | None:
        """Return the server's hint, from now; by default the Retry-After header in seconds."""
        value = answer.response.headers.get("retry-after", "").strip()
        return float(value) if value.isascii() and value.isdecimal() and len(value) <= 7 else None

    def limit_report(self, answer: Answer) -> LimitReport | None:
        """Return what the answer says about the exchange's limits; called for every answer, errors included, before it is judged."""
        return None

    def request_id(self, response: HttpResponse) -> str:
        """Return the exchange's own name for the exchange of messages, where it gives one."""
        return ""

    # The interface.

    async def request(self, request: ExchangeRequest, *, deadline_s: float | None = None) -> ExchangeResponse:
        """Make one call; a request that is not idempotent goes out once at most, whatever the executor's retry policy says."""
        failed: list[ExchangeError] = []

        async def attempt(attempt: Attempt) -> ExchangeResponse:
            if failed and not request.spec.idempotent:
                # Whoever placed it decides whether and when to repeat it, whatever the executor's policies are.
                raise failed[0]
            try:
                answer, sent = await self._exchange(request, attempt)
            except ExchangeError as exc:
                failed.append(exc)
                raise
            return ExchangeResponse(
                status=answer.response.status,
                payload=answer.payload,
                raw=answer.response.body[:RAW_BYTES_MAX],
                sent=sent,
                received_wall_ns=answer.response.received_wall_ns,
                request_id=self.request_id(answer.response),
            )

        self._require(request)
        return await self.ports.executor.call(request.spec, attempt, deadline_s=deadline_s)

    async def get_instruments(self, *, refresh: bool = False) -> Mapping[str, Instrument]:
        return await self.instruments.all(refresh=refresh)

    def known_instrument(self, symbol: str) -> Instrument | None:
        return self.instruments.remembered(symbol)

    def recall(self, market: str, exchange_symbol: str, symbol: str) -> None:
        self.instruments.recall(market, exchange_symbol, symbol)

    async def get_quote(self, symbol: str) -> Quote:
        instrument = await self.instruments.by_symbol(symbol)
        return await self._once("quote", symbol, lambda: self.fetch_quote(instrument))

    async def get_price(self, symbol: str) -> Price:
        instrument = await self.instruments.by_symbol(symbol)
        quote = await self.get_quote(symbol)
        price = mid_price(quote, source=quote.source)
        if price is None:
            return await self._once("last", symbol, lambda: self.fetch_last_price(instrument))
        return price

    async def get_server_time(self, market: str | None = None) -> ServerTime:
        market = self._market(market)
        probe = self.clock_probe(market)
        offset = await self._once(
            "clock",
            market,
            lambda: self.ports.executor.call(probe.spec, lambda attempt: self._measure(market, attempt)),
        )
        return offset.as_server_time()

    async def ping(self, market: str | None = None) -> float:
        probe = self.ping_probe(self._market(market))

        async def attempt(attempt: Attempt) -> float:
            answer, _ = await self._exchange(probe, attempt)
            return (answer.response.received_ns - answer.response.sent_ns) / 1e9

        return await self.ports.executor.call(probe.spec, attempt)

    def ping_probe(self, market: str) -> ExchangeRequest:
        """Return the cheapest request there is; the clock's unless overridden."""
        return self.clock_probe(market)

    async def close(self) -> None:
        """Refuse further requests; the transport and the executor belong to whoever made them."""
        self._closed = True

    # For subclasses and streams.

    def server_now_ns(self, market: str) -> int | None:
        """Return the exchange's time as last measured; None before the first measurement."""
        offset = self._clock(market).offset
        return None if offset is None else offset.server_now_ns(self.ports.monotonic_ns())

    async def signing_time_ns(self, market: str, *, timeout_s: float = 5.0) -> int:
        """Return the exchange's time, measuring it first where needed: streams sign their logins with it."""
        clock = await self._trusted_clock(market, Attempt(1, timeout_s, ""))
        return clock.server_now_ns(self.ports.monotonic_ns())

    def server_time_of_clock(self, market: str) -> ServerTime | None:
        """Return the last measurement, for health."""
        offset = self._clock(market).offset
        return None if offset is None else offset.as_server_time()

    def fail(
        self,
        request: ExchangeRequest,
        outcome: Outcome,
        text: str,
        *,
        code: str = "",
        sent: Sent | None = None,
    ) -> ExchangeError:
        """Return (not raise) an error about this request."""
        return error_class(outcome)(self.name, request.spec.operation, outcome, clean(text), code=code, sent=sent)

    def parsed(self, request: ExchangeRequest, response: ExchangeResponse, parse: Callable[[Any], T]) -> T:
        """Return what `parse` makes of a successful answer; one that is not as documented is as good as lost."""
        try:
            return parse(response.payload)
        except MalformedAnswer as exc:
            raise self._lost(request, f"the answer is not as documented: {exc}", response.sent, response.raw) from exc

    # The attempt.

    async def _exchange(self, request: ExchangeRequest, attempt: Attempt) -> tuple[Answer, Sent]:
        started_ns = self.ports.monotonic_ns()
        timeout_s = attempt.timeout_s * EXECUTOR_MARGIN
        offset: ClockOffset | None = None
        if request.signed:
            offset = await self._trusted_clock(request.market, attempt)
            timeout_s -= (self.ports.monotonic_ns() - started_ns) / 1e9
            if timeout_s <= 0:
                raise self.fail(request, Outcome.RETRYABLE, "no time left after measuring the clock; nothing was sent")
        now_ns = self.ports.monotonic_ns()
        wire = self.build(request, server_time_ns=0 if offset is None else offset.server_now_ns(now_ns))
        sent = Sent(self.ports.wall_ns(), wire.expires_server_time_ns, attempt.correlation_id)
        try:
            answer = await self._answer(request, wire, attempt, timeout_s)
            return self._judged(answer, sent), sent
        except NotSent as exc:
            if attempt.permit is not None:
                attempt.permit.not_sent()
            raise self.fail(request, Outcome.RETRYABLE, str(exc)) from exc
        except ResponseLost as exc:
            raise self._lost(request, str(exc), sent) from exc
        except ExchangeError as exc:
            if exc.outcome is Outcome.CLOCK:
                self._distrust(request.market, offset)
            raise

    async def _answer(self, request: ExchangeRequest, wire: Wire, attempt: Attempt, timeout_s: float) -> Answer:
        response = await self.ports.transport.send(wire.request, timeout_s=timeout_s)
        payload, malformed = None, ""
        try:
            payload = await self._parsed(response.body)
        except MalformedAnswer as exc:
            malformed = str(exc)
        answer = Answer(request, response, payload, malformed)
        report = None if attempt.permit is None else self.limit_report(answer)
        if attempt.permit is not None and report is not None:
            attempt.permit.observe(report)
        return answer

    async def _parsed(self, body: bytes) -> Any:
        if len(body) > PARSE_INLINE_BYTES_MAX:
            # A list of all instruments takes long enough to be felt by every stream in this loop.
            return await asyncio.to_thread(parse_json, body)
        return parse_json(body) if body else None

    def _judged(self, answer: Answer, sent: Sent) -> Answer:
        """Return a successful answer; raise what the error table says about any other."""
        complaint = self.complaint(answer)
        if complaint is None:
            if answer.malformed:
                raise self._lost(
                    answer.request, f"the answer is malformed: {answer.malformed}", sent, answer.response.body
                )
            return answer
        request = answer.request
        row = self.errors.row_of(
            Signal(
                market=request.market,
                operation=request.spec.operation,
                reads=_reads(request),
                status=answer.response.status,
                code=complaint.code,
                text=complaint.text,
            )
        )
        raise error_class(row.outcome)(
            self.name,
            request.spec.operation,
            row.outcome,
            clean(self._keyless(complaint.text.encode()).decode()) or "no reason given",
            code=complaint.code,
            http_status=answer.response.status,
            retry_after_s=self.retry_after_s(answer, complaint),
            request_id=self.request_id(answer.response),
            sent=sent,
            raw=self._keyless(answer.response.body)[:RAW_BYTES_MAX],
            ended_by=row.ended_by,
        )

    def _lost(self, request: ExchangeRequest, text: str, sent: Sent, raw: bytes = b"") -> ExchangeError:
        """Return the error for a request whose answer cannot be known: a read is simply repeatable."""
        kind = TryLater if _reads(request) else OutcomeUnknown
        return kind(
            self.name,
            request.spec.operation,
            Outcome.RETRYABLE if _reads(request) else Outcome.UNKNOWN,
            clean(text),
            sent=sent,
            raw=self._keyless(raw)[:RAW_BYTES_MAX],
        )

    def _keyless(self, said: bytes) -> bytes:
        """Return what may be logged and kept of a foreign text: some refusals repeat what was signed, the key with it."""
        key = self.ports.key
        return said if key is None else said.replace(key.key_id.encode(), b"[key]")

    def _require(self, request: ExchangeRequest) -> None:
        if self._closed:
            raise self.fail(request, Outcome.REJECTED, "the client is closed", code="CLOSED")
        if request.signed and self.ports.key is None:
            raise OperatorMustAct(
                self.name,
                request.spec.operation,
                Outcome.AUTH,
                f"no API key: set MIDSTREAM_{self.name.upper()}_API_KEY and _API_SECRET",
                code="NO_KEY",
            )

    # Clocks.

    def _clock(self, market: str) -> Clock:
        return self._clocks.setdefault(self.clock_name(market), Clock())

    def _distrust(self, market: str, used: ClockOffset | None) -> None:
        clock = self._clock(market)
        if clock.offset is used:
            clock.distrusted = True

    async def _trusted_clock(self, market: str, attempt: Attempt) -> ClockOffset:
        """Return an offset to sign with: measured before, not blamed since, not too old."""
        clock = self._clock(market)
        offset = clock.offset
        if offset is not None and not clock.distrusted and not self._aged(offset):
            return offset
        try:
            # Under the permit of the call that needs it: its answer's headers count, too.
            return await self._once(
                "signing-clock",
                self.clock_name(market),
                lambda: self._measure(market, replace(attempt, timeout_s=attempt.timeout_s / 2)),
            )
        except ExchangeError:
            if offset is None or clock.distrusted:
                raise
            # Old is better than nothing: the receive window tolerates far more than the drift.
            return offset

    def _aged(self, offset: ClockOffset) -> bool:
        return self.ports.monotonic_ns() - offset.measured_ns > CLOCK_AGE_S_MAX * 1e9

    async def _measure(self, market: str, attempt: Attempt) -> ClockOffset:
        probe = self.clock_probe(market)
        answer, sent = await self._exchange(probe, attempt)
        try:
            offset = measure(self.clock_reading(answer), answer.response)
        except MalformedAnswer as exc:
            raise self._lost(probe, str(exc), sent, answer.response.body) from exc
        clock = self._clock(market)
        clock.offset = offset
        clock.distrusted = False
        return offset

    # Sharing.

    def _market(self, market: str | None) -> str:
        if market is None:
            return self.markets[0]
        if market not in self.markets:
            text = f"`market` is {market!r}; {self.name} has {', '.join(self.markets)}"
            raise CallerMustAct(self.name, "get_server_time", Outcome.REJECTED, clean(text), code="NO_MARKET")
        return market

    async def _once(self, kind: str, name: str, make: Callable[[], Awaitable[T]]) -> T:
        """Let concurrent callers for the same thing share one call."""
        result: T = await self._flights.run((kind, name), make)
        return result


def clean(text: str) -> str:
    """Return a foreign text fit for an error or a log line: printable, one line, bounded."""
    printable = "".join(character if character.isprintable() else " " for character in text[: TEXT_CHARACTERS_MAX * 2])
    return " ".join(printable.split())[:TEXT_CHARACTERS_MAX]


def _reads(request: ExchangeRequest) -> bool:
    return request.method in ("GET", "HEAD")
