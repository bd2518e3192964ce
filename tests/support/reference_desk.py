"""A day of the reference-price process in virtual time, against the simulated provider without a port."""

from __future__ import annotations

import asyncio
import json
import math
import random
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from urllib.parse import parse_qsl, urlsplit

from clients.http import HttpRequest, HttpResponse, ResponseLost
from clients.power.calendar import DeliveryHour, local_day, tradable_hours
from clients.power.reference import Observation, ReferencePriceClient, classify
from clients.resilience.executor import PolicyExecutor, Ports
from clients.resilience.quota import Quota, QuotaLedger
from services.power.etl.poller import Poller
from services.power.etl.quota_limiter import QuotaLimiter
from services.power.etl.server import ATTEMPT_TIMEOUT_S, POLICIES
from services.power.etl.store import KnownHour, SavedStatus
from services.simulators.market_data.provider import ReferencePriceProvider
from services.simulators.power_hours import MarketHour
from tests.support.virtual_time import VirtualLoop

SECOND_NS = 1_000_000_000


class ProviderTransport:
    """Carries requests to a provider in the same process; the way there and back takes time, and the provider's answer, too."""

    def __init__(
        self,
        provider: ReferencePriceProvider,
        loop: VirtualLoop,
        rng: random.Random,
        *,
        latency_s: tuple[float, float] = (0.02, 0.2),
        skew_ns: int = 0,
    ) -> None:
        self.provider = provider
        self._loop = loop
        self._rng = rng
        self._latency_s = latency_s
        self._skew_ns = skew_ns
        self.statuses: dict[int, int] = defaultdict(int)
        self.sent_ns: list[int] = []

    async def send(self, request: HttpRequest, *, timeout_s: float) -> HttpResponse:
        sent_ns = self._loop.monotonic_ns()
        self.sent_ns.append(self._loop.wall_ns())
        params = dict(parse_qsl(urlsplit(request.url).query))
        there_s, back_s = (self._rng.uniform(*self._latency_s) / 2 for _ in range(2))
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.sleep(there_s)
                answer = self.provider.answer(params, self._loop.wall_ns() + self._skew_ns)
                self.statuses[answer.status] += 1
                await asyncio.sleep(back_s + answer.delay_s)
        except TimeoutError:
            raise ResponseLost("no answer in time") from None
        headers = {name.lower(): value for name, value in answer.headers.items()}
        body = json.dumps(answer.body).encode()
        return HttpResponse(answer.status, headers, body, sent_ns, self._loop.monotonic_ns(), self._loop.wall_ns())

    async def aclose(self) -> None:
        return None


@dataclass
class MemoryStore:
    """Keeps what the poller stores, with the time of storing; survives pollers, as a database does."""

    loop: VirtualLoop
    rows: dict[tuple[DeliveryHour, int | None, int | None], tuple[Observation, int]] = field(default_factory=dict)
    finals: set[DeliveryHour] = field(default_factory=set)
    deals: set[DeliveryHour] = field(default_factory=set)
    saved: SavedStatus | None = None
    lease: tuple[str, int] = ("", 0)
    commit_s: float = 0.005

    async def add(self, observed: Sequence[tuple[Observation, bool]]) -> int:
        await asyncio.sleep(self.commit_s)
        before = len(self.rows)
        for seen, last in observed:
            self.rows.setdefault((seen.hour, seen.update_ns, seen.value_e4), (seen, self.loop.wall_ns()))
            if last:
                self.finals.add(seen.hour)
        return len(self.rows) - before

    async def known(self, days: Sequence[date]) -> list[KnownHour]:
        newest: dict[DeliveryHour, int] = {}
        for (hour, _, _), (seen, _) in self.rows.items():
            if seen.since_ns is not None and hour.day in days:
                newest[hour] = max(newest.get(hour, 0), seen.since_ns)
        return [KnownHour(hour, stamp_ns, hour in self.finals) for hour, stamp_ns in newest.items()]

    async def traded(self, days: Sequence[date]) -> list[DeliveryHour]:
        return [hour for hour in self.deals if hour.day in days]

    async def status(self) -> SavedStatus | None:
        return self.saved

    async def save_status(self, status: SavedStatus, *, now_ns: int) -> None:
        self.saved = status

    async def hold(self, holder: str, *, now_ns: int, until_ns: int) -> bool:
        if self.lease[0] not in ("", holder) and self.lease[1] >= now_ns:
            return False
        self.lease = (holder, until_ns)
        return True

    async def release(self, holder: str) -> None:
        if self.lease[0] == holder:
            self.lease = ("", 0)

    def first_seen(self) -> dict[DeliveryHour, list[tuple[int, int]]]:
        """Stamps and when they were stored, by hour, in order of stamps."""
        found: dict[DeliveryHour, list[tuple[int, int]]] = defaultdict(list)
        for (hour, stamp_ns, _), (_, stored_ns) in self.rows.items():
            if stamp_ns is not None:
                found[hour].append((stamp_ns, stored_ns))
        return {hour: sorted(pairs) for hour, pairs in found.items()}


def make_poller(
    loop: VirtualLoop,
    transport: ProviderTransport,
    store: MemoryStore,
    ledger: QuotaLedger,
    rng: random.Random,
    *,
    lead_ns: int = 0,
) -> Poller:
    """Wire a poller as the process does."""
    ports = Ports(monotonic_ns=loop.monotonic_ns, sleep=asyncio.sleep, random=rng)
    quota = Quota(
        ledger,
        arrival_bound_s=ATTEMPT_TIMEOUT_S + 10.0,
        wall_ns=loop.wall_ns,
        monotonic_ns=loop.monotonic_ns,
        sleep=asyncio.sleep,
    )
    executor = PolicyExecutor(classify, policies=POLICIES, limiter=QuotaLimiter(quota), ports=ports)
    client = ReferencePriceClient("http://provider.test", transport, executor)
    return Poller(
        client, store, wall_ns=loop.wall_ns, sleep=asyncio.sleep, lead_ns=lead_ns, holder=f"{rng.getrandbits(64):x}"
    )


async def poll_for(poller: Poller, seconds: float, *, graceful: bool = True) -> None:
    """Let a poller run; end it as a signal does, or as a kill does."""
    running = asyncio.create_task(poller.run())
    await asyncio.wait((running,), timeout=seconds)
    if running.done():
        running.result()
        raise AssertionError("the poller ended by itself")
    running.cancel()
    await asyncio.wait((running,))
    if graceful:
        await poller.stop()
    else:
        for task in tuple(poller._under_way):
            task.cancel()


def new_loop_at(loop: VirtualLoop, start_ns: int) -> None:
    """Set the wall clock of a virtual loop."""
    loop.jump_wall_ns(start_ns - loop.wall_ns())


@dataclass(frozen=True)
class Delay:
    """How long after its publication a price of an hour was stored."""

    hour: DeliveryHour
    published_ns: int
    seconds: float
    """Infinite: never."""
    offered: int
    """Hours that were tradable then."""

    @property
    def today(self) -> bool:
        return self.hour.day == local_day(self.published_ns)


def delays(
    provider: ReferencePriceProvider, store: MemoryStore, *, start_ns: int, end_ns: int, lead_ns: int = 0
) -> list[Delay]:
    """Return one entry per publication and hour on offer in a stretch of time, by the provider's own books."""
    seen = store.first_seen()
    found: list[Delay] = []
    hours = {hour for moment in range(start_ns, end_ns, 1800 * SECOND_NS) for hour in tradable_hours(moment, lead_ns)}
    interval_ns = provider.schedule.options.interval_s * SECOND_NS
    for hour in sorted(hours):
        known = seen.get(hour, [])
        offered_hour = MarketHour(hour.day, hour.hour)
        stamps = [stamp for stamp, _ in known]
        for number in range(start_ns // interval_ns - 1, end_ns // interval_ns + 1):
            published_ns = provider.schedule.published_ns(number, offered_hour)
            if not start_ns <= published_ns < min(end_ns, hour.gate_closure_ns(lead_ns)):
                continue
            publication = provider.publication(offered_hour, published_ns)
            if publication is None or publication.number != number:
                continue
            stamp_ns = publication.stamp_s * SECOND_NS
            place = bisect_right(stamps, stamp_ns) - 1
            exact = place >= 0 and stamps[place] == stamp_ns
            late_s = (known[place][1] - published_ns) / 1e9 if exact else math.inf
            offered = len(tradable_hours(published_ns, lead_ns))
            found.append(Delay(hour, published_ns, late_s, offered))
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


__all__ = [
    "Delay",
    "MemoryStore",
    "ProviderTransport",
    "delays",
    "make_poller",
    "new_loop_at",
    "percentile",
    "poll_for",
]
