"""The order in which a server ends."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from services.runtime import server as scaffold
from services.runtime.server import run_until_end


class Recorder:
    """Stands in for everything that takes part in the end, and writes down when."""

    names = ("midstream.test.v1.TestService",)

    def __init__(self, code: int | None = None, *, code_when_stopped: int | None = None) -> None:
        self.happened: list[str] = []
        self._code = code
        self._code_when_stopped = code_when_stopped
        self._stopped = asyncio.Event()
        self._calls_ended = asyncio.Event()

    async def run(self) -> int:
        if self._code is None:
            await self._stopped.wait()
            if self._code_when_stopped is None:
                await asyncio.Event().wait()
        return self._code if self._code is not None else cast("int", self._code_when_stopped)

    async def drain(self) -> None:
        self.happened.append("not serving")

    async def refuse_new_calls(self, *, quiet_s: float, at_most_s: float) -> None:
        self.happened.append("no new calls")

    def end_streams(self) -> None:
        self.happened.append("streams ended")

    def end_calls(self) -> None:
        self.happened.append("calls ended")
        self._calls_ended.set()

    async def stop(self, grace: float | None = None) -> None:
        if grace is None:
            self.happened.append("service stopped")
            self._stopped.set()
        else:
            self.happened.append("stopping")
            await self._calls_ended.wait()


async def _end(recorder: Recorder, *, asked: bool) -> int:
    asked_to_stop = asyncio.Event()
    if asked:
        asked_to_stop.set()
    everything = cast("Any", recorder)
    return await run_until_end(everything, asked_to_stop, everything, everything, everything)


@pytest.fixture(autouse=True)
def _short_graces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaffold, "NOTICE_S", 0.0)
    monkeypatch.setattr(scaffold, "UNARY_GRACE_S", 0.01)


@pytest.mark.parametrize("asked", [True, False], ids=["signal", "by-itself"])
async def test_health_goes_first_then_streams_then_calls_then_the_service(asked: bool) -> None:
    recorder = Recorder(None if asked else 0)

    await asyncio.wait_for(_end(recorder, asked=asked), 5)

    assert recorder.happened == [
        "not serving", "no new calls", "stopping", "streams ended", "calls ended", "service stopped",
    ]  # fmt: skip


@pytest.mark.parametrize("code", [0, 1, 2])
async def test_code_of_a_service_that_ends_by_itself_is_the_exit_code(code: int) -> None:
    assert await _end(Recorder(code), asked=False) == code


async def test_signal_means_0_unless_the_engine_could_not_drain() -> None:
    assert await _end(Recorder(), asked=True) == 0
    assert await _end(Recorder(code_when_stopped=0), asked=True) == 0
    assert await _end(Recorder(code_when_stopped=1), asked=True) == 1
