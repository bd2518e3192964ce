"""An exchange in this process, with an order book per client and faults on demand: what a `TradingClient` shows of the outside world.

It keeps the rules that matter for truth, as `ExchangeRules` states them: whether client ids are unique among open orders only or for
ever, whether a request that arrives after its receive window is dropped or executed all the same, what a dead-man timer covers. An
absolute amend may be repeated, and the user stream says everything, in whatever order and as often as the script wants.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

from clients.exchanges.errors import CallerMustAct, ExchangeError, OutcomeUnknown, Sent, TryLater
from clients.exchanges.model import Instrument, InstrumentKind
from clients.exchanges.trading import (
    Capabilities,
    Fill,
    OrderReport,
    OrderType,
    Position,
    Replaced,
    Side,
    StreamGap,
    TimeInForce,
    VenueOrder,
    VenueState,
)
from clients.resilience.outcome import Outcome
from services.orders.domain.client_ids import order_id_of
from services.orders.ports import Ports
from tests.support.exchange_rules import ExchangeRules
from tests.support.scripted_market import ScriptedMarket
from tests.support.scripted_orders import ZERO, Booked, Call, Fault

T = TypeVar("T")


class ScriptedVenue(ScriptedMarket):
    """Both a `TradingClient` and the market data that orders need."""

    def __init__(
        self, rules: ExchangeRules, ports: Ports, *, instruments: Sequence[Instrument] = (), latency_s: float = 0.01
    ) -> None:
        super().__init__(rules, ports, instruments=instruments, latency_s=latency_s)
        self.book: dict[str, Booked] = {}
        self.trades: list[Fill] = []
        self.extra_positions: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.calls: list[Call] = []
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self.stream_delay_s = 0.0
        self.stream_mute = False
        self.repeat_events = 1
        self.queue_s = 0.0
        """How long a request waits in the client, as it does for a limit, before it leaves."""
        self.pending_cancels = False
        """Whether cancels are answered, and not carried out yet."""
        self._streams: set[asyncio.Queue[OrderReport | StreamGap | None]] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._dead_men: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._next = 0
        self.stamps_offset = False
        """Whether statements carry the exchange's own time, which is `offset_ns` ahead of ours."""
        self.refuse_new: ExchangeError | None = None
        """Refuses the new order of a replacement, after the old one is cancelled."""
        self.two_open: list[str] = []
        """Orders of ours of which two were open at the same time, which must never be."""
        self.placed: defaultdict[str, int] = defaultdict(int)
        """How many orders each client id has made; more than one is the double that must never be."""

    # -- what tests do -------------------------------------------------------------------------------------------------------

    def script(self, operation: str, *faults: Fault) -> None:
        """Let the next requests of an operation meet these faults."""
        self.faults[operation].extend(faults)

    def sent(self, operation: str) -> list[Call]:
        """Return the requests of an operation."""
        return [call for call in self.calls if call.operation == operation]

    def down_error(self) -> TryLater:
        """Return the error of an exchange that certainly did not execute anything."""
        return TryLater(self.exchange, "request", Outcome.MAINTENANCE, "closed for maintenance")

    def open_booked(self) -> list[Booked]:
        """Return the orders in the book."""
        return [booked for booked in self.book.values() if not booked.state.terminal]

    def by_client_id(self, client_order_id: str) -> Booked | None:
        """Return the newest order with a client id."""
        found = [booked for booked in self.book.values() if booked.client_order_id == client_order_id]
        return found[-1] if found else None

    def fill(
        self, booked: Booked, quantity: Decimal, price: Decimal | None = None, *, tell: bool = True,
        fee: tuple[str, str] | None = None,
    ) -> Fill:  # fmt: skip
        """Execute a part of an order; `fee` is an amount and its currency, a thousandth of the worth unless it is given."""
        at = price if price is not None else booked.price or self.mid[booked.instrument.symbol]
        self._touch(booked)
        booked.filled += quantity
        booked.notional += quantity * at
        booked.state = VenueState.FILLED if booked.filled >= booked.quantity else VenueState.PARTIALLY_FILLED
        self._next += 1
        fill = Fill(
            self.exchange, booked.instrument.market, booked.instrument.symbol, f"t{self._next}", booked.exchange_order_id,
            booked.client_order_id, booked.side, quantity, at,
            quantity * at / 1000 if fee is None else Decimal(fee[0]), booked.instrument.quote if fee is None else fee[1],
            booked.updated_ns,
        )  # fmt: skip
        self.trades.append(fill)
        if tell:
            self.tell(replace(self.report(booked), fill=fill, source="stream"))
        return fill

    def end(
        self, booked: Booked, state: VenueState = VenueState.CANCELED, reason: str = "", *, tell: bool = True
    ) -> None:
        """End an order."""
        if not booked.state.terminal:
            self._touch(booked)
            booked.state = state
            booked.reason = reason
            if tell:
                self.tell(replace(self.report(booked), source="stream"))

    def external(
        self, symbol: str = "BTC/USDT", side: Side = Side.BUY, quantity: str = "0.5", price: str = "90", *,
        tell: bool = True,
    ) -> Booked:  # fmt: skip
        """Let somebody else place an order on the same account."""
        self._next += 1
        return self._book(
            self.instruments[symbol], f"other-{self._next}", side, OrderType.LIMIT, Decimal(quantity), Decimal(price),
            TimeInForce.GTC, tell=tell,
        )  # fmt: skip

    def tell(self, event: OrderReport | StreamGap) -> None:
        """Say something on the user stream, after its delay."""
        if self.stream_mute and not isinstance(event, StreamGap):
            return
        for number in range(self.repeat_events):
            if delay_s := self.stream_delay_s + number:
                asyncio.get_running_loop().call_later(delay_s, self._tell_now, event)
            else:
                self._tell_now(event)

    def _tell_now(self, event: OrderReport | StreamGap) -> None:
        for queue in self._streams:
            queue.put_nowait(event)

    def cut_stream(self) -> None:
        """End every user stream; clients come back by themselves."""
        for queue in self._streams:
            queue.put_nowait(None)

    def report(self, booked: Booked) -> OrderReport:
        """State an order."""
        return OrderReport(
            self.exchange, booked.instrument.market, booked.instrument.symbol, booked.exchange_order_id,
            booked.client_order_id, booked.state, booked.state.value, booked.side, booked.type, booked.quantity,
            booked.price, booked.filled, booked.notional / booked.filled if booked.filled else None, booked.updated_ns,
            booked.created_ns, booked.time_in_force, booked.reason, raw=b'{"status":"%s"}' % booked.state.value.encode(),
        )  # fmt: skip

    def position(self, symbol: str) -> Decimal:
        """Return the signed sum of all executions."""
        own = (fill for fill in self.trades if fill.symbol == symbol)
        return sum((fill.quantity if fill.side is Side.BUY else -fill.quantity for fill in own), ZERO)

    # -- TradingClient -------------------------------------------------------------------------------------------------------

    async def place(self, order: VenueOrder, *, deadline_s: float) -> OrderReport:
        return await self._request("place", order.client_order_id, lambda: self._place(order))

    async def amend(
        self, instrument: Instrument, *, client_order_id: str, exchange_order_id: str, side: Side, quantity: Decimal,
        price: Decimal, deadline_s: float,
    ) -> OrderReport:  # fmt: skip
        def change() -> OrderReport:
            booked = self._find(instrument, client_order_id, exchange_order_id, "amend")
            if booked.state.terminal:
                raise self._refuse("amend", f"Invalid ordStatus: {booked.state}")
            if quantity <= booked.filled:
                self.end(booked, reason="amended below what is executed")
            else:
                self._touch(booked)
                booked.quantity, booked.price = quantity, price
                self.tell(replace(self.report(booked), source="stream"))
            return self.report(booked)

        return await self._request("amend", client_order_id, change)

    async def replace(
        self, order: VenueOrder, *, client_order_id: str, exchange_order_id: str, deadline_s: float
    ) -> Replaced:
        def change() -> Replaced:
            old = self._find(order.instrument, client_order_id, exchange_order_id, "amend")
            if old.state.terminal or old.filled:
                raise self._refuse("amend", f"Order cancel-replace failed: {old.state}")
            self.end(old)
            if self.refuse_new is not None:
                return Replaced(self.report(old), None, self.refuse_new)
            new = self._place(order)
            return Replaced(self.report(old), new)

        return await self._request("amend", client_order_id, change)

    async def cancel(
        self, instrument: Instrument, *, client_order_id: str, exchange_order_id: str, deadline_s: float
    ) -> OrderReport:
        def cancel() -> OrderReport:
            booked = self._find(instrument, client_order_id, exchange_order_id, "cancel")
            if booked.state.terminal:
                raise self._refuse("cancel", f"Unable to cancel order due to existing state: {booked.state}")
            if not self.pending_cancels:
                self.end(booked)
            return self.report(booked)

        return await self._request("cancel", client_order_id, cancel)

    async def cancel_all(self, instrument: Instrument | None, *, deadline_s: float) -> Sequence[OrderReport]:
        def cancel() -> Sequence[OrderReport]:
            ended = [
                one for one in self.open_booked() if instrument is None or one.instrument.symbol == instrument.symbol
            ]
            for booked in ended:
                self.end(booked)
            return [self.report(booked) for booked in ended]

        return await self._request("cancel_all", "", cancel)

    async def query(
        self,
        instrument: Instrument,
        *,
        client_order_id: str = "",
        exchange_order_id: str = "",
        deadline_s: float = 10.0,
    ) -> OrderReport:
        return await self._request(
            "query",
            client_order_id or exchange_order_id,
            lambda: replace(
                self.report(self._find(instrument, client_order_id, exchange_order_id, "query")), source="query"
            ),
        )

    async def open_orders(self, instrument: Instrument | None = None) -> Sequence[OrderReport]:
        return await self._request(
            "open_orders",
            "",
            lambda: [
                self.report(one)
                for one in self.open_booked()
                if instrument is None or one.instrument.symbol == instrument.symbol
            ],
        )

    async def orders_between(self, instrument: Instrument, *, start_ns: int, end_ns: int) -> Sequence[OrderReport]:
        return await self._request(
            "orders_between",
            "",
            lambda: [
                self.report(one)
                for one in self.book.values()
                if one.instrument.symbol == instrument.symbol and start_ns <= one.created_ns <= end_ns
            ],
        )

    async def fills(self, instrument: Instrument, *, start_ns: int, end_ns: int) -> Sequence[Fill]:
        return await self._request(
            "fills",
            "",
            lambda: [
                fill
                for fill in self.trades
                if fill.symbol == instrument.symbol and start_ns <= fill.trade_time_ns <= end_ns
            ],
        )

    async def positions(self) -> Sequence[Position]:
        return await self._request(
            "positions",
            "",
            lambda: [
                Position(
                    self.exchange,
                    one.market,
                    one.symbol,
                    self.position(one.symbol) + self.extra_positions[one.symbol],
                    None,
                )
                for one in self.instruments.values()
                if one.kind is not InstrumentKind.SPOT
            ],
        )

    async def arm_dead_man(self, *, timeout_s: float, instruments: Sequence[Instrument]) -> bool:
        def arm() -> bool:
            for covered in {self.rules.covered(instrument) for instrument in instruments}:
                running = self._dead_men.pop(covered, None)
                if running is not None:
                    running.cancel()
                if timeout_s:
                    self._dead_men[covered] = asyncio.get_running_loop().call_later(timeout_s, self._time_out, covered)
            return True

        return await self._request("arm_dead_man", "", arm)

    def _time_out(self, covered: tuple[str, str]) -> None:
        for booked in self.open_booked():
            if self.rules.covered(booked.instrument) == covered:
                self.end(booked, reason="dead man's switch")

    async def user_events(self) -> AsyncIterator[OrderReport | StreamGap]:
        queue: asyncio.Queue[OrderReport | StreamGap | None] = asyncio.Queue()
        self._streams.add(queue)
        try:
            yield StreamGap(None)
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._streams.discard(queue)

    def capabilities(self, instrument: Instrument) -> Capabilities:
        return self.rules.capabilities(instrument)

    # -- inside --------------------------------------------------------------------------------------------------------------

    async def _request(self, operation: str, client_order_id: str, work: Callable[[], T]) -> T:
        if self.queue_s:
            await self._ports.sleep(self.queue_s)
        fault = self.faults[operation].popleft() if self.faults[operation] else Fault()
        call = Call(operation, self._ports.wall_ns(), client_order_id, fault)
        self.calls.append(call)
        if self.down is not None:
            call.refused = True
            raise self.down
        sent_ns = self._ports.wall_ns()
        bounded = self.rules.arrival is not None
        expires_ns = sent_ns + self.offset_ns + round(self.rules.window_s * 1e9) if bounded else None
        await self._ports.sleep(self.latency_s)
        if fault.error is not None:
            raise fault.error
        lost = OutcomeUnknown(
            self.exchange, operation, Outcome.UNKNOWN, "the answer was lost", sent=Sent(sent_ns, expires_ns)
        )
        if fault.vanish:
            raise lost
        if fault.late_s is not None:
            self._later(fault.late_s, expires_ns, work)
            await self._ports.sleep(fault.delay_s)
            raise lost
        answer = work()
        await self._ports.sleep(self.latency_s + fault.delay_s)
        if fault.lose:
            raise lost
        return answer

    def _later(self, seconds: float, expires_ns: int | None, work: Callable[[], object]) -> None:
        async def arrive() -> None:
            await self._ports.sleep(seconds)
            if expires_ns is None or self._ports.wall_ns() + self.offset_ns <= expires_ns:
                with contextlib.suppress(ExchangeError):
                    work()

        task = asyncio.create_task(arrive())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _place(self, order: VenueOrder) -> OrderReport:
        for booked in self.book.values():
            same = booked.client_order_id == order.client_order_id
            if same and (self.rules.ids_for_ever or not booked.state.terminal):
                raise CallerMustAct(self.exchange, "place", Outcome.DUPLICATE, "Duplicate order sent.", code="-2010")
        self.placed[order.client_order_id] += 1
        booked = self._book(
            order.instrument, order.client_order_id, order.side, order.type, order.quantity, order.price, order.time_in_force,
            tell=True,
        )  # fmt: skip
        self._match(booked)
        return self.report(booked)

    def _match(self, booked: Booked) -> None:
        """Execute what crosses the spread."""
        symbol = booked.instrument.symbol
        touch = self.mid[symbol] + (self.spread / 2 if booked.side is Side.BUY else -self.spread / 2)
        crosses = booked.price is None or (booked.price >= touch if booked.side is Side.BUY else booked.price <= touch)
        if crosses:
            self.fill(booked, booked.quantity, touch)
        elif booked.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            self.end(booked, VenueState.EXPIRED)

    def _book(
        self, instrument: Instrument, client_order_id: str, side: Side, type_: OrderType, quantity: Decimal,
        price: Decimal | None, time_in_force: TimeInForce | None, *, tell: bool,
    ) -> Booked:  # fmt: skip
        self._next += 1
        now_ns = self._ports.wall_ns() + self._stamp_ns
        booked = Booked(
            instrument, f"x{self._next}", client_order_id, side, type_, quantity, price, time_in_force, now_ns, now_ns
        )
        self.book[booked.exchange_order_id] = booked
        own = order_id_of(client_order_id)
        if own and [own for one in self.open_booked() if order_id_of(one.client_order_id) == own] != [own]:
            self.two_open.append(own)
        if tell:
            self.tell(replace(self.report(booked), source="stream"))
        return booked

    @property
    def _stamp_ns(self) -> int:
        return self.offset_ns if self.stamps_offset else 0

    def _touch(self, booked: Booked) -> None:
        # Statements about one order are ordered by time, so no two of them share one.
        booked.updated_ns = max(self._ports.wall_ns() + self._stamp_ns, booked.updated_ns + 1)

    def _find(self, instrument: Instrument, client_order_id: str, exchange_order_id: str, operation: str) -> Booked:
        booked = self.book.get(exchange_order_id) if exchange_order_id else self.by_client_id(client_order_id)
        if booked is None or booked.instrument.symbol != instrument.symbol:
            raise CallerMustAct(self.exchange, operation, Outcome.NOT_FOUND, "Order does not exist.", code="-2013")
        return booked

    def _refuse(self, operation: str, text: str) -> ExchangeError:
        return CallerMustAct(self.exchange, operation, Outcome.REJECTED, text, code="-2011")
