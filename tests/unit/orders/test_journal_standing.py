"""A journal that takes an entry and does not answer is trouble before it fails."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from services.orders.journal.ledger import OrderLedger
from services.runtime.stalls import STALLED_S


class Store:
    """Answers when it is told to."""

    trouble = ""

    def __init__(self) -> None:
        self.answers = asyncio.Event()

    async def append(self, entry: object) -> int:
        await self.answers.wait()
        return 1


class Ports:
    now_ns = 0

    def monotonic_ns(self) -> int:
        return self.now_ns


async def test_it_is_told_while_it_stands_still_and_no_longer() -> None:
    store, ports = Store(), Ports()
    ledger = OrderLedger(cast("Any", store), cast("Any", ports))
    writing = asyncio.create_task(ledger._append(cast("Any", None), must=False))
    await asyncio.sleep(0)
    assert ledger.trouble == ""

    ports.now_ns += round((STALLED_S + 1) * 1e9)
    assert ledger.trouble == "the journal has not answered for 4 s: a disk or a database stands still"

    store.answers.set()
    await writing
    assert ledger.trouble == ""
