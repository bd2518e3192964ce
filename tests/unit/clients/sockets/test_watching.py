"""Peers that are gone, feeds that are silent, consumers that are slow."""

from __future__ import annotations

import asyncio

import pytest

from clients.sockets import (
    Disconnected,
    Dropped,
    Message,
    Overflow,
    ProtocolPing,
    SocketPolicy,
    SocketState,
    Stale,
    TextPing,
)
from tests.support.socket_links import NoJitter, Reader, ScriptedDialer, ScriptedLink, scripted_socket
from tests.support.virtual_time import START_NS, VirtualLoop, run_virtual

TEXT_PING = SocketPolicy(heartbeat=TextPing(after_s=5.0, timeout_s=5.0))


def _silent(link: ScriptedLink) -> None:
    link.answers_pings = False


@pytest.mark.quick
@pytest.mark.parametrize("policy", [SocketPolicy(), TEXT_PING], ids=["protocol ping", "text ping"])
def test_w02_a_peer_that_is_gone_without_a_word_is_replaced_within_fifteen_seconds(policy: SocketPolicy) -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, _silent)
        socket = scripted_socket(loop, dialer, policy, random=NoJitter())
        reader = Reader(socket)
        (await dialer.link(1)).receive("last words")
        gone_ns = loop.monotonic_ns()

        await dialer.link(2)

        assert loop.monotonic_ns() - gone_ns <= 15_000_000_000
        assert dialer.links[0].end == "no sign of life for 10 s"
        await asyncio.sleep(0)
        assert reader.kinds() == ["Connected", "Message", "Disconnected", "Connected"]
        await reader.stop()

    run_virtual(main)


def test_a_peer_that_answers_pings_is_kept_for_a_day() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop)
        reader = Reader(scripted_socket(loop, dialer))
        link = await dialer.link(1)
        await asyncio.sleep(86_400)

        assert len(dialer.links) == 1
        assert link.pings == pytest.approx(86_400 / 5, rel=0.01)
        await reader.stop()

    run_virtual(main)


def test_text_pings_go_out_after_five_seconds_of_silence_only_and_pongs_are_not_handed_on() -> None:
    # Fact sheet BitMEX, section 8: ping after about 5 s of silence, pong within 5 s; unnecessary while traffic flows.
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, lambda link: setattr(link, "answers", lambda payload: ["pong"]))
        reader = Reader(scripted_socket(loop, dialer, TEXT_PING))
        link = await dialer.link(1)
        for _ in range(30):
            await asyncio.sleep(4.9)
            link.receive("quote")
        assert link.sent == []

        await asyncio.sleep(5.1)

        assert link.sent == ["ping"]
        await asyncio.sleep(3600)
        assert len(dialer.links) == 1
        assert reader.payloads == ["quote"] * 30
        await reader.stop()

    run_virtual(main)


def _numbered(link: ScriptedLink) -> None:
    link.answers = lambda payload: [f'{{"op":"pong","args":["{len(link.sent)}"]}}']


REGULAR = TextPing(after_s=20.0, timeout_s=10.0, ping="{}", pong=lambda payload: b'"pong"' in payload, regular=True)


def test_regular_pings_go_out_however_much_arrives() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, _numbered)
        reader = Reader(scripted_socket(loop, dialer, SocketPolicy(heartbeat=REGULAR)))
        link = await dialer.link(1)
        for _ in range(600):
            await asyncio.sleep(1.0)
            link.receive("quote")
        await asyncio.sleep(0.1)

        assert link.sent == ["{}"] * 30
        assert reader.payloads == ["quote"] * 600
        await reader.stop()

    run_virtual(main)


def test_a_peer_that_leaves_regular_pings_without_an_answer_is_replaced() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop)
        reader = Reader(scripted_socket(loop, dialer, SocketPolicy(heartbeat=REGULAR), random=NoJitter()))
        await dialer.link(2)

        assert dialer.links[0].sent == ["{}"]
        assert dialer.links[0].end == "no sign of life for 30 s"
        await reader.stop()

    run_virtual(main)


def test_an_answer_to_a_ping_that_is_recognised_is_no_message_of_the_feed() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, _numbered)
        policy = SocketPolicy(heartbeat=REGULAR, reconnect_after_silence_s=50.0)
        reader = Reader(scripted_socket(loop, dialer, policy))
        await dialer.link(2)

        assert dialer.links[0].sent == ["{}"] * 2
        assert dialer.links[0].end == "no message for 50 s"
        assert reader.payloads == []
        await reader.stop()

    run_virtual(main)


def test_w03_a_feed_that_answers_pings_and_sends_nothing_is_stale_in_time_and_told_once() -> None:
    async def main(loop: VirtualLoop) -> None:
        expected_s = 10.0
        dialer = ScriptedDialer(loop)
        socket = scripted_socket(loop, dialer, SocketPolicy(stale_after_s=2 * expected_s))
        reader = Reader(socket)
        link = await dialer.link(1)
        link.receive("deal")

        await asyncio.sleep(2 * expected_s - 0.1)
        assert not socket.status().stale
        await asyncio.sleep(0.2)
        assert socket.status().stale
        assert not socket.status().healthy
        await asyncio.sleep(600)

        stale = [event for event in reader.events if isinstance(event, Stale)]
        assert [event.silent_s for event in stale] == [pytest.approx(2 * expected_s, abs=0.001)]
        link.receive("deal")
        assert socket.status().healthy
        await asyncio.sleep(600)
        assert reader.kinds().count("Stale") == 2
        assert len(dialer.links) == 1
        await reader.stop()

    run_virtual(main)


def test_a_silent_feed_is_replaced_where_the_policy_says_so() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop)
        policy = SocketPolicy(stale_after_s=30.0, reconnect_after_silence_s=120.0)
        reader = Reader(scripted_socket(loop, dialer, policy))
        link = await dialer.link(1)
        await dialer.link(2)

        assert link.end == "no message for 120 s"
        assert [type(event) for event in reader.events if not isinstance(event, Message)][1:3] == [Stale, Disconnected]
        await reader.stop()

    run_virtual(main)


def test_receive_times_are_those_of_the_socket_not_of_the_consumer() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop)
        async with scripted_socket(loop, dialer) as socket:
            await anext(socket)
            link = dialer.links[0]
            at_ns = loop.monotonic_ns()
            link.receive("tick")
            loop.jump_wall_ns(-3_600_000_000_000)
            await asyncio.sleep(3)

            message = await anext(socket)

            assert isinstance(message, Message)
            assert message.receive_monotonic_ns == at_ns
            assert message.receive_wall_ns == START_NS + at_ns - 1_000_000_000

    run_virtual(main)


@pytest.mark.parametrize(
    "policy",
    [SocketPolicy(queue_messages_max=100), SocketPolicy(queue_bytes_max=1000)],
    ids=["messages", "bytes"],
)
def test_w08_a_slow_consumer_stops_the_reading_and_loses_nothing(policy: SocketPolicy) -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop, _silent)
        async with scripted_socket(loop, dialer, policy) as socket:
            await anext(socket)
            link = dialer.links[0]
            sent = 0
            while link.reading:
                link.receive(f"{sent:010d}")
                sent += 1
            assert socket.status().waiting == sent == 101

            # Nothing is read, so nothing proves that the peer is dead.
            await asyncio.sleep(3600)
            assert not link.closed
            assert not socket.status().stale

            got: list[str] = []
            while not link.reading:
                message = await anext(socket)
                assert isinstance(message, Message)
                got.append(message.payload.decode())
            assert socket.status().waiting == 50
            link.receive(f"{sent:010d}")
            sent += 1
            while len(got) < sent:
                message = await anext(socket)
                assert isinstance(message, Message)
                got.append(message.payload.decode())

            assert got == [f"{number:010d}" for number in range(sent)]
            assert socket.status().dropped == 0

            # From here on silence counts again.
            await asyncio.sleep(10.1)
            assert link.closed

    run_virtual(main)


def test_time_in_which_nothing_was_read_is_no_silence_of_the_feed() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop)
        policy = SocketPolicy(queue_messages_max=2, stale_after_s=30.0, reconnect_after_silence_s=120.0)
        async with scripted_socket(loop, dialer, policy) as socket:
            await anext(socket)
            link = dialer.links[0]
            while link.reading:
                link.receive("deal")
            await asyncio.sleep(3600)

            for _ in range(3):
                assert isinstance(await anext(socket), Message)
            await asyncio.sleep(1)

            assert link.reading
            assert not link.closed
            assert socket.status().healthy

    run_virtual(main)


def test_w08_shedding_is_counted_and_told_where_the_hole_is() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop)
        policy = SocketPolicy(queue_messages_max=10, overflow=Overflow.DROP_OLDEST)
        async with scripted_socket(loop, dialer, policy) as socket:
            await anext(socket)
            for number in range(1000):
                dialer.links[0].receive(str(number))
            assert dialer.links[0].reading
            assert socket.status().waiting == 10

            events = [await anext(socket) for _ in range(11)]

            assert events[0] == Dropped(990)
            assert [event.payload for event in events[1:] if isinstance(event, Message)] == [
                str(number).encode() for number in range(990, 1000)
            ]
            assert socket.status().dropped == 990

    run_virtual(main)


def test_shedding_keeps_the_notices_in_their_places() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop)
        policy = SocketPolicy(queue_messages_max=2, overflow=Overflow.DROP_OLDEST)
        async with scripted_socket(loop, dialer, policy, random=NoJitter()) as socket:
            await anext(socket)
            for text in ("a", "b", "c"):
                dialer.links[0].receive(text)
            dialer.links[0].drop()
            link = await dialer.link(2)
            await asyncio.sleep(0)
            for text in ("d", "e"):
                link.receive(text)

            events = [await anext(socket) for _ in range(5)]

            assert events[0] == Dropped(3)
            assert [type(event).__name__ for event in events[1:]] == ["Disconnected", "Connected", "Message", "Message"]
            assert [event.payload for event in events if isinstance(event, Message)] == [b"d", b"e"]

    run_virtual(main)


def test_a_new_connection_of_a_full_socket_is_not_read_either() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop)
        async with scripted_socket(loop, dialer, SocketPolicy(queue_messages_max=1), random=NoJitter()) as socket:
            await anext(socket)
            dialer.links[0].receive("a")
            dialer.links[0].receive("b")
            dialer.links[0].drop()
            link = await dialer.link(2)
            await asyncio.sleep(0)

            assert not link.reading
            while not link.reading:
                await anext(socket)

    run_virtual(main)


def test_the_status_says_what_is_the_matter() -> None:
    async def main(loop: VirtualLoop) -> None:
        def plan(link: ScriptedLink) -> None:
            if link.number == 2:
                raise ConnectionRefusedError(111, "Connection refused")

        dialer = ScriptedDialer(loop, plan)
        socket = scripted_socket(loop, dialer, random=NoJitter())
        before = socket.status()
        assert (before.state, before.message_age_s, before.connected_s) == (SocketState.IDLE, None, None)
        reader = Reader(socket)
        link = await dialer.link(1)
        await asyncio.sleep(0)
        link.receive("deal")
        await asyncio.sleep(3)
        status = socket.status()
        assert (status.state, status.attempts, status.connections, status.messages) == (SocketState.OPEN, 1, 1, 1)
        assert status.message_age_s == pytest.approx(3.0, abs=0.001)
        assert status.connected_s == pytest.approx(3.0, abs=0.001)
        assert status.healthy

        link.drop("closed with code 1012", 1012)
        await asyncio.sleep(0)
        assert socket.status().last_error == "closed with code 1012"
        assert socket.status().connected_s is None
        await dialer.link(2)
        await asyncio.sleep(0)

        status = socket.status()
        assert (status.attempts, status.connections) == (3, 2)
        assert status.last_error == "no connection: Connection refused"
        assert [event.code for event in reader.events if isinstance(event, Disconnected)] == [1012]
        await reader.stop()

    run_virtual(main)


def test_heartbeats_on_a_connection_that_ends_meanwhile_do_no_harm() -> None:
    async def main(loop: VirtualLoop) -> None:
        class Ending(ScriptedLink):
            async def ping(self) -> None:
                from clients.sockets import NotConnected

                self.drop()
                raise NotConnected("the connection ended while sending")

        dialer = ScriptedDialer(loop)
        original = dialer.plan

        def plan(link: ScriptedLink) -> None:
            link.__class__ = Ending
            original(link)

        dialer.plan = plan
        policy = SocketPolicy(heartbeat=ProtocolPing(1.0, 1.0))
        reader = Reader(scripted_socket(loop, dialer, policy))
        await dialer.link(3)

        assert reader.kinds()[:3] == ["Connected", "Disconnected", "Connected"]
        await reader.stop()

    run_virtual(main)
