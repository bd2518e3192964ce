"""O01: killed at any step between intent, wire and journal, an order is executed at most once and never forgotten."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.trading import OrderType
from services.orders.domain import OrderState
from services.orders.engine.commands import AmendCommand
from services.runtime.errors import MidstreamError
from tests.support.exchange_rules import BOUNDED, ExchangeRules
from tests.support.memory_journal import MemoryJournal
from tests.support.order_audit import check_books
from tests.support.order_desk import TRADER, Trading, kill, order, trading, virtual_ports
from tests.support.scripted_orders import Fault
from tests.support.scripted_venue import ScriptedVenue
from tests.support.virtual_time import VirtualLoop, run_virtual

STEPS_MAX = 60
"""More steps of the event loop than any of the scenarios takes."""

FAULTS = {"none": Fault(), "lose": Fault(lose=True), "late": Fault(late_s=2.0), "vanish": Fault(vanish=True)}


async def killed_after(desk: Trading, steps: int, scenario: Any) -> bool:
    """Run a scenario for so many steps of the loop, then kill the process; return whether it had ended by itself."""
    running = asyncio.create_task(scenario)
    for _ in range(steps):
        if running.done():
            break
        await asyncio.sleep(0)
        if not running.done() and desk.desk.placer.in_flight:
            # Time passes only while everything waits: let it, so that requests and answers move on.
            await asyncio.sleep(0.0011)
    ended = running.done()
    await kill(desk.desk)
    running.cancel()
    await asyncio.wait((running,))
    return ended


@pytest.mark.quick
@pytest.mark.parametrize("rules", BOUNDED, ids=lambda rules: rules.exchange)
@pytest.mark.parametrize("fault", list(FAULTS))
@pytest.mark.parametrize("changes", [{}, {"type": OrderType.MARKET}, {"resend_if_not_placed": True, "valid_for_ms": 60_000}],
                         ids=["limit", "market", "resend"])  # fmt: skip
def test_a_placement_killed_at_any_step_is_executed_at_most_once(
    fault: str, changes: dict[str, Any], rules: ExchangeRules
) -> None:
    async def main(loop: VirtualLoop) -> None:
        seen: set[OrderState] = set()
        for steps in range(STEPS_MAX):
            ports = virtual_ports(loop, seed=steps)
            store, venue = MemoryJournal(), ScriptedVenue(rules, ports)
            command = order(**{"exchange": rules.exchange, **changes})
            async with trading(ports, venue, store=store) as desk:
                venue.script("place", FAULTS[fault])
                over = await killed_after(desk, steps, desk.desk.place(command, TRADER))
            async with trading(ports, venue, store=store) as desk:
                # The caller, who got no answer, asks again with the same key.
                placed = await desk.desk.place(command, TRADER)
                ended = await desk.settled(placed.order.order_id)
                await ports.sleep(120.0)
                seen.add(ended.state)
            assert sum(venue.placed.values()) <= 1, f"steps={steps}: executed twice"
            check_books(store, [venue])
            if over:
                break
        assert over, "the last kill has to come after the end: every step was met"
        assert fault == "vanish" or OrderState.FILLED in seen or OrderState.NEW in seen

    run_virtual(main)


@pytest.mark.parametrize("rules", BOUNDED, ids=lambda rules: rules.exchange)
@pytest.mark.parametrize("what", ["amend", "cancel"])
@pytest.mark.parametrize("fault", list(FAULTS))
def test_an_amend_or_cancel_killed_at_any_step_ends_as_the_exchange_has_it(
    what: str, fault: str, rules: ExchangeRules
) -> None:
    async def main(loop: VirtualLoop) -> None:
        for steps in range(0, STEPS_MAX, 2):
            ports = virtual_ports(loop, seed=steps)
            store, venue = MemoryJournal(), ScriptedVenue(rules, ports)
            async with trading(ports, venue, store=store) as desk:
                placed = await desk.place()
                venue.script(what, FAULTS[fault])
                if what == "amend":
                    change = AmendCommand(placed.order_id, Decimal("0.7"), None, 10_000)
                    scenario: Any = desk.desk.amend(change, TRADER)
                else:
                    scenario = desk.desk.cancel(placed.order_id, TRADER)
                over = await killed_after(desk, steps, _quietly(scenario))
            async with trading(ports, venue, store=store) as desk:
                await ports.sleep(60.0)
                await desk.settled(placed.order_id)
            check_books(store, [venue])
            if over:
                break

    run_virtual(main)


async def _quietly(scenario: Any) -> None:
    try:
        await scenario
    except MidstreamError:
        return
