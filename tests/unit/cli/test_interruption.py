"""Signals while a command works: waited for, never raised."""

from __future__ import annotations

import asyncio
import signal

from services.cli.interruption import Interruption


async def test_a_signal_asks_for_the_end_and_the_next_one_asks_again() -> None:
    with Interruption() as interruption:
        interruption.attach()
        asked, again = asyncio.create_task(interruption.asked()), asyncio.create_task(interruption.asked_again())

        signal.raise_signal(signal.SIGINT)
        await asyncio.wait_for(asked, 5)
        assert not again.done()
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(again, 5)

    assert interruption.number == signal.SIGINT


def test_a_signal_before_the_loop_runs_and_after_it_ended_is_not_lost() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGTERM)

        async def wait() -> None:
            interruption.attach()
            await asyncio.wait_for(interruption.asked(), 5)

        asyncio.run(wait())
        signal.raise_signal(signal.SIGINT)

    assert interruption.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGINT) == before
