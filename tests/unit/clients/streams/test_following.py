"""Several pumps into one sink."""

from __future__ import annotations

import asyncio

import pytest

from clients.exchanges.quote_relay import QuoteRelay, QuoteSink
from clients.exchanges.streaming import follow
from tests.support.virtual_time import VirtualLoop, run_virtual


class Waiting:
    """A pump that runs until it is ended."""

    ended = False

    async def __call__(self, sink: QuoteSink) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True


async def broken(sink: QuoteSink) -> None:
    await asyncio.sleep(1)
    raise RuntimeError("a bug in one pump")


def test_one_pump_that_fails_ends_the_others_and_is_raised() -> None:
    waiting = Waiting()

    async def main(loop: VirtualLoop) -> None:
        with pytest.raises(RuntimeError, match="a bug in one pump"):
            await follow([waiting, broken], QuoteRelay())

    run_virtual(main)
    assert waiting.ended


def test_following_that_is_cancelled_leaves_no_pump_behind() -> None:
    waiting = Waiting()

    async def main(loop: VirtualLoop) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await follow([waiting], QuoteRelay())

    run_virtual(main)
    assert waiting.ended
