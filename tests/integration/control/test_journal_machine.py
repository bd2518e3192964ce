"""The control journal against a model in memory: whatever is asked for in whatever order, repeated, refused, and by several servers."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from services.control.journal import AppendOutcome, ControlJournal, InEffect
from services.runtime.clock import SystemClock
from services.runtime.connection import connect, connect_async
from services.runtime.session.events import Cancel, Seek, Step, When
from services.runtime.session.intents import (
    Change,
    Intended,
    Intent,
    Pause,
    Range,
    Resume,
    SetMode,
    SetRange,
    SetSpeed,
    Setting,
)
from services.runtime.session.keys import SessionKeys

SETTINGS: st.SearchStrategy[Setting] = st.one_of(
    st.sampled_from([Pause(), Resume()]),
    st.sampled_from([1, 2]).map(SetMode),
    st.sampled_from([0.0, 1.0, 50.0]).map(SetSpeed),
    st.sampled_from([Range(), Range(1, 2), Range(None, 2, loop=True)]).map(SetRange),
)
EVENTS: st.SearchStrategy[Change] = st.one_of(
    st.sampled_from([Seek("begin"), Seek("by", -5)]), st.just(Step(2)), st.integers(1, 9).map(Cancel)
)
PLACES = st.sampled_from([When(arrival_time_ns=7), When(after_sequence=3), When(at_end=True)])
_NAMES = itertools.count()


def lasting(intent: Intent) -> Setting | None:
    """What an intent sets from now on; None for what happens once, or later."""
    change = intent.change
    return None if intent.when is not None or isinstance(change, Seek | Step | Cancel) else change


class JournalMachine(RuleBasedStateMachine):
    """Two control servers, an engine that applies in order and reports when it likes, and what they should add up to."""

    url = ""
    directory = Path()

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.keys = SessionKeys(f"machine{next(_NAMES)}")
        self.client: redis.Redis = connect(self.url, client_name="test")
        self.clients = [connect_async(self.url, client_name="test-control") for _ in range(2)]
        self.journals = [
            ControlJournal(client, clock=SystemClock(), archive_directory=self.directory) for client in self.clients
        ]
        self.entries: list[Intent] = []
        self.requests: dict[str, int] = {}
        self.applied = 0
        """Up to which revision the engine has come; of those, it refused some."""
        self.effective: dict[str, str] = {}
        self.reports = False

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    # What is asked for

    @rule(setting=SETTINGS, server=st.integers(0, 1), request=st.sampled_from(["", "a", "b", "c"]))
    def ask_for_a_setting(self, setting: Setting, server: int, request: str) -> None:
        self._append(Intent(setting, request_id=request), server)

    @rule(event=EVENTS, server=st.integers(0, 1), request=st.sampled_from(["", "a", "b", "c"]))
    def ask_for_an_event(self, event: Change, server: int, request: str) -> None:
        self._append(Intent(event, request_id=request), server)

    @rule(change=st.one_of(SETTINGS, EVENTS), when=PLACES, server=st.integers(0, 1))
    def schedule(self, change: Change, when: When, server: int) -> None:
        self._append(Intent(change, when=when), server)

    def _append(self, intent: Intent, server: int) -> None:
        expected = self._expected(intent)
        effect = InEffect()
        if self.reports:
            setting = lasting(intent)
            effect = InEffect("" if setting is None else self.effective.get(setting.setting, ""), self.applied)

        journalled = self.run(self.journals[server].append(self.keys, intent, effect=effect))

        assert (journalled.revision, journalled.outcome) == expected
        if journalled.outcome is AppendOutcome.ADDED:
            self.entries.append(intent)
        if intent.request_id:
            self.requests.setdefault(intent.request_id, journalled.revision)

    def _expected(self, intent: Intent) -> tuple[int, AppendOutcome]:
        if intent.request_id in self.requests:
            return self.requests[intent.request_id], AppendOutcome.REPEATED
        setting, following = lasting(intent), len(self.entries) + 1
        if setting is None:
            return following, AppendOutcome.ADDED
        asked, revision = self._asked_for(setting.setting)
        effective = self.effective.get(setting.setting) if self.reports else None
        if effective is None or revision > self.applied:
            # Not seen by the engine yet, or nobody knows: what was asked for last is what will be.
            return (revision, AppendOutcome.ALREADY_SO) if asked == setting.value else (following, AppendOutcome.ADDED)
        if effective != setting.value:
            return following, AppendOutcome.ADDED
        return (revision if asked == setting.value else self.applied), AppendOutcome.ALREADY_SO

    def _asked_for(self, name: str) -> tuple[str | None, int]:
        for revision in range(len(self.entries), 0, -1):
            setting = lasting(self.entries[revision - 1])
            if setting is not None and setting.setting == name:
                return setting.value, revision
        return None, 0

    # What the engine does

    @rule(count=st.integers(1, 4), refuses=st.booleans())
    def apply(self, count: int, refuses: bool) -> None:
        for intent in self.entries[self.applied : self.applied + count]:
            self.applied += 1
            setting = lasting(intent)
            if setting is not None and not refuses:
                self.effective[setting.setting] = setting.value

    @rule(reports=st.booleans())
    def report(self, reports: bool) -> None:
        if reports:
            self.effective = {"mode": "1", "paused": "0", "speed": "1.0", "range": str(Range())} | self.effective
        self.reports = reports

    # What holds always

    @invariant()
    def the_journal_holds_what_was_added_in_one_numbering(self) -> None:
        found: Any = self.client.xrange(self.keys.control)
        assert [int(entry_id.split(b"-")[1]) for entry_id, _ in found] == list(range(1, len(self.entries) + 1))
        read = [Intent.decode(fields[b"intent"]) for _, fields in found]
        assert [(one.change, one.when) for one in read] == [(one.change, one.when) for one in self.entries]
        ids = [json.loads(fields[b"intent"])["request_id"] for _, fields in found]
        assert len(ids) == len(set(ids))

    @invariant()
    def the_sum_is_what_was_asked_for_last_and_knows_nothing_of_what_happens_once(self) -> None:
        stored: Any = self.client.hgetall(self.keys.intended)
        intended = Intended.decode(stored)
        wanted = {
            name: self._asked_for(name) for name in ("mode", "paused", "speed", "range") if self._asked_for(name)[1]
        }
        assert {change.setting: change.value for change in intended.changes} == {
            name: value for name, (value, _) in wanted.items()
        }
        assert intended.revisions == {name: revision for name, (_, revision) in wanted.items()}
        assert intended.revision == (len(self.entries) if self.entries else 0)

    def teardown(self) -> None:
        for client in self.clients:
            self.run(client.aclose())
        self.client.delete(self.keys.control, self.keys.intended, self.keys.requests)
        self.client.close()
        self.loop.close()


def test_the_journal_is_that_of_the_model(redis_url: str, tmp_path: Path) -> None:
    class Machine(JournalMachine):
        url = redis_url
        directory = tmp_path

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
