"""O01 for orders that are replaced: killed at any step, one order is open or the end says why there is none."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from services.orders.engine.commands import AmendCommand
from services.runtime.errors import MidstreamError
from tests.reliability.orders.test_replacements import REPLACING, amend, booked_of, open_of, placed
from tests.support.exchange_rules import ExchangeRules
from tests.support.memory_journal import MemoryJournal
from tests.support.order_audit import check_books
from tests.support.order_desk import TRADER, Trading, kill, trading, virtual_ports
from tests.support.scripted_orders import Fault
from tests.support.scripted_venue import ScriptedVenue
from tests.support.virtual_time import VirtualLoop, run_virtual

FAULTS = {
    "none": Fault(),
    "lose": Fault(lose=True),
    "late": Fault(late_s=2.0),
    "vanish": Fault(vanish=True),
}
STEPS_MAX = 90


@pytest.mark.cases(5)
@pytest.mark.parametrize("rules", REPLACING, ids=lambda rules: rules.exchange)
@pytest.mark.parametrize("executed", ["0", "0.1"], ids=["untouched", "partly-executed"])
@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_replacement_killed_at_any_step_leaves_one_open_or_an_end_that_says_so(
    fault: str, executed: str, rules: ExchangeRules
) -> None:
    async def main(loop: VirtualLoop) -> None:
        prices: set[Decimal | None] = set()
        for steps in range(STEPS_MAX):
            ports = virtual_ports(loop, seed=steps)
            store, venue = MemoryJournal(), ScriptedVenue(rules, ports)
            async with trading(ports, venue, store=store) as desk:
                order = await placed(desk)
                if Decimal(executed):
                    venue.fill(booked_of(venue, order), Decimal(executed))
                    await desk.until(order.order_id, lambda now: now.filled == Decimal(executed))
                for operation in ("amend", "cancel", "place"):
                    venue.script(operation, FAULTS[fault])
                running = asyncio.create_task(_quietly(desk, amend(order.order_id, "0.6", "98.5")))
                for _ in range(steps):
                    await asyncio.sleep(0)
                    # Time passes only while everything waits: let it, so that requests and answers move on.
                    await asyncio.sleep(0.0011)
                over = running.done()
                await kill(desk.desk)
                running.cancel()
                await asyncio.wait((running,))
            async with trading(ports, venue, store=store) as desk:
                ended = await desk.settled(order.order_id, 200.0)
                await ports.sleep(90.0)
                ended = await desk.settled(order.order_id)
            left = open_of(venue, order)
            prices.add(ended.price if left else None)
            assert len(left) == (0 if ended.state.terminal else 1), (
                f"steps={steps}: {ended.state}, and {len(left)} open"
            )
            assert not ended.state.terminal or "replaced" in ended.reason, f"steps={steps}: {ended.reason!r}"
            assert max(count for count in venue.placed.values()) == 1, f"steps={steps}"
            check_books(store, [venue])
            if over:
                break
        assert Decimal("98.5") in prices or fault == "vanish"
        assert fault != "none" or over, "the last kill has to come after the end: every step was met"

    run_virtual(main)


async def _quietly(desk: Trading, command: AmendCommand) -> None:
    try:
        await desk.desk.amend(command, TRADER)
    except MidstreamError:
        return
