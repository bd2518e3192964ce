"""The feed over its connections: where each begins, what is a gap, what was missed. Sockets and exchange are scripted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from clients.http.transport import NotSent, ResponseLost
from clients.power.deals import Deal, Gap, Unusable
from clients.power.deals.feed import FRUITLESS_MAX, LOST_ANSWERS_MAX, DealFeed, NextUrl, ReplayUse
from clients.power.deals.model import Flag, Item
from clients.power.deals.replay import Offer, ReplayClient, ReplayTrouble
from clients.sockets import AuthRefused, Connected, Disconnected, Event, Message, SocketState, SocketStatus
from tests.support.power_list import URL, FakeExchange
from tests.support.power_messages import EXECUTED_NS, RECEIVED_NS, confirmation


class ScriptedSocket:
    """Connects as the script says, asking for the URL each time as the real one does."""

    def __init__(self, next_url: NextUrl) -> None:
        self.next_url = next_url
        self.urls: list[str] = []
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        self.connection = 0

    async def connect(self, wall_ns: int = RECEIVED_NS) -> str:
        self.connection += 1
        self.urls.append(await self.next_url())
        self.events.put_nowait(Connected(self.connection, wall_ns))
        return self.urls[-1]

    def say(self, *messages: str, wall_ns: int = RECEIVED_NS) -> None:
        for message in messages:
            self.events.put_nowait(Message(message.encode(), wall_ns, 0, self.connection))

    def drop(self) -> None:
        self.events.put_nowait(Disconnected(self.connection, "dropped"))

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._all()

    async def _all(self) -> AsyncIterator[Event]:
        while (event := await self.events.get()) is not None:
            yield event

    def status(self) -> SocketStatus:
        return SocketStatus("x", SocketState.OPEN, False, None, None, 1, 1, 0, 0, 0, "")

    async def close(self) -> None:
        self.events.put_nowait(None)


class Scene:
    """A feed between a scripted socket and a scripted exchange."""

    def __init__(
        self, ids: Sequence[str] = (), *, use: ReplayUse = "auto", resume_after: str | None = None, **exchange: Any
    ) -> None:
        self.exchange = FakeExchange(ids)
        for name, value in exchange.items():
            setattr(self.exchange, name, value)
        self.socket: ScriptedSocket

        def open_socket(next_url: NextUrl) -> ScriptedSocket:
            self.socket = ScriptedSocket(next_url)
            return self.socket

        self.feed = DealFeed(URL, open_socket, ReplayClient(URL, self.exchange), use=use, resume_after=resume_after)
        self.items: list[Item] = []

    async def read(self) -> list[Item]:
        """Hand on everything that was said so far; return what came of it."""
        self.socket.events.put_nowait(None)
        fresh = [item async for item in self.feed.items()]
        self.items += fresh
        return fresh


@pytest.mark.quick
async def test_the_first_connection_ever_asks_for_the_whole_list() -> None:
    scene = Scene(["a", "b"])

    assert await scene.socket.connect() == f"{URL}?after="


async def test_a_listener_goes_on_where_its_database_ends() -> None:
    scene = Scene(["a", "b"], resume_after="b")

    assert await scene.socket.connect() == f"{URL}?after=b"
    assert await scene.read() == []


@pytest.mark.quick
async def test_a_new_connection_goes_on_behind_the_last_deal() -> None:
    scene = Scene(["a", "b", "c"])
    await scene.socket.connect()
    scene.socket.say(confirmation(id="a"), confirmation(id="b"))
    scene.socket.drop()
    await scene.read()

    assert await scene.socket.connect() == f"{URL}?after=b"
    assert await scene.read() == []


async def test_ids_are_quoted_in_the_url() -> None:
    scene = Scene(["a%26b%3Dc%2Fd"], resume_after="a&b=c/d")

    await scene.socket.connect()

    assert scene.exchange.asked == ["http://exchange:5050/deals?after=a%26b%3Dc%2Fd&limit=1000"]


async def test_a_plain_feed_begins_with_a_gap_after_every_loss() -> None:
    scene = Scene(status=404, resume_after="a")
    await scene.socket.connect(100)
    scene.socket.say(confirmation(), wall_ns=150)
    scene.socket.drop()
    await scene.socket.connect(400)

    first, deal, second = await scene.read()

    assert scene.socket.urls == [URL, URL]
    assert isinstance(deal, Deal)
    assert first == Gap(None, 100, "the listener was away and the exchange offers no replay")
    assert second == Gap(150, 400, "the connection was lost and the exchange offers no replay")


async def test_a_deal_that_the_exchange_does_not_know_is_a_gap_and_its_whole_list_is_read() -> None:
    scene = Scene(["x", "y"], resume_after="gone")

    assert await scene.socket.connect(100) == f"{URL}?after="

    (gap,) = await scene.read()
    assert isinstance(gap, Gap)
    assert "does not know deal gone" in gap.reason


@pytest.mark.parametrize("status", [400, 404, 405, 426, 501])
async def test_a_server_that_has_no_list_has_a_plain_feed(status: int) -> None:
    assert await Scene(status=status).socket.connect() == URL


async def test_another_web_servers_page_of_that_name_is_no_list() -> None:
    assert await Scene(["a"], headers=False).socket.connect() == URL


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_told_as_such(status: int) -> None:
    with pytest.raises(AuthRefused):
        await Scene(status=status).socket.connect()


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_trouble_of_the_exchange_is_waited_for_instead_of_losing_deals(status: int) -> None:
    with pytest.raises(ReplayTrouble, match=str(status)):
        await Scene(status=status).socket.connect()


async def test_an_exchange_that_is_not_there_is_no_plain_feed() -> None:
    scene = Scene(error=NotSent("refused"))

    for _ in range(LOST_ANSWERS_MAX + 5):
        with pytest.raises(ReplayTrouble):
            await scene.socket.connect()


async def test_a_server_that_never_answers_http_is_a_plain_feed_after_some_attempts() -> None:
    scene = Scene(error=ResponseLost("closed"))
    for _ in range(LOST_ANSWERS_MAX - 1):
        with pytest.raises(ReplayTrouble):
            await scene.socket.connect()

    assert await scene.socket.connect() == URL


async def test_an_exchange_that_cannot_be_asked_any_more_is_heard_all_the_same_and_the_gap_is_told() -> None:
    scene = Scene(["a"])
    await scene.socket.connect(100)
    scene.socket.drop()
    await scene.read()
    scene.exchange.error = ResponseLost("closed")
    for _ in range(LOST_ANSWERS_MAX - 1):
        with pytest.raises(ReplayTrouble):
            await scene.socket.connect()

    assert await scene.socket.connect(400) == URL

    (gap,) = await scene.read()
    assert gap == Gap(100, 400, "the connection was lost and its list cannot be read")


async def test_a_deal_that_breaks_every_connection_is_passed_by_and_told() -> None:
    scene = Scene(["a", "huge", "b"], resume_after="a")
    for number in range(FRUITLESS_MAX):
        assert await scene.socket.connect(number) == f"{URL}?after=a"
        scene.socket.drop()
        assert await scene.read() == []

    assert await scene.socket.connect(400) == URL

    (gap,) = await scene.read()
    assert isinstance(gap, Gap)
    assert "breaks the connection" in gap.reason


async def test_connections_that_end_with_nothing_to_say_prove_nothing() -> None:
    scene = Scene(["a"], resume_after="a")
    for _ in range(FRUITLESS_MAX + 2):
        assert await scene.socket.connect() == f"{URL}?after=a"
        scene.socket.drop()
        await scene.read()


async def test_replay_that_is_insisted_on_is_not_done_without() -> None:
    with pytest.raises(ReplayTrouble, match="offers no replay"):
        await Scene(status=404, use="on").socket.connect()


async def test_replay_that_is_switched_off_is_not_asked_for() -> None:
    scene = Scene(["a"], use="off", resume_after="a")

    assert await scene.socket.connect() == URL

    (gap,) = await scene.read()
    assert isinstance(gap, Gap)
    assert gap.reason == "the listener was away and replay is switched off"
    assert scene.exchange.asked == []


async def test_what_is_caught_up_with_is_flagged_and_what_is_live_is_not() -> None:
    scene = Scene(["a", "b"])
    await scene.socket.connect(EXECUTED_NS + 3_600 * 10**9)
    scene.socket.say(*(confirmation(id=each) for each in "abc"), wall_ns=EXECUTED_NS + 3_600 * 10**9)

    flags = [item.flags for item in await scene.read() if isinstance(item, Deal)]

    assert flags == [Flag.BACKFILLED, Flag.BACKFILLED, f"{Flag.HOURS_OFF},{Flag.OLD}"]


async def test_a_feed_has_caught_up_when_it_has_heard_the_last_that_it_missed_and_not_before() -> None:
    scene = Scene(["a", "b"])
    before = EXECUTED_NS + 3_600 * 10**9
    await scene.socket.connect(before)
    # It is open, and what has to be caught up with has not been looked at.
    assert not scene.feed.caught_up

    await scene.read()
    assert not scene.feed.caught_up
    scene.socket.say(*(confirmation(id=each) for each in "ab"), wall_ns=before)
    await scene.read()
    assert scene.feed.caught_up

    await scene.socket.connect(before)
    assert not scene.feed.caught_up
    await scene.read()
    assert scene.feed.caught_up


async def test_an_unusable_message_is_an_item_and_moves_nothing() -> None:
    scene = Scene(["a"])
    await scene.socket.connect()
    scene.socket.say(confirmation(id="a"), "garbage")

    _, unusable = await scene.read()

    assert isinstance(unusable, Unusable)
    assert await scene.socket.connect() == f"{URL}?after=a"


async def test_a_connection_keeps_its_own_beginning_when_the_next_one_is_opened_before_it_is_heard_of() -> None:
    scene = Scene(["a"])
    await scene.socket.connect(100)
    scene.socket.say(confirmation(id="a"), wall_ns=150)
    scene.socket.drop()
    scene.exchange.ids = ["other"]
    scene.feed._last_id = "a"
    await scene.socket.connect(400)

    deal, gap = await scene.read()

    assert isinstance(deal, Deal)
    assert isinstance(gap, Gap)
    assert (gap.since_ns, gap.until_ns) == (150, 400)


async def test_offers_are_told_apart() -> None:
    client = ReplayClient("ws://exchange:5050/stream?key=1", exchange := FakeExchange(["a"]))

    offer, page = await client.ask("a")

    assert (offer, list(page.messages), page.last_id) == (Offer.KNOWN, [], "a")
    assert exchange.asked == ["http://exchange:5050/stream/deals?key=1&after=a&limit=1000"]
    assert (await client.ask("b"))[0] is Offer.UNKNOWN_DEAL
