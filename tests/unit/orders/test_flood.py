"""How a flood of placements begins: what our code refuses, one by one, before the library refuses the rest."""

from __future__ import annotations

from services.orders.config import OrdersSettings
from services.orders.guards.line import PLACES
from services.runtime.refusal_pace import RefusalPace
from tests.support.virtual_time import VirtualLoop, run_virtual

CONNECTIONS = 4
STREAMS: int = OrdersSettings.model_fields["grpc_streams_per_connection"].default


def test_a_flood_begins_with_no_more_refusals_than_a_tenth_of_a_second_has_room_for() -> None:
    async def case(_loop: VirtualLoop) -> None:
        pace = RefusalPace()
        free = dict.fromkeys(range(CONNECTIONS), STREAMS)
        told = 0

        # Everything at once: no time passes.
        while any(free.values()):
            for connection in [one for one, places in free.items() if places]:
                told += 1
                free[connection] -= pace.turn(f"peer-{connection}") is not None

        # Each takes a fifth of a millisecond.
        assert told <= 650

    run_virtual(case)


def test_a_connection_whose_placements_fill_the_line_has_as_many_places_for_everything_else() -> None:
    assert STREAMS >= 2 * PLACES
