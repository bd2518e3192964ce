"""How often a socket tries again: bounded for every seed, and without end."""

from __future__ import annotations

import asyncio
import logging
from random import Random

import pytest

from clients.resilience.ports import RandomSource
from clients.sockets import (
    AuthRefused,
    ConnectBudget,
    NotConnected,
    OpenFailed,
    Session,
    SocketPolicy,
    SocketState,
    SubscriptionRefused,
)
from tests.support.log_records import said
from tests.support.socket_links import FullDelay, NoJitter, Reader, ScriptedDialer, ScriptedLink, scripted_socket
from tests.support.virtual_time import VirtualLoop, run_virtual

MINUTE_S = 60.0


def _closing(loop: VirtualLoop) -> ScriptedDialer:
    """Return a server that accepts and closes at once."""

    def plan(link: ScriptedLink) -> None:
        loop.call_soon(link.drop, "closed with code 1013", 1013)

    return ScriptedDialer(loop, plan)


@pytest.mark.quick
@pytest.mark.parametrize("seed", range(200))
def test_r17_a_server_that_accepts_and_closes_gets_at_most_twelve_connects_a_minute(seed: int) -> None:
    async def main(loop: VirtualLoop) -> int:
        dialer = _closing(loop)
        reader = Reader(scripted_socket(loop, dialer, random=Random(seed)))

        await asyncio.sleep(MINUTE_S)

        await reader.stop()
        return len(dialer.attempts_ns)

    assert 1 < run_virtual(main) <= 12


def test_r17_holds_in_any_minute_of_an_hour_even_when_chance_makes_every_delay_zero() -> None:
    async def main(loop: VirtualLoop) -> int:
        dialer = _closing(loop)
        reader = Reader(scripted_socket(loop, dialer, random=NoJitter()))

        await asyncio.sleep(60 * MINUTE_S)

        await reader.stop()
        return dialer.most_in(MINUTE_S)

    assert run_virtual(main) <= 12


def test_without_the_budget_the_same_server_would_be_stormed() -> None:
    # The guard matters: jitter alone lets any number through.
    async def main(loop: VirtualLoop) -> int:
        dialer = _closing(loop)
        policy = SocketPolicy(attempts_max=1000)
        reader = Reader(scripted_socket(loop, dialer, policy, random=NoJitter()))

        await asyncio.sleep(MINUTE_S)

        await reader.stop()
        return len(dialer.attempts_ns)

    assert run_virtual(main) > 12


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ConnectionRefusedError(111, "Connection refused"), id="refused"),
        pytest.param(OpenFailed("the handshake was answered with HTTP 503", status=503), id="503"),
        pytest.param(OSError(-2, "Name or service not known"), id="DNS"),
        pytest.param(TimeoutError(), id="no answer"),
        pytest.param(OSError(1, "certificate verify failed"), id="TLS"),
        pytest.param(ValueError("a bug in a dialer"), id="anything else"),
    ],
)
def test_w01_an_outage_of_a_day_is_tried_at_least_every_minute_and_survived(error: Exception) -> None:
    async def main(loop: VirtualLoop) -> None:
        back_ns = loop.monotonic_ns() + 86_400 * 1_000_000_000

        def plan(link: ScriptedLink) -> None:
            if loop.monotonic_ns() < back_ns:
                raise error

        dialer = ScriptedDialer(loop, plan)
        socket = scripted_socket(loop, dialer, random=FullDelay())
        reader = Reader(socket)

        await dialer.link(1)
        await asyncio.sleep(0.1)

        gaps_s = [(b - a) / 1e9 for a, b in zip(dialer.attempts_ns, dialer.attempts_ns[1:], strict=False)]
        assert max(gaps_s) <= 60.1
        assert dialer.most_in(MINUTE_S) <= 12
        assert socket.status().state is SocketState.OPEN
        assert reader.kinds() == ["Connected"]
        await reader.stop()

    run_virtual(main)


def test_an_outage_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main(loop: VirtualLoop) -> None:
        def plan(link: ScriptedLink) -> None:
            raise ConnectionRefusedError(111, "Connection refused")

        reader = Reader(scripted_socket(loop, ScriptedDialer(loop, plan)))
        await asyncio.sleep(3600)
        await reader.stop()

    with caplog.at_level(logging.WARNING):
        run_virtual(main)

    assert said(caplog.records) == [
        ("socket is down", {"name": "scripted", "reason": "no connection: Connection refused"})
    ]


@pytest.mark.parametrize(("lived_s", "least_tries"), [(29.0, 4), (31.0, 1)], ids=["not stable", "stable"])
def test_the_backoff_begins_again_only_after_half_a_minute_of_connection(lived_s: float, least_tries: int) -> None:
    async def main(loop: VirtualLoop) -> float:
        failures = 6

        def plan(link: ScriptedLink) -> None:
            if link.number <= failures:
                raise ConnectionRefusedError
            if link.number == failures + 1:
                loop.call_later(lived_s, link.drop)

        dialer = ScriptedDialer(loop, plan)
        reader = Reader(scripted_socket(loop, dialer, random=FullDelay()))

        await dialer.link(2)

        await reader.stop()
        return (dialer.attempts_ns[-1] - dialer.attempts_ns[-2]) / 1e9 - lived_s

    waited_s = run_virtual(main)

    # Base 0.5 s doubling: 32 s after six failures, 0.5 s after a reset.
    assert waited_s == pytest.approx(32.0 if least_tries > 1 else 0.5, abs=0.01)


@pytest.mark.parametrize("seed", range(20))
def test_w11_a_refused_key_is_tried_at_most_once_in_half_a_minute(seed: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        def plan(link: ScriptedLink) -> None:
            raise AuthRefused("the handshake was answered with HTTP 401", status=401)

        dialer = ScriptedDialer(loop, plan)
        reader = Reader(scripted_socket(loop, dialer, random=Random(seed)))
        await asyncio.sleep(3600)
        await reader.stop()

        assert dialer.most_in(30.0) == 1
        assert len(dialer.attempts_ns) > 3600 / 91

    run_virtual(main)


def test_w11_holds_as_well_when_the_login_behind_the_handshake_is_refused() -> None:
    async def main(loop: VirtualLoop) -> None:
        async def log_in(session: Session) -> None:
            raise AuthRefused("authKeyExpires was refused: Invalid API Key.")

        dialer = ScriptedDialer(loop)
        socket = scripted_socket(loop, dialer, random=NoJitter(), on_open=log_in)
        reader = Reader(socket)
        await asyncio.sleep(3600)

        assert dialer.most_in(30.0) == 1
        assert "Invalid API Key" in socket.status().last_error
        assert all(link.closed for link in dialer.links)
        assert reader.kinds() == []
        await reader.stop()

    run_virtual(main)


def test_a_hint_of_the_server_is_waited_for_and_capped() -> None:
    async def main(loop: VirtualLoop) -> list[float]:
        hints = {1: 120.0, 2: 86_400.0}

        def plan(link: ScriptedLink) -> None:
            if link.number in hints:
                raise OpenFailed("HTTP 429", status=429, retry_after_s=hints[link.number])

        dialer = ScriptedDialer(loop, plan)
        reader = Reader(scripted_socket(loop, dialer, random=NoJitter()))
        await dialer.link(1)
        await reader.stop()
        return [(b - a) / 1e9 for a, b in zip(dialer.attempts_ns, dialer.attempts_ns[1:], strict=False)]

    assert run_virtual(main) == [pytest.approx(120.0, abs=0.001), pytest.approx(3600.0, abs=0.001)]


def test_a_refused_subscription_ends_the_connection_and_is_tried_again_with_backoff() -> None:
    async def main(loop: VirtualLoop) -> None:
        async def subscribe(session: Session) -> None:
            if session.number < 3:
                raise SubscriptionRefused("the subscription was refused: 2: unknown stream")

        dialer = ScriptedDialer(loop)
        socket = scripted_socket(loop, dialer, on_open=subscribe)
        reader = Reader(socket)
        await dialer.link(3)
        await asyncio.sleep(0)

        assert [link.closed for link in dialer.links] == [True, True, False]
        assert reader.kinds() == ["Connected"]
        await reader.stop()

    run_virtual(main)


def test_an_opening_hook_that_never_ends_is_a_failed_attempt() -> None:
    async def main(loop: VirtualLoop) -> None:
        async def subscribe(session: Session) -> None:
            await asyncio.Event().wait()

        dialer = ScriptedDialer(loop)
        socket = scripted_socket(loop, dialer, on_open=subscribe)
        reader = Reader(socket)
        await dialer.link(2)

        assert dialer.links[0].closed
        assert socket.status().last_error == "no answer in time"
        await reader.stop()

    run_virtual(main)


def test_url_and_headers_are_asked_for_before_every_attempt() -> None:
    async def main(loop: VirtualLoop) -> None:
        made: list[str] = []

        async def url() -> str:
            made.append(f"ws://exchange.invalid/?after={len(made)}")
            return made[-1]

        dialer = ScriptedDialer(loop)
        socket = scripted_socket(loop, dialer, url=url, headers=lambda: {"api-expires": str(len(made))})
        reader = Reader(socket)
        (await dialer.link(1)).drop()
        await dialer.link(2)

        assert [link.target.url for link in dialer.links] == made
        assert dialer.links[1].target.headers == {"api-expires": "1"}
        await reader.stop()

    run_virtual(main)


def test_a_url_that_cannot_be_made_is_a_failed_attempt() -> None:
    async def main(loop: VirtualLoop) -> None:
        tries = 0

        async def url() -> str:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise OpenFailed("the answer holds no listen key")
            return "ws://exchange.invalid/"

        dialer = ScriptedDialer(loop)
        reader = Reader(scripted_socket(loop, dialer, url=url))
        await dialer.link(1)

        assert tries == 3
        await reader.stop()

    run_virtual(main)


@pytest.mark.parametrize("random", [NoJitter(), Random(1)], ids=["no jitter", "jitter"])
def test_sockets_that_share_a_budget_keep_within_it_together(random: RandomSource) -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = _closing(loop)
        budget = ConnectBudget(20, 300.0, monotonic_ns=loop.monotonic_ns)
        readers = [Reader(scripted_socket(loop, dialer, random=random, budget=budget)) for _ in range(7)]
        await asyncio.sleep(3600)
        for reader in readers:
            await reader.stop()

        assert dialer.most_in(300.0) == 20

    run_virtual(main)


def test_a_held_budget_lets_nothing_through() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop)
        budget = ConnectBudget(20, 300.0, monotonic_ns=loop.monotonic_ns)
        budget.hold(120.0)
        reader = Reader(scripted_socket(loop, dialer, budget=budget))
        await asyncio.sleep(119.0)
        assert dialer.attempts_ns == []
        await asyncio.sleep(2.0)
        assert len(dialer.attempts_ns) == 1
        await reader.stop()

    run_virtual(main)


def test_a_budget_gives_no_attempt_that_it_does_not_have() -> None:
    now_ns = 0
    budget = ConnectBudget(2, 10.0, monotonic_ns=lambda: now_ns)

    assert [budget.take() for _ in range(3)] == [True, True, False]
    assert budget.wait_s() == 10.0
    now_ns = 10_000_000_000
    assert [budget.take() for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(("attempts", "window_s"), [(0, 1.0), (1, 0.0), (1, -1.0)])
def test_a_budget_that_lets_nothing_through_is_refused(attempts: int, window_s: float) -> None:
    with pytest.raises(ValueError, match="lets nothing through"):
        ConnectBudget(attempts, window_s, monotonic_ns=lambda: 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts_max": 0},
        {"open_timeout_s": 0.0},
        {"backoff_cap_s": 0.1},
        {"stale_after_s": 0.0},
        {"rotate_after_s": float("nan")},
    ],
    ids=str,
)
def test_a_policy_that_cannot_work_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SocketPolicy(**wrong)  # type: ignore[arg-type]


def test_reconnecting_on_request_happens_at_once() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop)
        socket = scripted_socket(loop, dialer, random=FullDelay())
        reader = Reader(socket)
        await dialer.link(1)
        await asyncio.sleep(5)
        before_ns = loop.monotonic_ns()

        socket.reconnect("the server is about to stop")
        await dialer.link(2)

        assert loop.monotonic_ns() - before_ns < 1_000_000
        assert dialer.links[0].end == "the server is about to stop"
        await asyncio.sleep(0)
        assert reader.kinds() == ["Connected", "Disconnected", "Connected"]
        await reader.stop()

    run_virtual(main)


def test_a_consumer_that_does_not_read_stops_the_reconnecting() -> None:
    # Otherwise the notices about connections nobody looks at would pile up without bound.
    async def main(loop: VirtualLoop) -> None:
        dialer = _closing(loop)
        socket = scripted_socket(loop, dialer)
        await anext(socket)
        await asyncio.sleep(86_400)

        assert len(dialer.attempts_ns) < 20

        for _ in range(40):
            await anext(socket)
        await asyncio.sleep(3600)
        assert len(dialer.attempts_ns) > 20
        await socket.close()

    run_virtual(main)


def test_closing_ends_a_wait_a_connection_and_the_iteration_and_may_be_repeated() -> None:
    async def main(loop: VirtualLoop) -> None:
        def refuse(link: ScriptedLink) -> None:
            raise ConnectionRefusedError

        waiting = scripted_socket(loop, ScriptedDialer(loop, refuse), random=FullDelay())
        reader = Reader(waiting)
        await asyncio.sleep(3600)
        await reader.stop()
        await waiting.close()

        dialer = ScriptedDialer(loop)
        async with scripted_socket(loop, dialer) as connected:
            await anext(connected)
        assert dialer.links[0].closed
        with pytest.raises(StopAsyncIteration):
            await anext(connected)
        assert connected.status().state is SocketState.CLOSED

        never_read = scripted_socket(loop, ScriptedDialer(loop))
        await never_read.close()
        with pytest.raises(StopAsyncIteration):
            await anext(never_read)

    run_virtual(main)


def test_sending_without_a_connection_says_so() -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop)
        socket = scripted_socket(loop, dialer)
        with pytest.raises(NotConnected, match="it has not been opened yet"):
            await socket.send("hello")

        reader = Reader(socket)
        link = await dialer.link(1)
        await asyncio.sleep(0)
        await socket.send("hello")
        session = socket.session
        link.drop("closed with code 1001", 1001)

        assert link.sent == ["hello"]
        with pytest.raises(NotConnected):
            await session.send("too late")
        await reader.stop()

    run_virtual(main)


def test_a_bug_in_the_socket_reaches_the_consumer_instead_of_looking_like_silence() -> None:
    async def main(loop: VirtualLoop) -> None:
        class Broken:
            def uniform(self, a: float, b: float, /) -> float:
                raise ZeroDivisionError

            def random(self) -> float:
                return 0.0

        dialer = _closing(loop)
        socket = scripted_socket(loop, dialer, random=Broken())
        with pytest.raises(ZeroDivisionError):
            async for _ in socket:
                pass
        await socket.close()

    run_virtual(main)
