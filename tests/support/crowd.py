"""A crowd of clients in one event loop: subscribers that resume until they have everything, and callers that all call at once."""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc

from protos.common.v1.market_pb2 import MODE_HISTORICAL
from protos.control.v1 import control_pb2
from protos.control.v1.control_pb2_grpc import ControlServiceStub
from protos.price.v1 import price_pb2
from protos.price.v1.price_pb2_grpc import PriceServiceStub
from protos.replay.v1 import replay_pb2
from protos.replay.v1.replay_pb2_grpc import ReplayServiceStub
from tests.support.made_ticks import HEADER, MADE_TICKERS

CONNECTIONS: Final = 4
"""Per server: more clients than a connection may have streams is a case of its own."""
CALL_S: Final = 30.0
PAUSE_S: Final = 0.2
BURST_ROWS: Final = 20
_OPTIONS: Final = (
    # Without it, channels to one address share one connection.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


def write_bursts(path: Path, bursts: int, *, step_ms: int) -> int:
    """Write ticks that come in bursts, so that many subscribers get few messages; row i has the bid i. Returns how many rows."""
    with path.open("w") as out:
        out.write(HEADER)
        for row in range(1, bursts * BURST_ROWS + 1):
            burst, within = divmod(row - 1, BURST_ROWS)
            seconds, us = divmod(burst * step_ms * 1000 + within, 1_000_000)
            clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{us:06d}"
            out.write(f"{row},2025-01-01 {clock},{MADE_TICKERS[row % len(MADE_TICKERS)]},1,{row + 1},{row},1,5\n")
    return bursts * BURST_ROWS


@dataclass
class Crowd:
    """Clients of the replay, control and price servers of one session of made ticks."""

    rows: int
    channels: dict[str, list[grpc.aio.Channel]]
    told: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """What calls were told instead of an answer: method, code, text."""
    finished: int = 0
    answered: int = 0
    farthest: int = 0
    published: int = 0
    """The newest sequence that GetState has told anybody."""
    epochs: set[str] = field(default_factory=set)
    latest: dict[str, int] = field(default_factory=dict)
    """Per ticker, the newest sequence that GetMidPrice has told anybody."""

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, rows: int, addresses: dict[str, str]) -> AsyncIterator[Crowd]:
        """Connect to every server a few times."""
        async with contextlib.AsyncExitStack() as stack:
            channels = {
                name: [
                    await stack.enter_async_context(grpc.aio.insecure_channel(address, options=_OPTIONS))
                    for _ in range(CONNECTIONS)
                ]
                for name, address in addresses.items()
            }
            yield cls(rows, channels)

    # Subscribers

    async def subscribe_to_ticks(self, number: int) -> None:
        """Read every tick exactly once, resuming as often as it takes."""
        stub = ReplayServiceStub(self.channels["replay"][number % CONNECTIONS])
        last, epoch = 0, ""
        while last < self.rows:
            request = replay_pb2.StreamTicksRequest(after_sequence=last, epoch=epoch)
            call = stub.StreamTicks(request if epoch else replay_pb2.StreamTicksRequest())
            async with self._noting("StreamTicks"):
                async for batch in call:
                    assert batch.first_sequence == last + 1, f"{batch.first_sequence} follows {last}"
                    self._check(batch.bid_price, range(batch.first_sequence, batch.last_sequence + 1), 0.0)
                    last, epoch = self._note(batch.last_sequence, batch.epoch)
                    if last >= self.rows:
                        call.cancel()
                        break
        self.finished += 1

    async def subscribe_to_mids(self, number: int) -> None:
        """Read every mid exactly once, resuming as often as it takes."""
        stub = PriceServiceStub(self.channels["price"][number % CONNECTIONS])
        last, epoch = 0, ""
        while last < self.rows:
            request = price_pb2.StreamMidPricesRequest(from_oldest=True)
            if epoch:
                request = price_pb2.StreamMidPricesRequest(after_sequence=last, epoch=epoch)
            call = stub.StreamMidPrices(request)
            async with self._noting("StreamMidPrices"):
                async for response in call:
                    batch = response.batch
                    assert list(batch.sequence) == list(range(last + 1, last + 1 + len(batch.sequence)))
                    self._check(batch.mid_price, batch.sequence, 0.5)
                    last, epoch = self._note(batch.sequence[-1], batch.epoch)
                    if last >= self.rows:
                        call.cancel()
                        break
        self.finished += 1

    def has_reached(self, sequence: int) -> bool:
        """Tell whether some subscriber has got that far."""
        return self.farthest >= sequence

    def has_answered(self, calls: int) -> bool:
        """Tell whether that many calls have been answered."""
        return self.answered >= calls

    def _check(self, prices: Any, sequences: Any, more: float) -> None:
        assert array("d", prices) == array("d", [sequence + more for sequence in sequences])

    def _note(self, sequence: int, epoch: str) -> tuple[int, str]:
        self.epochs.add(epoch)
        self.farthest = max(self.farthest, sequence)
        return sequence, epoch

    # Callers

    async def call_all_at_once(self, calls: int) -> None:
        """Make that many calls of four methods at the same time, each until it is answered."""
        methods = (self._get_state, self._list_sessions, self._get_mid_price, self._set_mode)
        await asyncio.gather(*(self._until_answered(methods[number % 4], number) for number in range(calls)))

    async def _until_answered(self, call: Callable[[int], Any], number: int) -> None:
        answered = False
        while not answered:
            async with self._noting(call.__name__):
                await call(number)
                answered = True
        self.answered += 1

    async def _get_state(self, number: int) -> None:
        least = self.published
        stub = ControlServiceStub(self.channels["control"][number % CONNECTIONS])
        state = (await stub.GetState(control_pb2.GetStateRequest(), timeout=CALL_S)).state
        assert (state.mode, state.intended_mode) == (MODE_HISTORICAL, MODE_HISTORICAL), state
        assert least <= state.last_sequence <= self.rows, f"{least}: {state}"
        self.published = max(self.published, state.last_sequence)

    async def _list_sessions(self, number: int) -> None:
        stub = ReplayServiceStub(self.channels["replay"][number % CONNECTIONS])
        sessions = (await stub.ListSessions(replay_pb2.ListSessionsRequest(), timeout=CALL_S)).sessions
        assert [session.name for session in sessions] == ["default"]
        assert {sessions[0].epoch} == self.epochs

    async def _get_mid_price(self, number: int) -> None:
        ticker = MADE_TICKERS[number % len(MADE_TICKERS)]
        least = self.latest.get(ticker, 0)
        stub = PriceServiceStub(self.channels["price"][number % CONNECTIONS])
        request = price_pb2.GetMidPriceRequest(ticker=ticker)
        mid = (await stub.GetMidPrice(request, timeout=CALL_S)).mid_price
        assert mid.mid_price == mid.sequence + 0.5
        assert mid.sequence % len(MADE_TICKERS) == MADE_TICKERS.index(ticker)
        assert mid.sequence >= least, f"{ticker} went back from {least} to {mid.sequence}"
        self.latest[ticker] = max(self.latest.get(ticker, 0), mid.sequence)

    async def _set_mode(self, number: int) -> None:
        stub = ControlServiceStub(self.channels["control"][number % CONNECTIONS])
        request = control_pb2.SetModeRequest(mode=MODE_HISTORICAL, request_id=f"crowd-{number}")
        response = await stub.SetMode(request, timeout=CALL_S)
        assert response.mode == MODE_HISTORICAL

    @contextlib.asynccontextmanager
    async def _noting(self, method: str) -> AsyncIterator[None]:
        """Note what a call is told; UNAVAILABLE is followed by a pause, anything else is noted and fails the caller."""
        try:
            yield
        except grpc.aio.AioRpcError as exc:
            self.told[(method.strip("_"), exc.code().name, exc.details() or "")] += 1
            if exc.code() is not grpc.StatusCode.UNAVAILABLE:
                raise AssertionError(f"{method}: {exc.code().name}: {exc.details()}") from exc
            await asyncio.sleep(PAUSE_S)
