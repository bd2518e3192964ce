"""Replacing a connection before the other side ends it: nothing missing, nothing twice."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from clients.sockets import Connected, Disconnected, SocketPolicy
from clients.sockets.seam import KEYS_MAX, Seam
from tests.support.socket_links import NoJitter, Reader, ScriptedDialer, ScriptedLink, scripted_socket
from tests.support.virtual_time import VirtualLoop, run_virtual

DAY_S = 86_400.0
POLICY = SocketPolicy(rotate_after_s=23 * 3600.0, overlap_s=5.0)


class Broadcast:
    """Sends every message to all open connections, in an order and with delays of their own."""

    def __init__(self, loop: VirtualLoop, dialer: ScriptedDialer, seed: int) -> None:
        self._loop = loop
        self._dialer = dialer
        self._random = Random(seed)

    def send(self, text: str) -> None:
        for link in self._dialer.links:
            if not link.closed:
                self._loop.call_later(self._random.uniform(0.0, 0.0005), self._deliver, link, text)

    @staticmethod
    def _deliver(link: ScriptedLink, text: str) -> None:
        if not link.closed:
            link.receive(text)


@pytest.mark.quick
@pytest.mark.parametrize("seed", range(5))
def test_a_rotation_opens_the_new_connection_first_and_hands_everything_on_once(seed: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop)
        reader = Reader(scripted_socket(loop, dialer, POLICY, random=Random(seed)))
        await dialer.link(1)
        broadcast = Broadcast(loop, dialer, seed)
        sent: list[str] = []
        await asyncio.sleep(23 * 3600.0 - 10)
        for number in range(2000):
            # Every tenth price repeats the one before: a message that is really sent twice is two messages.
            sent.append(f"price {number - (number % 10 == 9)}")
            broadcast.send(sent[-1])
            await asyncio.sleep(0.01)

        await asyncio.sleep(1)

        assert reader.payloads == sent
        notices = [event for event in reader.events if isinstance(event, Connected | Disconnected)]
        assert [(type(notice), notice.connection, notice.planned) for notice in notices] == [
            (Connected, 1, False),
            (Connected, 2, True),
            (Disconnected, 1, True),
        ]
        assert dialer.links[0].end == "closed by us"
        await reader.stop()

    run_virtual(main)


def test_no_connection_lives_for_a_day() -> None:
    async def main(loop: VirtualLoop) -> None:
        lived: list[float] = []

        def plan(link: ScriptedLink) -> None:
            opened = loop.time()
            inner = link.drop

            def drop(reason: str = "", code: int | None = None) -> None:
                lived.append(loop.time() - opened)
                inner(reason, code)

            link.drop = drop  # type: ignore[method-assign]

        dialer = ScriptedDialer(loop, plan)
        reader = Reader(scripted_socket(loop, dialer, POLICY))
        await asyncio.sleep(3 * DAY_S)

        assert len(lived) == 3
        assert max(lived) < DAY_S
        assert reader.kinds().count("Disconnected") == 3
        await reader.stop()

    run_virtual(main)


def test_a_successor_that_cannot_be_opened_leaves_the_old_connection_working() -> None:
    async def main(loop: VirtualLoop) -> None:
        def plan(link: ScriptedLink) -> None:
            if 2 <= link.number <= 4:
                raise ConnectionRefusedError(111, "Connection refused")

        dialer = ScriptedDialer(loop, plan)
        reader = Reader(scripted_socket(loop, dialer, POLICY))
        link = await dialer.link(1)
        await asyncio.sleep(23 * 3600.0 + 150)
        link.receive("still here")

        await dialer.link(2)
        await asyncio.sleep(10)

        assert reader.kinds() == ["Connected", "Message", "Connected", "Disconnected"]
        assert (dialer.attempts_ns[4] - dialer.attempts_ns[1]) / 1e9 == pytest.approx(180.0, abs=0.1)
        await reader.stop()

    run_virtual(main)


@pytest.mark.parametrize("succeeds", [True, False], ids=["successor opens", "successor fails"])
def test_an_old_connection_that_dies_while_its_successor_is_opened_is_an_ordinary_disconnect(succeeds: bool) -> None:
    async def main(loop: VirtualLoop) -> None:
        opening = asyncio.Event()

        async def on_open(session: object) -> None:
            if getattr(session, "number", 0) == 2:
                opening.set()
                await asyncio.sleep(1)
                if not succeeds:
                    raise ConnectionResetError

        dialer = ScriptedDialer(loop)
        reader = Reader(scripted_socket(loop, dialer, POLICY, on_open=on_open, random=NoJitter()))
        link = await dialer.link(1)
        await opening.wait()
        link.drop()
        await asyncio.sleep(10)

        notices = [event for event in reader.events if isinstance(event, Connected | Disconnected)]
        assert [(type(notice), notice.planned) for notice in notices] == [
            (Connected, False),
            (Disconnected, False),
            (Connected, False),
        ]
        await reader.stop()

    run_virtual(main)


def test_a_successor_that_dies_in_the_overlap_is_replaced_and_the_old_one_is_dropped_all_the_same() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop)
        reader = Reader(scripted_socket(loop, dialer, POLICY, random=NoJitter()))
        await dialer.link(1)
        (await dialer.link(2)).drop()
        await dialer.link(3)
        await asyncio.sleep(10)

        assert [link.closed for link in dialer.links] == [True, True, False]
        assert reader.kinds() == ["Connected", "Connected", "Disconnected", "Disconnected", "Connected"]
        await reader.stop()

    run_virtual(main)


def test_closing_in_the_middle_of_a_rotation_leaves_nothing_open() -> None:
    async def main(loop: VirtualLoop) -> None:
        async def on_open(session: object) -> None:
            if getattr(session, "number", 0) == 2:
                await asyncio.sleep(3)

        dialer = ScriptedDialer(loop)
        socket = scripted_socket(loop, dialer, POLICY, on_open=on_open)
        reader = Reader(socket)
        await dialer.link(2)
        await asyncio.sleep(1)

        await reader.stop()

        assert all(link.closed for link in dialer.links)

    run_virtual(main)


def test_a_seam_forgets_nothing_within_its_bound_and_says_when_it_is_full() -> None:
    seam = Seam(bytes)
    for number in range(KEYS_MAX):
        assert seam.first(1, b"%d" % number)

    assert seam.full
    assert not any(seam.first(2, b"%d" % number) for number in range(KEYS_MAX))


def test_a_seam_may_go_by_an_identifier_instead_of_the_bytes() -> None:
    seam = Seam(lambda payload: payload.split(b" ")[0])

    assert seam.first(1, b"7 sent at 10:00:00.1")
    assert not seam.first(2, b"7 sent at 10:00:00.2")
    assert seam.first(2, b"8 sent at 10:00:00.3")
