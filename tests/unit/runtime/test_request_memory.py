"""How many bytes of requests are held, and who makes room when they are too many."""

from __future__ import annotations

import asyncio

import pytest

from services.runtime.errors import DeadlineExceeded, MidstreamError, Overloaded
from services.runtime.request_memory import PATIENCE_S, WAIT_S, WAITING_MAX, HeldRequest, RequestMemory
from tests.support.virtual_time import VirtualLoop, run_virtual

MESSAGE = 100
TIMEOUT_S = 10.0


class Call:
    """Something that reads a request, and ends as a call does when it is told to."""

    def __init__(self, memory: RequestMemory) -> None:
        self.held: HeldRequest = memory.request(self._end)
        self.errors: list[MidstreamError] = []

    def _end(self, error: MidstreamError) -> None:
        self.errors.append(error)
        self.held.release()


def _memory(messages: int) -> RequestMemory:
    return RequestMemory(messages * MESSAGE, message_bytes_max=MESSAGE, timeout_s=TIMEOUT_S)


def test_only_what_a_message_has_stays_reserved_and_ends_with_the_call() -> None:
    async def case(_loop: VirtualLoop) -> None:
        memory = _memory(2)
        call = Call(memory)

        await call.held.reserve()
        assert memory.held == MESSAGE
        call.held.arrived(7)
        assert memory.held == 7
        # The next message of a client that streams takes the place of the one before.
        await call.held.reserve()
        assert memory.held == MESSAGE
        call.held.release()
        assert memory.held == 0

    run_virtual(case)


def test_whoever_came_last_gets_the_room_that_becomes_free() -> None:
    async def case(_loop: VirtualLoop) -> None:
        memory = _memory(1)
        first, older, newer = Call(memory), Call(memory), Call(memory)
        await first.held.reserve()
        waiting = [asyncio.ensure_future(call.held.reserve()) for call in (older, newer)]
        await asyncio.sleep(0)

        first.held.arrived(1)
        first.held.release()
        await asyncio.wait_for(waiting[1], 0.01)

        assert not waiting[0].done()
        assert memory.held == MESSAGE
        newer.held.release()
        await waiting[0]

    run_virtual(case)


def test_slow_requests_make_room_while_others_wait() -> None:
    async def case(_loop: VirtualLoop) -> None:
        memory = _memory(2)
        slow, held, new = Call(memory), Call(memory), Call(memory)
        await slow.held.reserve()
        await held.held.reserve()
        held.held.arrived(MESSAGE)
        begun_s = asyncio.get_running_loop().time()

        await new.held.reserve()

        # What has arrived is being worked on and stays; what has not is the one that goes.
        assert [type(error) for error in slow.errors] == [Overloaded]
        assert held.errors == []
        assert asyncio.get_running_loop().time() - begun_s <= 2 * PATIENCE_S + 0.01

    run_virtual(case)


def test_request_that_does_not_arrive_ends_its_call_and_the_next_one_of_a_stream_may_take_its_time() -> None:
    async def case(_loop: VirtualLoop) -> None:
        memory = _memory(4)
        never, streaming = Call(memory), Call(memory)
        await streaming.held.reserve()
        streaming.held.arrived(5)
        await streaming.held.reserve()
        await never.held.reserve()

        await asyncio.sleep(TIMEOUT_S * 1.5)

        assert [type(error) for error in never.errors] == [DeadlineExceeded]
        assert "did not arrive within 10 s" in str(never.errors[0])
        assert streaming.errors == []

    run_virtual(case)


def test_no_room_in_time_is_said_with_the_setting() -> None:
    async def case(_loop: VirtualLoop) -> None:
        memory = _memory(1)
        holder, late = Call(memory), Call(memory)
        await holder.held.reserve()
        holder.held.arrived(MESSAGE)
        begun_s = asyncio.get_running_loop().time()

        with pytest.raises(Overloaded, match="MIDSTREAM_GRPC_REQUEST_BYTES_HELD"):
            await late.held.reserve()

        assert WAIT_S <= asyncio.get_running_loop().time() - begun_s <= WAIT_S + 2 * PATIENCE_S
        assert memory.held == MESSAGE

    run_virtual(case)


def test_call_that_ends_as_it_is_given_room_gives_it_back() -> None:
    async def case(_loop: VirtualLoop) -> None:
        memory = _memory(1)
        first, gone, third = Call(memory), Call(memory), Call(memory)
        await first.held.reserve()
        waiting = asyncio.ensure_future(gone.held.reserve())
        await asyncio.sleep(0)

        first.held.release()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gone.held.release()

        assert memory.held == 0
        await asyncio.wait_for(third.held.reserve(), 0.01)

    run_virtual(case)


def test_whoever_has_waited_longest_is_refused_when_too_many_wait() -> None:
    async def case(_loop: VirtualLoop) -> None:
        memory = _memory(1)
        holder = Call(memory)
        await holder.held.reserve()
        holder.held.arrived(MESSAGE)
        waiting = [asyncio.ensure_future(Call(memory).held.reserve()) for _ in range(WAITING_MAX + 1)]
        await asyncio.wait(waiting, timeout=0.001)

        assert [task.done() for task in waiting[:2]] == [True, False]
        assert isinstance(waiting[0].exception(), Overloaded)
        for task in waiting:
            task.cancel()

    run_virtual(case)
