"""Opening hooks: requests, answers, and the messages that come in between."""

from __future__ import annotations

import asyncio

import pytest

from clients.sockets import Connected, Message, NotConnected, Session
from clients.sockets.session import EARLY_MESSAGES_MAX
from tests.support.socket_links import Reader, ScriptedDialer, ScriptedLink, scripted_socket
from tests.support.virtual_time import VirtualLoop, run_virtual


def _ack(payload: bytes) -> bool | None:
    return payload == b"ack" or None


def test_answers_are_consumed_and_what_came_before_them_follows_the_connected_event_in_order() -> None:
    async def main(loop: VirtualLoop) -> None:
        async def subscribe(session: Session) -> None:
            assert await session.request("subscribe", _ack)

        def plan(link: ScriptedLink) -> None:
            link.answers = lambda payload: ["early 1", "ack", "early 2"]

        dialer = ScriptedDialer(loop, plan)
        reader = Reader(scripted_socket(loop, dialer, on_open=subscribe))
        link = await dialer.link(1)
        await asyncio.sleep(0.01)
        link.receive("late")
        await asyncio.sleep(0.01)

        assert reader.kinds() == ["Connected", "Message", "Message", "Message"]
        assert reader.payloads == ["early 1", "early 2", "late"]
        await reader.stop()

    run_virtual(main)


def test_a_greeting_that_came_before_anybody_waited_for_it_is_found() -> None:
    async def main(loop: VirtualLoop) -> None:
        async def greet(session: Session) -> None:
            assert await session.expect(lambda payload: payload if b"welcome" in payload else None) == b"welcome"

        dialer = ScriptedDialer(loop, lambda link: link.receive("welcome"))
        reader = Reader(scripted_socket(loop, dialer, on_open=greet))
        await dialer.link(1)
        await asyncio.sleep(0.01)

        assert reader.kinds() == ["Connected"]
        await reader.stop()

    run_virtual(main)


def test_an_answer_that_does_not_come_is_a_timeout_and_is_no_longer_waited_for() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop)
        socket = scripted_socket(loop, dialer)
        reader = Reader(socket)
        link = await dialer.link(1)
        await asyncio.sleep(0)

        with pytest.raises(TimeoutError):
            await socket.session.request("subscribe", _ack, timeout_s=3.0)

        link.receive("ack")
        await asyncio.sleep(0)
        assert reader.payloads == ["ack"]
        await reader.stop()

    run_virtual(main)


def test_waiting_ends_with_the_connection() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop)
        socket = scripted_socket(loop, dialer)
        reader = Reader(socket)
        link = await dialer.link(1)
        await asyncio.sleep(0)
        session = socket.session
        waiting = asyncio.create_task(session.request("subscribe", _ack))
        await asyncio.sleep(0)

        link.drop()

        with pytest.raises(NotConnected, match="the connection broke"):
            await waiting
        with pytest.raises(NotConnected):
            await session.expect(_ack)
        with pytest.raises(NotConnected):
            await session.request("subscribe", _ack)
        await reader.stop()

    run_virtual(main)


def test_a_matcher_with_a_bug_fails_its_caller_and_nobody_else() -> None:
    async def main(loop: VirtualLoop) -> None:
        def broken(payload: bytes) -> bool | None:
            raise KeyError("a bug")

        dialer = ScriptedDialer(loop)
        socket = scripted_socket(loop, dialer)
        reader = Reader(socket)
        link = await dialer.link(1)
        await asyncio.sleep(0)
        waiting = asyncio.create_task(socket.session.expect(broken))
        await asyncio.sleep(0)

        link.receive("deal")

        with pytest.raises(KeyError):
            await waiting
        await asyncio.sleep(0)
        assert reader.payloads == ["deal"]
        await reader.stop()

    run_virtual(main)


def test_a_flood_before_the_hook_is_done_stops_the_reading_and_is_handed_on_afterwards() -> None:
    async def main(loop: VirtualLoop) -> None:
        ready = asyncio.Event()

        async def on_open(session: Session) -> None:
            await ready.wait()

        dialer = ScriptedDialer(loop)
        reader = Reader(scripted_socket(loop, dialer, on_open=on_open))
        link = await dialer.link(1)
        await asyncio.sleep(0)
        while link.reading:
            link.receive("flood")
        await asyncio.sleep(1)
        ready.set()
        await asyncio.sleep(0.01)

        assert reader.payloads == ["flood"] * EARLY_MESSAGES_MAX
        assert link.reading
        connected, first, *_ = reader.events
        assert isinstance(connected, Connected)
        assert isinstance(first, Message)
        assert connected.wall_ns == first.receive_wall_ns
        await reader.stop()

    run_virtual(main)


def test_neither_target_nor_status_nor_errors_show_the_query_or_the_headers() -> None:
    async def main(loop: VirtualLoop) -> None:
        seen: list[str] = []

        def plan(link: ScriptedLink) -> None:
            seen.append(f"{link.target!r} {link.target}")
            raise ConnectionRefusedError(111, "Connection refused")

        dialer = ScriptedDialer(loop, plan)
        socket = scripted_socket(loop, dialer, headers={"api-signature": "canary"})
        reader = Reader(socket)
        await asyncio.sleep(10)

        assert seen
        assert "canary" not in "".join(seen) + repr(socket.status()) + repr(reader.events)
        await reader.stop()

    run_virtual(main)
