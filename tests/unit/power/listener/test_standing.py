"""Signs of life of the listener: every change at once, the same again every two seconds, counts that survive restarts and midnight."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from clients.database import DatabaseUnavailable
from clients.power.store.standing import Standing
from clients.sockets import SocketState, SocketStatus
from services.power.listener.standing import EVERY_NS, LOOK_S, StandingTeller
from services.power.listener.stats import RECENT_MESSAGES, RECENT_MESSAGES_MIN, ListenerStats
from tests.support.reporting_desk import berlin_ns

SECOND_NS = 10**9
START_NS = berlin_ns("2026-11-29 12:00")


class Table:
    """Remembers what was told, with the time."""

    def __init__(self, earlier: Standing | None = None, counts: tuple[int, int] = (0, 0)) -> None:
        self.earlier = earlier
        self.counts = counts
        self.since_ns = 0
        self.told: list[tuple[int, Standing]] = []
        self.down = False

    @property
    def last(self) -> Standing:
        return self.told[-1][1]

    async def load(self) -> Standing | None:
        self._fail_when_down()
        return self.earlier

    async def count_unusable(self, since_ns: int) -> tuple[int, int]:
        self.since_ns = since_ns
        return self.counts

    async def save(self, standing: Standing, *, now_ns: int) -> None:
        self._fail_when_down()
        self.told.append((now_ns, standing))

    def _fail_when_down(self) -> None:
        if self.down:
            raise DatabaseUnavailable(ConnectionRefusedError("connection refused"))


class Told:
    """A teller whose clock stands."""

    def __init__(self, table: Table | None = None, *, now_ns: int = START_NS) -> None:
        self.table = table or Table()
        self.stats = ListenerStats()
        self.now_ns = now_ns
        self.status: SocketStatus | None = None
        self.trouble = ""
        self.teller = StandingTeller(
            self.table,
            self.stats,
            status=lambda: self.status,
            trouble=lambda: self.trouble,
            wall_ns=lambda: self.now_ns,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)
        await asyncio.sleep(0)

    def connect(self, age_s: float = 0.0) -> None:
        self.status = SocketStatus("x", SocketState.OPEN, False, None, age_s, 1, 1, 0, 0, 0, "")

    def disconnect(self) -> None:
        self.status = SocketStatus("x", SocketState.WAITING, False, None, None, 2, 1, 0, 0, 0, "refused")

    async def tell(self, after_s: float = LOOK_S) -> Standing:
        self.now_ns += round(after_s * 1e9)
        await self.teller.tell()
        return self.table.last


async def test_every_change_is_told_at_the_next_look_and_nothing_else_sooner_than_it_has_to() -> None:
    told = Told()
    await told.tell(0)
    told.connect(0.25)
    await told.tell()
    await told.tell()
    told.stats.note_message(told.now_ns)
    await told.tell()
    assert len(told.table.told) == 2, "messages alone are told with the next sign of life"

    await told.tell(1.0)

    assert [(at_ns - START_NS) / 1e9 for at_ns, _ in told.table.told] == [0, 0.5, 2.5]
    assert told.table.told[1][1].since_ns == START_NS + SECOND_NS // 4
    assert told.table.last.last_message_ns == START_NS + SECOND_NS


async def test_a_connection_that_ends_is_told_with_the_moment_and_the_reason() -> None:
    told = Told()
    told.connect()
    await told.tell(0)
    told.disconnect()
    told.trouble = "feed: refused"

    standing = await told.tell()

    assert (standing.connected, standing.trouble) == (False, "feed: refused")
    assert standing.since_ns == told.now_ns


async def test_signs_of_life_come_all_the_time_and_again_after_an_outage() -> None:
    told = Told()
    running = asyncio.create_task(told.teller.run())
    while told.now_ns < START_NS + 20 * SECOND_NS:
        told.table.down = START_NS + 5 * SECOND_NS < told.now_ns < START_NS + 10 * SECOND_NS
        await asyncio.sleep(0)
    running.cancel()

    moments = [at_ns - START_NS for at_ns, _ in told.table.told]
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert max(pauses) <= 5 * SECOND_NS + EVERY_NS
    assert sorted(pauses)[-2] == EVERY_NS


async def test_what_a_listener_before_this_one_knew_goes_on() -> None:
    told = Told(Table(Standing(last_message_ns=5, last_deal_ns=4), counts=(3, 10)))
    told.stats.unusable = 2

    standing = await told.tell()

    assert (standing.last_message_ns, standing.last_deal_ns) == (5, 4)
    assert (standing.unusable_today, standing.unusable_total) == (3, 10), "what it has counted is in the table"
    told.stats.unusable += 4
    assert replace(await told.tell(), spooled=0).unusable_total == 14


async def test_at_midnight_the_count_of_the_day_begins_again_and_the_total_goes_on() -> None:
    told = Told(Table(counts=(3, 10)), now_ns=berlin_ns("2026-10-24 23:59"))
    await told.tell()
    assert told.table.since_ns == berlin_ns("2026-10-24 00:00")
    told.stats.unusable += 1
    before = await told.tell()

    after = await told.tell(60)
    told.stats.unusable += 2
    later = await told.tell(25 * 3_600 - 60)

    assert (before.unusable_today, before.unusable_total) == (4, 11)
    assert (after.unusable_today, after.unusable_total) == (0, 11)
    assert (later.unusable_today, later.unusable_total) == (2, 13), "that day has twenty-five hours"


async def test_an_orderly_end_is_told() -> None:
    told = Told()
    told.connect()
    await told.tell()

    await told.teller.say_goodbye()

    assert not told.table.last.connected
    assert told.table.last.trouble == "it was stopped"


@pytest.mark.parametrize(
    ("messages", "mostly"),
    [
        ("u" * (RECENT_MESSAGES_MIN - 1), False),
        ("u" * RECENT_MESSAGES_MIN, True),
        ("uuuuu" + "g" * 5, False),
        ("uuuuuu" + "g" * 5, True),
        ("u" * 100 + "g" * (RECENT_MESSAGES // 2), False),
        ("g" * 100 + "u" * (RECENT_MESSAGES // 2 + 1), True),
    ],
)
def test_a_feed_is_judged_by_its_latest_messages(messages: str, mostly: bool) -> None:
    stats = ListenerStats()

    for number, message in enumerate(messages):
        stats.note_message(number, "no JSON" if message == "u" else "")

    assert stats.mostly_unusable is mostly
