"""Decide which hour to ask for next, and when. Pure: no clock, no I/O; the same questions at the same times get the same answers.

The arithmetic of freshness. The provider allows 50 requests in any minute and 1,000 in any hour, and publishes every ten minutes with
a delay of 0 to 30 s. Asking for one hour every 2 s finds a publication within 2 s and takes at most 16 requests in those 30 s, the
finding one included; so 50 - 16 = 34 more hours can be asked for at once: with up to 35 hours on offer everything is known about
2 s and a few round trips after publication, and today's (at most 24) always are. Just after midnight 47 hours are on offer: 12 of
tomorrow's have to wait until the first probes are a minute old and then get a slot every 2 s, which makes at most
60 - 30 + 12 * 2 = 54 s after a publication that came after 30 s; 50 requests a minute allow no better.
In an hour that is 6 * (16 + 46) = 372 requests; what is left pays for late publications and for the last price of closed hours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from clients.power.calendar import DeliveryHour, local_day
from clients.power.reference.observation import Observation
from clients.power.store.pace import WINDOW_NS
from services.power.etl.schedule import SECOND_NS, PublicationWindow, Schedule

__all__ = ["Ask", "Planner", "Urgency", "Wait"]

PROBE_NS: Final = 2 * SECOND_NS
"""Between two probes while a publication is expected."""
LATE_PROBE_NS: Final = 4 * SECOND_NS
"""When it is late: half the rate leaves room to fetch 35 hours within the minute."""
LATE_NS: Final = 150 * SECOND_NS
VERY_LATE_PROBE_NS: Final = 15 * SECOND_NS
NONE_AGAIN_NS: Final = 300 * SECOND_NS
"""Hours without a price are asked for after each publication, and this often while no hour has one."""
FAILED_AGAIN_NS: Final = 2 * SECOND_NS
FAILED_AGAIN_NS_MAX: Final = 300 * SECOND_NS
FINAL_NS: Final = 120 * SECOND_NS
"""From closure to the last question: hours that are still traded come first when a publication is due at the full hour."""
FINAL_AGAIN_NS_MAX: Final = 300 * SECOND_NS
"""A closed hour is asked for until it is answered, after failures ever more rarely, but never less often than this."""
PAST_PACE_NS: Final = 5 * SECOND_NS
"""Between two questions for hours that closed while nobody asked."""
PAST_CLEAR_NS: Final = 65 * SECOND_NS
"""They are asked for only when nothing else is due for so long: each takes one of the 50 slots of the minute that it begins."""
PAST_AGAIN_NS: Final = 6 * 3_600 * SECOND_NS
"""Before such an hour is asked for again when the provider had no price of it."""
BUDGET_PER_HOUR: Final = 900
"""Of 1,000: what planning counts on; the rest is for attempts that are repeated."""
UNKNOWN_PACE_NS: Final = 30 * SECOND_NS
LATE_TURNS_NS: Final = 10 * SECOND_NS
"""When it is this late, the members of a group are asked in turn."""
PROBES_MAX: Final = 3
"""Probes of one group that may be under way; slow answers must not pile up."""
IDLE_NS: Final = 30 * SECOND_NS
"""Longest wait: hours come and go meanwhile."""


class Urgency(IntEnum):
    """Why an hour is asked for; the smaller, the sooner."""

    PROBE = 0
    """Has its group published?"""
    TODAY = 1
    TOMORROW = 2
    FINAL = 3
    """The last price of an hour that has closed."""
    PAST = 4
    """The last price of an hour that closed while nobody asked."""


@dataclass(frozen=True)
class Ask:
    """Ask for this hour now, then call `answered` or `failed`."""

    hour: DeliveryHour
    urgency: Urgency


@dataclass(frozen=True)
class Wait:
    """Nothing to do before then, unless an answer arrives."""

    until_ns: int


@dataclass
class _Track:
    """All that is known of one hour."""

    hour: DeliveryHour
    closes_ns: int
    stamp_ns: int | None = None
    asked_ns: int = 0
    due: bool = True
    """Its price may be old: never asked, or its group has published."""
    under_way: int = 0
    failures: int = 0
    not_before_ns: int = 0
    closed: bool = False
    past: bool = False
    """It had closed before this process looked at it."""


class Planner:
    """One per polling process. Times are wall time."""

    def __init__(self, schedule: Schedule, *, lead_ns: int = 0) -> None:
        self.schedule = schedule
        self._lead_ns = lead_ns
        self._tracks: dict[DeliveryHour, _Track] = {}
        self._pause_ns = 0
        self._none_swept_ns = 0
        self._not_yet_ns: dict[int, int] = {}
        self._past_asked_ns = 0
        self._past_answered_ns: dict[DeliveryHour, int] = {}

    def restore(self, hour: DeliveryHour, stamp_ns: int | None) -> None:
        """Say what an earlier process knew of an hour; call it before the first `next`."""
        self._tracks[hour] = _Track(hour, hour.gate_closure_ns(self._lead_ns), stamp_ns, due=stamp_ns is None)

    def look_back(self, hour: DeliveryHour, stamp_ns: int | None, now_ns: int) -> None:
        """Ask for the last price of an hour that closed while nobody asked, when there is room for it; harmless when repeated."""
        if hour in self._tracks or now_ns < self._past_answered_ns.get(hour, -PAST_AGAIN_NS) + PAST_AGAIN_NS:
            return
        closes_ns = hour.gate_closure_ns(self._lead_ns)
        self._tracks[hour] = _Track(hour, closes_ns, stamp_ns, closed=True, past=True)

    def pause(self, until_ns: int) -> None:
        """Ask for nothing before then: the quota or the breaker said so."""
        self._pause_ns = until_ns

    def next(self, now_ns: int, tradable: Iterable[DeliveryHour]) -> Ask | Wait:
        """Return what to do now, the most urgent first."""
        self._take(tradable, now_ns)
        if now_ns < self._pause_ns:
            return Wait(min(self._pause_ns, now_ns + IDLE_NS))
        today = local_day(now_ns)
        best: tuple[Urgency, DeliveryHour] | None = None
        wake_ns = now_ns + IDLE_NS
        for track, urgency, ready_ns in self._candidates(now_ns, today):
            if ready_ns > now_ns:
                wake_ns = min(wake_ns, ready_ns)
            elif best is None or (urgency, track.hour) < best:
                best = (urgency, track.hour)
        if best is None:
            return Wait(wake_ns)
        chosen = self._tracks[best[1]]
        chosen.under_way += 1
        chosen.asked_ns = now_ns
        if chosen.past:
            self._past_asked_ns = now_ns
        return Ask(chosen.hour, best[0])

    def answered(self, seen: Observation, *, asked_ns: int) -> bool:
        """Take an answer; return whether it is newer than what was known."""
        track = self._tracks.get(seen.hour)
        since_ns = seen.since_ns
        if track is None:
            return since_ns is not None
        track.under_way -= 1
        track.failures, track.not_before_ns = 0, 0
        was_due, track.due = track.due, False
        if track.closed:
            self._tracks.pop(track.hour)
        before_ns = track.stamp_ns
        newer = since_ns is not None and (before_ns is None or since_ns > before_ns)
        if track.past:
            self._past_answered_ns[track.hour] = asked_ns
            return newer
        if since_ns is None or not newer:
            if before_ns is not None and not was_due:
                self._not_yet_ns[before_ns] = asked_ns
            return False
        if not seen.ahead:
            # A stamp from the future says nothing about when anything was published.
            if not was_due and before_ns is not None:
                self._note_clock(before_ns, seen, asked_ns=asked_ns)
            self.schedule.learn(track.hour, since_ns, before_ns=before_ns)
        track.stamp_ns = since_ns
        if not was_due:
            self._group_has_published(before_ns, seen.observed_ns)
        return True

    def failed(self, hour: DeliveryHour, now_ns: int, *, sent: bool, own_fault: bool = False) -> None:
        """Say that no usable answer came.

        `sent` is false where the quota or the breaker kept the request here. `own_fault` says that the trouble is this hour's and
        not the provider's: then it is asked ever more rarely; of an outage the breaker takes care.
        """
        track = self._tracks.get(hour)
        if track is None:
            return
        track.under_way -= 1
        if not sent:
            return
        track.failures += 1
        delay_ns = FAILED_AGAIN_NS
        if own_fault or track.closed:
            delay_ns_max = FINAL_AGAIN_NS_MAX if track.closed else FAILED_AGAIN_NS_MAX
            delay_ns = min(FAILED_AGAIN_NS * 2 ** min(track.failures, 10), delay_ns_max)
        track.not_before_ns = now_ns + delay_ns

    def next_due_ns(self, now_ns: int) -> int:
        """Return when the next price should be there at the latest; in the past when it is late; 0 while nothing is known."""
        known = [
            (track.stamp_ns, track.hour)
            for track in self._tracks.values()
            if track.stamp_ns is not None and not track.closed and track.closes_ns > now_ns
        ]
        # Hours that are still to be fetched of a publication that was seen are not late.
        newest_ns = max((stamp_ns for stamp_ns, _ in known), default=0)
        recent = {stamp: hour for stamp, hour in known if stamp > newest_ns - self.schedule.period_ns // 2}
        return min((self.schedule.next_window(hour, stamp).end_ns for stamp, hour in recent.items()), default=0)

    # what there is to ask

    def _take(self, tradable: Iterable[DeliveryHour], now_ns: int) -> None:
        offered = set(tradable)
        begins = all(track.past for track in self._tracks.values())
        for hour in offered - self._tracks.keys():
            # Hours that come on offer at midnight have no price yet, and a publication may be due right now: they wait for it.
            self._tracks[hour] = _Track(
                hour, hour.gate_closure_ns(self._lead_ns), asked_ns=0 if begins else now_ns, due=begins
            )
        for hour in [hour for hour in self._tracks if hour not in offered]:
            track = self._tracks[hour]
            if not track.closed:
                # Once more: what it says after closure stays for good.
                track.closed, track.due = True, True
                track.failures, track.not_before_ns = 0, now_ns + FINAL_NS

    def _candidates(self, now_ns: int, today: object) -> Iterable[tuple[_Track, Urgency, int]]:
        groups: dict[int, list[_Track]] = defaultdict(list)
        unpriced: list[_Track] = []
        past: list[_Track] = []
        # When the next question that matters more comes; what is under way may be followed by others at once.
        busy_ns = now_ns + IDLE_NS * 10
        for track in self._tracks.values():
            if track.past:
                past.append(track)
            elif track.closed:
                if not track.under_way:
                    yield track, Urgency.FINAL, track.not_before_ns
                    busy_ns = min(busy_ns, track.not_before_ns)
            elif track.due:
                busy_ns = now_ns
                if not track.under_way:
                    yield track, Urgency.TODAY if track.hour.day == today else Urgency.TOMORROW, track.not_before_ns
            elif track.stamp_ns is None:
                unpriced.append(track)
            else:
                groups[track.stamp_ns].append(track)
        if not groups:
            # Else publications tell when to ask for these; at a time of their own they would take slots from one.
            for track in unpriced:
                if not track.under_way:
                    urgency = Urgency.TODAY if track.hour.day == today else Urgency.TOMORROW
                    yield track, urgency, max(track.asked_ns + NONE_AGAIN_NS, track.not_before_ns)
        for stamp_ns, members in groups.items():
            probe = self._probe(stamp_ns, members, len(groups), now_ns)
            busy_ns = min(busy_ns, probe[2])
            yield probe
        yield from self._look_back(past, busy_ns, now_ns)
        self._not_yet_ns = {stamp: moment for stamp, moment in self._not_yet_ns.items() if stamp in groups}

    def _look_back(self, past: list[_Track], busy_ns: int, now_ns: int) -> Iterable[tuple[_Track, Urgency, int]]:
        """Yield the newest of the hours that closed while nobody asked, one at a time, where nothing else needs the slots."""
        waiting = [track for track in past if track.not_before_ns <= now_ns]
        if waiting and not any(track.under_way for track in past) and busy_ns - now_ns >= PAST_CLEAR_NS:
            newest = max(waiting, key=lambda track: track.hour)
            yield newest, Urgency.PAST, max(self._past_asked_ns + PAST_PACE_NS, newest.not_before_ns)

    def _probe(self, stamp_ns: int, members: list[_Track], groups: int, now_ns: int) -> tuple[_Track, Urgency, int]:
        """Return which member speaks for its group, and when it is to be asked."""
        asked_ns = max(track.asked_ns for track in members)
        expected = self.schedule.next_window(members[0].hour, stamp_ns)
        window = self.schedule.window_at(expected, now_ns)
        usable = [track for track in members if track.not_before_ns <= now_ns] or members
        leader = min(usable, key=lambda track: track.hour)
        if now_ns > window.end_ns + LATE_TURNS_NS:
            # An hour that has got stuck at the provider must not speak for the others for ever.
            leader = min(usable, key=lambda track: (track.asked_ns, track.hour))
        if sum(track.under_way for track in members) >= PROBES_MAX:
            return leader, Urgency.PROBE, now_ns + IDLE_NS
        # Half way through, a look whether the provider has become faster; often, until its pace is known at all.
        pause_ns = self.schedule.period_ns // 2 if self.schedule.period_known else UNKNOWN_PACE_NS
        ready_ns = min(window.begin_ns, asked_ns + pause_ns)
        if asked_ns >= window.begin_ns:
            ready_ns = asked_ns + self._step_ns(window, groups, asked_ns)
        return leader, Urgency.PROBE, max(ready_ns, leader.not_before_ns)

    def _step_ns(self, window: PublicationWindow, groups: int, asked_ns: int) -> int:
        """Return the time from one probe to the next: more where many groups share the quota, or the publication is late."""
        per_period = BUDGET_PER_HOUR * self.schedule.period_ns // (3_600 * SECOND_NS)
        followed = sum(not track.past for track in self._tracks.values())
        allowed = max((per_period - followed) // groups, 1)
        fair_ns = WINDOW_NS // allowed
        if asked_ns <= window.end_ns:
            return max(PROBE_NS, fair_ns)
        if asked_ns <= window.end_ns + LATE_NS:
            return max(LATE_PROBE_NS, 2 * fair_ns)
        return max(VERY_LATE_PROBE_NS, 8 * fair_ns)

    # what answers mean for others

    def _group_has_published(self, before_ns: int | None, now_ns: int) -> None:
        """A probe was answered with something new: whoever had the same stamp is asked at once."""
        sweep = now_ns - self._none_swept_ns >= min(NONE_AGAIN_NS, self.schedule.period_ns // 2)
        if sweep:
            self._none_swept_ns = now_ns
        for track in self._tracks.values():
            if track.closed or track.under_way:
                continue
            if track.stamp_ns is None:
                track.due = track.due or sweep
            elif track.stamp_ns == before_ns:
                track.due = True

    def _note_clock(self, before_ns: int, seen: Observation, *, asked_ns: int) -> None:
        """Two probes shortly one after the other, of which the second one found something, tell when it came by our clock."""
        not_yet_ns = self._not_yet_ns.get(before_ns, 0)
        if seen.update_ns is not None and 0 < asked_ns - not_yet_ns <= 2 * LATE_PROBE_NS:
            self.schedule.learn_clock(seen.update_ns, not_yet_ns=not_yet_ns, seen_ns=seen.observed_ns)

    @property
    def hours(self) -> Mapping[DeliveryHour, int | None]:
        """The newest stamp of every hour that is followed."""
        return {hour: track.stamp_ns for hour, track in self._tracks.items()}
