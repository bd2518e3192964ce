"""The supervisor, with children that crash, refuse, hang and do not listen."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.cli import supervisor as module
from services.cli.supervisor import ChildFailed, ChildRefused, ChildSpec, Supervisor
from tests.support.waiting import is_gone, wait_until


class Scene:
    """Children by name and script, what they did, and what the supervisor said."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._history = directory / "history"
        self._history.touch()
        self.said: list[str] = []
        self.supervisors: list[Supervisor] = []

    @property
    def history(self) -> list[str]:
        return self._history.read_text().splitlines()

    def supervise(self, *, progress: Callable[[], object] = lambda: None, **scripts: str) -> Supervisor:
        specs = [
            ChildSpec(
                name=name,
                module="tests.unit.cli.child",
                environment={"CHILD": script, "CHILD_NAME": name, "CHILD_HISTORY": str(self._history)},
                ready_file=self.directory / f"{name}.json",
                log=self.directory / f"{name}.log",
            )
            for name, script in scripts.items()
        ]
        self.supervisors.append(Supervisor(specs, redis=None, progress=progress, on_event=self.said.append))
        return self.supervisors[-1]

    async def wait_started(self, name: str, count: int) -> None:
        await asyncio.to_thread(
            wait_until, lambda: self.history.count(f"{name} started") >= count, what=f"{count} starts of {name}"
        )


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(module, "full_jitter", lambda *_, **__: 0.0)
    played = Scene(tmp_path)
    yield played
    monkeypatch.setattr(module, "STOP_GRACE_S", 0.0)
    for supervisor in played.supervisors:
        await supervisor.stop()


@pytest.mark.quick
async def test_servers_are_announced_when_all_serve_and_the_first_stops_first(scene: Scene) -> None:
    supervisor = scene.supervise(replay="serve", price="serve", health="serve")

    announced = await supervisor.start()
    await supervisor.stop()

    assert [announced[name]["server"] for name in ("replay", "price", "health")] == ["replay", "price", "health"]
    stopped = [line for line in scene.history if line.endswith("stopped")]
    assert stopped[0] == "replay stopped"
    assert sorted(stopped[1:]) == ["health stopped", "price stopped"]
    assert all(is_gone(announced[name]["pid"]) for name in announced)


async def test_killed_server_is_started_again(scene: Scene) -> None:
    supervisor = scene.supervise(replay="serve", price="serve")
    announced = await supervisor.start()
    watch = asyncio.create_task(supervisor.watch())

    os.kill(announced["price"]["pid"], signal.SIGKILL)
    await scene.wait_started("price", 2)
    watch.cancel()

    assert scene.said == ["the price server ended with exit code -9: starting it again"]


async def test_five_restarts_without_progress_are_enough(scene: Scene) -> None:
    supervisor = scene.supervise(replay="serve", price="crash")
    await supervisor.start()

    with pytest.raises(
        ChildFailed, match=r"price server ended with exit code 1, see .*price\.log; gave up after 5 restarts"
    ):
        async with asyncio.timeout(30):
            await supervisor.watch()

    assert scene.history.count("price started") == 6


async def test_a_server_that_never_served_was_not_restarted_and_nobody_says_so(scene: Scene) -> None:
    supervisor = scene.supervise(replay="serve", price="fail")

    with pytest.raises(ChildFailed) as caught:
        async with asyncio.timeout(30):
            await supervisor.start()

    assert "exit code" in str(caught.value)
    assert "restarts" not in str(caught.value)


async def test_restarts_with_progress_go_on(scene: Scene) -> None:
    supervisor = scene.supervise(progress=itertools.count().__next__, price="crash " * 9 + "serve")
    await supervisor.start()
    watch = asyncio.create_task(supervisor.watch())

    await scene.wait_started("price", 10)

    assert not watch.done()
    watch.cancel()


async def test_a_server_that_served_is_started_again_however_often_it_is_killed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Everything else would be stopped with it, orders that are open included.
    monkeypatch.setattr(module, "SERVED_S", 0.0)
    supervisor = scene.supervise(prices="serve", orders="crash " * 9 + "serve")
    await supervisor.start()
    watch = asyncio.create_task(supervisor.watch())

    await scene.wait_started("orders", 10)

    assert not watch.done()
    watch.cancel()


@pytest.mark.quick
async def test_server_that_refuses_is_quoted_with_its_own_line(scene: Scene) -> None:
    supervisor = scene.supervise(replay="hang", price="refuse")

    with pytest.raises(ChildRefused, match=r"^the port is taken: take another one$"):
        async with asyncio.timeout(30):
            await supervisor.start()


async def test_server_that_refuses_after_a_restart_is_not_started_again(scene: Scene) -> None:
    supervisor = scene.supervise(price="crash refuse serve")
    await supervisor.start()

    with pytest.raises(ChildRefused):
        async with asyncio.timeout(30):
            await supervisor.watch()
    assert scene.history.count("price started") == 2


async def test_server_that_never_serves_is_a_failure(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READY_TIMEOUT_S", 0.1)
    supervisor = scene.supervise(price="hang")

    with pytest.raises(ChildFailed, match="does not serve"):
        await supervisor.start()


async def test_server_that_ignores_sigterm_is_killed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_GRACE_S", 0.2)
    supervisor = scene.supervise(price="stubborn")
    announced = await supervisor.start()

    await supervisor.stop()

    assert is_gone(announced["price"]["pid"])
    assert scene.said == ["the price server does not stop: killing it"]


class RedisStandIn:
    """An embedded Redis that ends when it is told to."""

    def __init__(self) -> None:
        self.ended = False
        self.stopped = False

    def poll(self) -> int | None:
        return 1 if self.ended else None

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def redises() -> list[RedisStandIn]:
    return [RedisStandIn()]


async def test_redis_that_ends_is_started_again_and_gives_up_without_progress(
    redises: list[RedisStandIn],
) -> None:
    def again() -> RedisStandIn:
        redises.append(RedisStandIn())
        redises[-1].ended = True
        return redises[-1]

    redises[0].ended = True
    supervisor = Supervisor([], redis=redises[0], restart_redis=again)  # type: ignore[arg-type]

    with pytest.raises(ChildFailed, match="Redis keeps ending"):
        async with asyncio.timeout(30):
            await supervisor.watch()
    await supervisor.stop()

    assert len(redises) == 6
    assert redises[-1].stopped
