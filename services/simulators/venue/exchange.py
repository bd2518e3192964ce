"""The base of the simulated exchanges: the way of a request through the fault plan, the engine's queue, the streams.

No socket is needed: tests call `handle` and `connect` in process, in virtual time where they like; `web.py` puts a port before it.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random
from typing import Any, Final, TypeVar

from services.simulators.venue.candles import Candles
from services.simulators.venue.clearing import Account, Clearing
from services.simulators.venue.delivery import Delivery
from services.simulators.venue.faults import Fault, Rule, VenueFaults
from services.simulators.venue.forced import CAUSES, ForcedClosing, OwnName
from services.simulators.venue.levers import Lever
from services.simulators.venue.liquidity import Liquidity
from services.simulators.venue.listing import Listing
from services.simulators.venue.matching import TOUCH_CHANCE, MatchingEngine
from services.simulators.venue.messages import Fate, Request, Response
from services.simulators.venue.orders import Event, Leg, Order
from services.simulators.venue.prices import PriceWalk
from services.simulators.venue.request_log import RequestLog
from services.simulators.venue.sockets import GARBAGE, SimSocket
from services.simulators.venue.tape import Tape

T = TypeVar("T")

SOCKETS_MAX: Final = 512
LATE_EVENTS_MAX: Final = 10_000
"""User events and queued requests under way at a time; more are refused or sent at once."""
GARBAGE_BODIES: Final = (b"<html><body>502</body></html>", b'{"code":', b"\xff\xfe\x00", b"[]]", b"")


@dataclass(frozen=True)
class VenueOptions:
    """How the simulated market behaves."""

    seed: int = 20251009
    step_s: float = 0.25
    """How often prices move and resting orders are looked at."""
    volatility: float = 1.0
    """Factor; 0 freezes all prices."""
    depth: Decimal = Decimal(1)
    """Factor of what the book holds: less of it makes more partial fills."""
    touch_chance: float = TOUCH_CHANCE


class QueueTimeout(Exception):
    """A request still waits before the engine; its outcome is open."""


class SimulatedVenue(ABC):
    """One exchange. Times it shows are `exchange_ns`: the wall clock given, plus the planned skew."""

    name: str
    error_names: tuple[str, ...] = ()
    ends: tuple[str, ...] = CAUSES
    """Why it ends orders by itself."""

    def __init__(
        self,
        listings: Iterable[Listing],
        *,
        accounts: Iterable[Account],
        deposits: Mapping[tuple[str, str], Decimal],
        options: VenueOptions,
        faults: Iterable[Rule] = (),
        wall_ns: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.options = options
        self._clock_ns = wall_ns
        self._travelled_ns = 0
        self._sleep = sleep
        self.random = Random(f"{options.seed}:venue")
        self.faults = VenueFaults(random=Random(f"{options.seed}:faults"))
        self.faults.replace(list(faults), wall_ns())
        self.clearing = Clearing(accounts, deposits)
        step_ns = max(1, round(options.step_s * 1e9))
        self.walk = PriceWalk(seed=options.seed, start_ns=wall_ns(), step_ns=step_ns, volatility=options.volatility)
        self.liquidity = Liquidity(self.walk, seed=options.seed, depth=options.depth)
        listed = tuple(listings)
        self.tape = Tape(
            listed, self.walk, seed=options.seed, start_ns=self.walk.start_ns, volatility=options.volatility
        )
        self.candles = Candles(self.tape)
        self.engine = MatchingEngine(
            listed,
            walk=self.walk,
            liquidity=self.liquidity,
            clearing=self.clearing,
            step_ns=step_ns,
            seed=options.seed,
            listener=self._on_event,
            touch_chance=options.touch_chance,
            tape=self.tape,
        )
        self.closing = ForcedClosing(self.engine, self.own_order, self.remember)
        self.delivery = Delivery(self.engine, self.closing, closed=self.roll_over)
        self.request_log = RequestLog()
        self.sockets: list[SimSocket] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._released = asyncio.Event()
        self._released.set()
        self._overtaken: Event | None = None
        self._step_seen = -1

    # -- what an exchange has to provide --------------------------------------------------------------------------

    @abstractmethod
    async def answer(self, request: Request) -> Response:
        """Return the answer of a request that meets no fault. Never raises for what a client may send."""

    @abstractmethod
    def error_response(self, name: str, request: Request) -> Response:
        """Return the planned error of that name or status."""

    @abstractmethod
    def parameters(self, request: Request) -> Mapping[str, str]:
        """Return a request's parameters, for the log of requests."""

    @abstractmethod
    def connect(self, path: str, query: str, headers: Mapping[str, str]) -> SimSocket | Response:
        """Open a websocket, or answer its handshake with a refusal."""

    @abstractmethod
    async def receive(self, socket: SimSocket, text: str) -> None:
        """Take a frame of a client."""

    @abstractmethod
    def publish(self, now_ns: int) -> None:
        """Send market data of a new step to whoever subscribed."""

    @abstractmethod
    def send_event(self, event: Event) -> None:
        """Send what happened to an order to its account's streams."""

    @abstractmethod
    def own_order(self, listing: Listing, why: str, number: int, leg: Leg) -> OwnName:
        """Return by what the exchange's own order is known that closes a position."""

    @abstractmethod
    def roll_over(self, listing: Listing, now_ns: int) -> None:
        """Take a closed listing off the list, and put what is listed then on it."""

    @abstractmethod
    def remember(self, order: Order) -> None:
        """Keep an order findable that is the exchange's own."""

    def levers(self) -> Mapping[tuple[str, str], Lever]:
        """Return what /sim has for this exchange alone, by method and path."""
        return {}

    @abstractmethod
    def welcome(self, base_url: str) -> str:
        """Return what `GET /` says."""

    # -- time, which may be moved on by hand ------------------------------------------------------------------------------

    def wall_ns(self) -> int:
        """Return the engine's time: that of the clock given, and as much as was travelled."""
        return self._clock_ns() + self._travelled_ns

    def travel(self, forward_ns: int) -> None:
        """Let that much time have passed, with everything that comes due in it."""
        self._travelled_ns += forward_ns
        self.tick()

    def exchange_ns(self) -> int:
        """Return the exchange's own time."""
        now_ns = self.wall_ns()
        return now_ns + self.faults.skew_ns(now_ns)

    def shown_ms(self, time_ns: int) -> int:
        """Return a time of the engine as the exchange shows it, in milliseconds."""
        return (time_ns + self.faults.skew_ns(self.wall_ns())) // 1_000_000

    def advance(self) -> None:
        """Bring the market up to now, and close contracts that have come to their end."""
        self.engine.advance(self.wall_ns())
        self.delivery.run(self.wall_ns())

    async def run(self) -> None:
        """Keep the market moving and the streams fed, until cancelled. Without it the market moves when it is asked."""
        while True:
            self.tick()
            await self._sleep(self.options.step_s)

    def tick(self) -> None:
        """Do what is due now: walk, fill, publish."""
        self.advance()
        if self._overtaken is not None:
            late, self._overtaken = self._overtaken, None
            self.send_event(late)
        if self.walk.step != self._step_seen:
            self._step_seen = self.walk.step
            self.publish(self.wall_ns())

    async def close(self) -> None:
        """Break every socket, forget what is under way."""
        for socket in list(self.sockets):
            socket.close(1001, "the simulator stops")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- requests -------------------------------------------------------------------------------------------------

    async def handle(self, request: Request) -> Response:
        """Take a request through the fault plan and the exchange. The fate of the answer is the caller's to carry out."""
        asked = self.request_log.begin(request.method, request.path, self.parameters(request), self.wall_ns())
        response = await self._handle(request)
        asked.status, asked.fate = response.status, response.fate.value
        return response

    async def _handle(self, request: Request) -> Response:
        plan, route, now_ns = self.faults, request.route, self.wall_ns()
        if plan.refuses(now_ns):
            return Response(0, fate=Fate.REFUSED)
        if plan.is_down(route, now_ns) or plan.take(Fault.DROP, route, now_ns):
            return Response(0, fate=Fate.CUT)
        if plan.take(Fault.SWALLOW, route, now_ns):
            return Response(0, fate=Fate.NEVER)
        await self._pause(plan.seconds(Fault.LATENCY, route, now_ns))
        error = plan.take(Fault.ERROR, route, now_ns)
        if error is not None and not error.executed:
            return self.error_response(error.name, request)
        self.advance()
        response = await self.answer(request)
        if error is not None:
            response = self.error_response(error.name, request)
        await self._pause(plan.seconds(Fault.ANSWER_LATENCY, route, now_ns))
        return self._spoil(response, route)

    def _spoil(self, response: Response, route: str) -> Response:
        plan, now_ns = self.faults, self.wall_ns()
        if plan.take(Fault.LOSE, route, now_ns):
            return replace(response, fate=Fate.CUT)
        if plan.take(Fault.STALL, route, now_ns):
            return replace(response, fate=Fate.NEVER)
        if plan.take(Fault.TRUNCATE, route, now_ns):
            return replace(response, fate=Fate.TRUNCATED)
        if plan.take(Fault.GARBAGE, route, now_ns):
            return replace(response, body=self.random.choice(GARBAGE_BODIES))
        return response

    async def in_engine(self, route: str, work: Callable[[], T], *, give_up_s: float | None = None) -> T:
        """Do something at the matching engine: at once, or behind its queue.

        Raises QueueTimeout after `give_up_s`; the work is still done when its turn comes.
        """
        delay_s = self.faults.seconds(Fault.QUEUE, route, self.wall_ns())
        if delay_s <= 0 and not self.engine.held:
            return work()
        task = asyncio.create_task(self._queued(delay_s, work))
        self._keep(task)
        done, _ = await asyncio.wait({task}, timeout=give_up_s)
        if not done:
            raise QueueTimeout
        return task.result()

    async def _queued(self, delay_s: float, work: Callable[[], T]) -> T:
        await self._pause(delay_s)
        await self._released.wait()
        self.advance()
        return work()

    def hold(self) -> None:
        """Stop the matching engine: resting orders do not fill, new requests wait before it."""
        self.engine.held = True
        self._released.clear()

    def release(self) -> None:
        """Let the matching engine go on."""
        self.engine.held = False
        self._released.set()

    def sees(self, order: Order, route: str) -> bool:
        """Whether a query sees the order already: replication may lag behind the engine."""
        now_ns = self.wall_ns()
        rule = self.faults.standing(Fault.LAG, route, now_ns)
        return rule is None or now_ns - order.created_ns >= rule.high * 1e9

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            await self._sleep(seconds)

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        with suppress(asyncio.CancelledError):
            # An outcome that nobody waited for is still looked at, or the loop complains about it.
            task.exception()

    # -- streams --------------------------------------------------------------------------------------------------

    def open_socket(self, path: str) -> SimSocket:
        """Make and register a socket; the caller has checked that there is room."""
        socket = SimSocket(path, opened_ns=self.wall_ns(), on_close=self._forget_socket)
        self.sockets.append(socket)
        return socket

    def _forget_socket(self, socket: SimSocket) -> None:
        if socket in self.sockets:
            self.sockets.remove(socket)
        self.socket_closed(socket)

    @abstractmethod
    def socket_closed(self, socket: SimSocket) -> None:
        """Forget what belonged to a socket."""

    @abstractmethod
    def announce_shutdown(self) -> None:
        """Tell streams that they will be closed, where the exchange does."""

    def refuse_socket(self, path: str) -> Response | None:
        """Return the planned refusal of a handshake, if there is one."""
        route, now_ns = f"WS {path}", self.wall_ns()
        if self.faults.refuses(now_ns):
            return Response(0, fate=Fate.REFUSED)
        if self.faults.is_down(route, now_ns) or self.faults.take(Fault.DROP, route, now_ns):
            return Response(0, fate=Fate.CUT)
        error = self.faults.take(Fault.ERROR, route, now_ns)
        if error is not None:
            return self.error_response(error.name, Request("WS", path))
        if len(self.sockets) >= SOCKETS_MAX:
            return Response(503, b"too many connections")
        return None

    def emit(self, socket: SimSocket, frame: str) -> None:
        """Send a frame of data, unless the plan has something else in mind; acknowledgements go to `socket.send`."""
        route, now_ns = f"WS {socket.path}", self.wall_ns()
        if self.faults.standing(Fault.SILENCE, route, now_ns):
            return
        if self.faults.is_down(route, now_ns) or self.faults.take(Fault.STREAM_DROP, route, now_ns):
            socket.close(None, "planned")
            return
        if self.faults.take(Fault.STREAM_GARBAGE, route, now_ns):
            frame = self.random.choice(GARBAGE)
        socket.send(frame)

    def _on_event(self, event: Event) -> None:
        now_ns, plan, route = self.wall_ns(), self.faults, "USER"
        if plan.take(Fault.GAP, route, now_ns):
            return
        delay_s = plan.seconds(Fault.DELAY, route, now_ns)
        if delay_s > 0 and len(self._tasks) < LATE_EVENTS_MAX:
            self._keep(asyncio.create_task(self._send_late(event, delay_s)))
            return
        if self._overtaken is None and plan.take(Fault.REORDER, route, now_ns):
            self._overtaken = event
            return
        self.send_event(event)
        if plan.take(Fault.REPEAT, route, now_ns):
            self.send_event(event)
        if self._overtaken is not None:
            late, self._overtaken = self._overtaken, None
            self.send_event(late)

    async def _send_late(self, event: Event, delay_s: float) -> None:
        await self._sleep(delay_s)
        self.send_event(event)
