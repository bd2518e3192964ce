"""One created session on a server: who runs its engine, and what is told when nobody can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from services.runtime.errors import PermissionDenied
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.keys import SessionKeys
from services.runtime.session.session_runner import SessionRunner

KEYS = SessionKeys("a")
DEFINITION = SessionDefinition(files=("a.csv",), mode=1, created_time_ns=7)
PATIENCE_S = 10.0


class Queue:
    """The keys, as a test wants them."""

    def __init__(self) -> None:
        self.held_by = ""
        self.looked = asyncio.Event()
        self.failures: list[str] = []
        self.trouble: Exception | None = None

    async def holder(self, keys: SessionKeys) -> str:
        self.looked.set()
        if self.trouble is not None:
            trouble, self.trouble = self.trouble, None
            raise trouble
        return self.held_by

    async def note_failure(self, keys: SessionKeys, error: str) -> None:
        self.failures.append(error)


class Engine:
    """An engine that ends when it is told to."""

    def __init__(self) -> None:
        self.refusal: str | None = None
        self.ended = asyncio.Event()
        self.started = asyncio.Event()

    async def start(self) -> None:
        self.started.set()

    async def run(self) -> int:
        await self.ended.wait()
        return 1 if self.refusal else 0

    async def stop(self) -> None:
        self.ended.set()


class Stage:
    def __init__(self) -> None:
        self.queue = Queue()
        self.engines: list[Engine] = []
        self.begun: asyncio.Queue[Engine] = asyncio.Queue()
        self.refuses: Exception | None = None
        self.prepared = 0
        self.makes: Callable[[], Engine] = Engine
        self.prepares: Callable[[], Awaitable[None]] | None = None
        self.runner = self.make()

    def make(self, after: SessionRunner | None = None) -> SessionRunner:
        return SessionRunner(
            KEYS, DEFINITION, make_host=self._host, prepare=self._prepare, queue=self.queue, after=after, look_s=0.001
        )

    def _host(self, definition: SessionDefinition, on_trouble: Callable[[str], None]) -> Engine:
        if self.refuses is not None:
            raise self.refuses
        self.engines.append(self.makes())
        self.begun.put_nowait(self.engines[-1])
        return self.engines[-1]

    async def _prepare(self, keys: SessionKeys, definition: SessionDefinition) -> None:
        self.prepared += 1
        if self.prepares is not None:
            await self.prepares()

    async def next_engine(self) -> Engine:
        engine = await asyncio.wait_for(self.begun.get(), PATIENCE_S)
        await asyncio.wait_for(engine.started.wait(), PATIENCE_S)
        return engine

    async def ended(self) -> None:
        assert self.runner._task is not None
        await asyncio.wait_for(asyncio.shield(self.runner._task), PATIENCE_S)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    yield made
    await made.runner.stop()


async def test_an_engine_starts_behind_its_preparation_and_drains_with_the_runner(stage: Stage) -> None:
    stage.runner.start()
    engine = await stage.next_engine()
    assert (stage.prepared, stage.runner.is_ours) == (1, True)

    await stage.runner.stop()

    assert engine.ended.is_set()
    assert (stage.queue.failures, stage.runner.failure) == ([], "")


async def test_while_another_server_has_the_session_there_is_no_engine(stage: Stage) -> None:
    stage.queue.held_by = "process 5 on host b"
    stage.runner.start()
    for _ in range(3):
        stage.queue.looked.clear()
        await asyncio.wait_for(stage.queue.looked.wait(), PATIENCE_S)
    assert (stage.engines, stage.prepared, stage.runner.is_ours) == ([], 0, False)

    stage.queue.held_by = ""

    await stage.next_engine()


async def test_a_session_that_was_lost_to_another_server_is_waited_for_and_not_failed(stage: Stage) -> None:
    stage.runner.start()
    engine = await stage.next_engine()

    stage.queue.held_by, engine.refusal = "process 5 on host b", "the session is being produced"
    engine.ended.set()
    stage.queue.looked.clear()
    await asyncio.wait_for(stage.queue.looked.wait(), PATIENCE_S)
    stage.queue.held_by = ""

    await stage.next_engine()
    assert (stage.queue.failures, stage.runner.failure) == ([], "")


async def test_why_an_engine_ended_is_kept_and_reported(stage: Stage) -> None:
    stage.runner.start()
    engine = await stage.next_engine()
    engine.refusal = "a.csv: no such file"
    engine.ended.set()
    await stage.ended()

    assert stage.runner.failure == "a.csv: no such file"
    assert stage.queue.failures == ["a.csv: no such file"]
    assert stage.runner.is_ours


async def test_what_is_not_allowed_here_any_more_fails_without_an_engine(stage: Stage) -> None:
    stage.refuses = PermissionDenied("a.csv is a link out of the data")
    stage.runner.start()
    await stage.ended()

    assert stage.engines == []
    assert stage.queue.failures == ["a.csv is a link out of the data"]


async def test_a_redis_that_is_away_is_waited_for(stage: Stage) -> None:
    stage.queue.trouble = OSError("connection refused")
    stage.runner.start()

    await stage.next_engine()


async def test_the_session_before_ends_first(stage: Stage) -> None:
    stage.runner.start()
    first = await stage.next_engine()

    stage.runner = stage.make(after=stage.runner)
    stage.runner.start()
    await stage.next_engine()

    assert first.ended.is_set()


async def test_a_runner_that_is_stopped_before_its_engine_was_there_leaves_none(stage: Stage) -> None:
    stage.runner.start()
    await stage.runner.stop()

    assert all(engine.ended.is_set() for engine in stage.engines)


class SlowEngine(Engine):
    """One that is told to end before it can hear."""

    def __init__(self) -> None:
        super().__init__()
        self.may_start, self.may_end = asyncio.Event(), asyncio.Event()
        self.has_drained = False

    async def start(self) -> None:
        self.started.set()
        await self.may_start.wait()

    async def stop(self) -> None:
        if self.may_start.is_set():
            await self.may_end.wait()
            self.has_drained = True
            self.ended.set()


async def test_the_end_waits_for_an_engine_that_was_only_starting(stage: Stage) -> None:
    engine = SlowEngine()
    stage.makes = lambda: engine
    stage.runner.start()
    await asyncio.wait_for(engine.started.wait(), PATIENCE_S)

    ending = asyncio.create_task(stage.runner.stop())
    await asyncio.sleep(0)
    engine.may_start.set()
    # Longer than an end waits for a runner without an engine.
    await asyncio.wait({ending}, timeout=1.2)
    is_waiting = not ending.done()
    engine.may_end.set()
    await asyncio.wait_for(ending, PATIENCE_S)

    assert (is_waiting, engine.has_drained, stage.runner.is_running) == (True, True, False)


async def test_no_engine_begins_behind_an_end_that_came_while_it_was_prepared(stage: Stage) -> None:
    preparing, prepared = asyncio.Event(), asyncio.Event()

    async def prepare() -> None:
        preparing.set()
        await prepared.wait()

    stage.prepares = prepare
    stage.runner.start()
    await asyncio.wait_for(preparing.wait(), PATIENCE_S)

    ending = asyncio.create_task(stage.runner.stop())
    await asyncio.sleep(0)
    prepared.set()
    await asyncio.wait_for(ending, PATIENCE_S)

    assert stage.engines == []
