"""The supervisor, with children that crash, refuse, hang and do not listen."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.cli import child as child_module
from services.cli import restarts
from services.cli import supervisor as module
from services.cli.child import ChildSpec
from services.cli.supervisor import ChildFailed, ChildPostponed, ChildRefused, Supervisor
from services.runtime.errors import StartRefused
from tests.support.waiting import is_gone, wait_until


class Scene:
    """Children by name and script, what they did, and what the supervisor said."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._history = directory / "history"
        self._history.touch()
        self.said: list[str] = []
        self.down: list[dict[str, str]] = []
        self.supervisors: list[Supervisor] = []

    @property
    def history(self) -> list[str]:
        return self._history.read_text().splitlines()

    def supervise(
        self, *, progress: Callable[[str], object] = lambda name: None, all_vital: bool = False, **scripts: str
    ) -> Supervisor:
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
        self.supervisors.append(
            Supervisor(
                specs,
                redis=None,
                progress=progress,
                on_event=self.said.append,
                on_down=lambda down: self.down.append(dict(down)),
                all_vital=all_vital,
            )
        )
        return self.supervisors[-1]

    async def wait_started(self, name: str, count: int) -> None:
        await asyncio.to_thread(
            wait_until, lambda: self.history.count(f"{name} started") >= count, what=f"{count} starts of {name}"
        )


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(restarts, "BASE_S", 0.0)
    played = Scene(tmp_path)
    yield played
    monkeypatch.setattr(child_module, "STOP_GRACE_S", 0.0)
    for supervisor in played.supervisors:
        await supervisor.stop()


@pytest.mark.quick
async def test_servers_are_announced_when_all_serve_and_stop_after_who_watches_them(scene: Scene) -> None:
    supervisor = scene.supervise(replay="serve", price="serve", health="serve")

    announced = await supervisor.start()
    await supervisor.stop()

    assert [announced[name]["server"] for name in ("replay", "price", "health")] == ["replay", "price", "health"]
    stopped = [line for line in scene.history if line.endswith("stopped")]
    assert stopped == ["health stopped", "replay stopped", "price stopped"]
    assert all(is_gone(announced[name]["pid"]) for name in announced)


async def test_killed_server_is_started_again(scene: Scene) -> None:
    supervisor = scene.supervise(replay="serve", price="serve")
    announced = await supervisor.start()
    watch = asyncio.create_task(supervisor.watch())

    os.kill(announced["price"]["pid"], signal.SIGKILL)
    await scene.wait_started("price", 2)
    watch.cancel()

    assert scene.said == ["the price server ended with exit code -9: starting it again"]


async def test_five_restarts_without_progress_are_enough_where_all_are_vital(scene: Scene) -> None:
    supervisor = scene.supervise(all_vital=True, replay="serve", price="crash")
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
    moves = itertools.count()
    supervisor = scene.supervise(progress=lambda name: next(moves), all_vital=True, price="crash " * 9 + "serve")
    await supervisor.start()
    watch = asyncio.create_task(supervisor.watch())

    await scene.wait_started("price", 10)

    assert not watch.done()
    watch.cancel()


async def test_a_server_that_served_is_started_again_however_often_it_is_killed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Everything else would be stopped with it, orders that are open included.
    monkeypatch.setattr(restarts, "SERVED_S", 0.0)
    supervisor = scene.supervise(all_vital=True, prices="serve", orders="crash " * 9 + "serve")
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


async def test_server_that_refuses_after_a_restart_is_not_started_again_where_all_are_vital(scene: Scene) -> None:
    supervisor = scene.supervise(all_vital=True, price="crash refuse serve")
    await supervisor.start()

    with pytest.raises(ChildRefused):
        async with asyncio.timeout(30):
            await supervisor.watch()
    assert scene.history.count("price started") == 2


async def test_server_that_never_serves_is_a_failure(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "READY_TIMEOUT_S", 0.1)
    supervisor = scene.supervise(price="hang")

    with pytest.raises(ChildFailed, match="does not serve"):
        await supervisor.start()


async def test_server_that_ignores_sigterm_is_killed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "STOP_GRACE_S", 0.2)
    supervisor = scene.supervise(price="stubborn")
    announced = await supervisor.start()

    await supervisor.stop()

    assert is_gone(announced["price"]["pid"])
    assert scene.said == ["the price server did not stop: it was killed"]


async def test_whoever_asks_again_does_not_wait_for_servers_that_drain(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "STOP_GRACE_S", 3_600.0)
    supervisor = scene.supervise(replay="stubborn", price="stubborn")
    announced = await supervisor.start()

    stopping = asyncio.create_task(supervisor.stop())
    await asyncio.sleep(0)
    supervisor.hasten()

    async with asyncio.timeout(60):
        await stopping
    assert all(is_gone(each["pid"]) for each in announced.values())
    assert scene.said == []


async def test_a_server_that_served_once_and_is_refused_later_is_tried_again_until_it_serves(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever it says: what keeps it out is mended while the others serve.
    monkeypatch.setattr(module, "SERVED_S", 0.0)
    fleet = scene.supervise(price="serve", orders="crash " + "refuse " * 7 + "later " * 7 + "serve")
    await fleet.start()
    watch = asyncio.create_task(fleet.watch())

    await scene.wait_started("orders", 16)
    await asyncio.to_thread(wait_until, lambda: scene.down[-1:] == [{}], what="orders to serve again")

    assert not watch.done()
    assert {"orders": "the orders server refused to start (the port is taken: take another one)"} in scene.down
    assert {"orders": "the orders server cannot start now (the database is locked)"} in scene.down
    assert scene.said[-1] == "the orders server serves again"
    assert scene.history.count("price started") == 1
    watch.cancel()


async def test_a_server_that_keeps_dying_is_left_down_and_the_others_go_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SERVED_S", 0.0)
    fleet = scene.supervise(price="serve", control="crash " * 8 + "serve")
    await fleet.start()
    watch = asyncio.create_task(fleet.watch())

    await scene.wait_started("control", 9)
    await asyncio.to_thread(wait_until, lambda: scene.down[-1:] == [{}], what="control to serve again")

    assert not watch.done()
    assert scene.down[0] == {"control": "the control server ended with exit code 1, 6 times in a row"}
    assert [line for line in scene.said if "it stays down, starting it again; the others go on" in line]
    assert scene.history.count("price started") == 1
    watch.cancel()


async def test_when_every_server_keeps_dying_nothing_is_left_to_keep_up(scene: Scene) -> None:
    fleet = scene.supervise(price="crash", control="crash")
    await fleet.start()

    with pytest.raises(ChildFailed, match="gave up after 5 restarts without progress"):
        async with asyncio.timeout(60):
            await fleet.watch()


@pytest.mark.quick
async def test_a_first_start_waits_for_trouble_that_passes_and_says_so(scene: Scene) -> None:
    fleet = scene.supervise(price="serve", orders="later later later serve")

    async with asyncio.timeout(30):
        announced = await fleet.start()

    assert announced["orders"]["server"] == "orders"
    assert scene.history.count("orders started") == 4
    # Once in a while, not each time.
    (said,) = scene.said
    assert re.fullmatch(
        r"the orders server cannot start yet \(the database is locked\): trying again for another (5\d|60) s", said
    )


async def test_a_first_start_says_every_few_seconds_that_it_waits(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAY_S", 0.0)
    fleet = scene.supervise(orders="later later serve")

    await fleet.start()

    assert [line.partition(":")[0] for line in scene.said] == [
        "the orders server cannot start yet (the database is locked)"
    ] * 2


async def test_a_first_start_does_not_wait_for_ever(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    fleet = scene.supervise(price="serve", orders="later")

    with pytest.raises(ChildPostponed, match=r"^the database is locked; that did not pass in 0 s, see .*orders\.log$"):
        async with asyncio.timeout(30):
            await fleet.start()


async def test_where_all_are_vital_trouble_is_waited_for_and_not_for_ever(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = scene.supervise(all_vital=True, price="crash later later later later later later later crash later")
    await fleet.start()
    watch = asyncio.create_task(fleet.watch())
    await scene.wait_started("price", 9)
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)

    with pytest.raises(ChildPostponed, match="the database is locked"):
        async with asyncio.timeout(30):
            await watch


async def test_a_disk_that_is_full_for_a_moment_ends_nothing(scene: Scene) -> None:
    fleet = scene.supervise(price="serve", orders="crash serve")
    await fleet.start()
    # A file in the place of a directory is as good as no room: the log of the next start cannot be opened.
    log = scene.directory / "orders.log"
    log.rename(scene.directory / "away")
    log.mkdir()
    watch = asyncio.create_task(fleet.watch())
    await asyncio.to_thread(
        wait_until, lambda: any("Is a directory" in line for line in scene.said), what="a start that finds no room"
    )

    log.rmdir()
    await scene.wait_started("orders", 2)

    assert not watch.done()
    watch.cancel()


async def test_a_restarted_server_that_hangs_is_killed_and_started_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = scene.supervise(price="serve", orders="crash hang serve")
    await fleet.start()
    monkeypatch.setattr(child_module, "READY_TIMEOUT_S", 0.2)
    watch = asyncio.create_task(fleet.watch())

    await scene.wait_started("orders", 3)

    assert not watch.done()
    watch.cancel()


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


async def test_where_all_are_vital_redis_that_keeps_ending_is_given_up(
    redises: list[RedisStandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "BASE_S", 0.0)

    def again() -> RedisStandIn:
        redises.append(RedisStandIn())
        redises[-1].ended = True
        return redises[-1]

    redises[0].ended = True
    supervisor = Supervisor([], redis=redises[0], restart_redis=again, all_vital=True)  # type: ignore[arg-type]

    with pytest.raises(ChildFailed, match="Redis keeps ending"):
        async with asyncio.timeout(30):
            await supervisor.watch()
    await supervisor.stop()

    assert len(redises) == 6
    assert redises[-1].stopped


async def test_redis_that_does_not_start_is_tried_again_until_it_does(
    redises: list[RedisStandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "BASE_S", 0.0)
    troubles = [
        StartRefused("Redis ended at once"),
        OSError(errno.ENOSPC, "No space left on device"),
        *[StartRefused("Redis ended at once")] * 6,
    ]
    serves, said = asyncio.Event(), list[str]()
    loop = asyncio.get_running_loop()

    def again() -> RedisStandIn:
        if troubles:
            raise troubles.pop(0)
        redises.append(RedisStandIn())
        loop.call_soon_threadsafe(serves.set)
        return redises[-1]

    redises[0].ended = True
    supervisor = Supervisor([], redis=redises[0], restart_redis=again, on_event=said.append)  # type: ignore[arg-type]
    watch = asyncio.create_task(supervisor.watch())

    async with asyncio.timeout(30):
        await serves.wait()

    assert not watch.done()
    assert said[:3] == [
        "the embedded Redis ended: starting it again",
        "the embedded Redis does not start (Redis ended at once): starting it again",
        "the embedded Redis does not start ([Errno 28] No space left on device): starting it again",
    ]
    watch.cancel()
    await supervisor.stop()
