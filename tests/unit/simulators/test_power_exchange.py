"""The exchange's script and list, without a port."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from itertools import islice, pairwise, takewhile

import pytest

from clients.power.calendar import tradable_hours
from clients.power.deals import Deal, parse_message
from services.simulators.power_exchange import DealList, PowerExchange, PowerExchangeScript, ScriptOptions, deal_message
from services.simulators.power_exchange.faults import ExchangeFaults, parse_faults
from tests.support.virtual_time import VirtualLoop, run_virtual

DAY_NS = 86_400 * 10**9
START_NS = int(datetime(2023, 2, 21, 9, 31, tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.quick
def test_the_same_seed_and_start_give_the_same_deals() -> None:
    first, second = (list(islice(PowerExchangeScript(START_NS), 100)) for _ in range(2))

    assert first == second


def test_another_start_gives_the_same_prices_under_other_ids() -> None:
    first = list(islice(PowerExchangeScript(START_NS), 50))
    second = list(islice(PowerExchangeScript(START_NS + 1), 50))

    assert [deal.price_e2 for deal in first] == [deal.price_e2 for deal in second]
    assert {deal.id for deal in first}.isdisjoint(deal.id for deal in second)


def test_a_day_of_deals_is_what_the_issue_asks_for() -> None:
    deals = list(takewhile(lambda deal: deal.time_ns < START_NS + DAY_NS, PowerExchangeScript(START_NS)))

    gaps_s = [(later.time_ns - earlier.time_ns) / 1e9 for earlier, later in pairwise(deals)]
    assert len({deal.id for deal in deals}) == len(deals)
    assert 86_400 / 10 < len(deals) < 86_400 / 5
    assert all(5 <= gap_s <= 10.000001 for gap_s in gaps_s)
    assert {deal.trader_id for deal in deals} == {f"flex_trader_{number}" for number in range(1, 6)}
    assert {deal.direction for deal in deals} == {"buy", "sell"}
    assert all(len(deal.id) == 32 and int(deal.id, 16) >= 0 for deal in deals)


@pytest.mark.parametrize(
    "day", [datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC)], ids=["spring", "autumn"]
)
@pytest.mark.parametrize("lead_s", [0, 1800])
def test_only_hours_that_are_still_tradable_are_dealt_in(day: datetime, lead_s: int) -> None:
    start_ns = int(day.timestamp()) * 10**9
    options = ScriptOptions(gap_min_s=60, gap_max_s=120, gate_lead_s=lead_s)

    script = PowerExchangeScript(start_ns, options)

    deals = list(takewhile(lambda deal: deal.time_ns < start_ns + 2 * DAY_NS, script))

    assert len(deals) > 1000
    for deal in deals:
        tradable = {(hour.day_text, hour.label) for hour in tradable_hours(deal.time_ns, lead_s * 10**9)}
        assert (deal.delivery.day_text, deal.delivery.label) in tradable


def test_every_message_is_a_deal_without_any_flag() -> None:
    script = PowerExchangeScript(START_NS)
    for deal in islice(script, 500):
        found = parse_message(deal_message(deal.fields()), deal.time_ns)

        assert isinstance(found, Deal), found
        assert (found.id, found.price_e4, found.flags) == (deal.id, deal.price_e2 * 100, "")


def test_a_script_with_an_end_ends() -> None:
    assert len(list(PowerExchangeScript(START_NS, ScriptOptions(deals_max=7)))) == 7


def test_a_gap_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be"):
        PowerExchangeScript(START_NS, ScriptOptions(gap_min_s=3, gap_max_s=2))


@pytest.mark.quick
def test_the_list_goes_on_behind_a_deal() -> None:
    deals = DealList()
    for name in "abc":
        deals.post(name, f"message {name}")

    assert deals.place_after("") == 0
    assert deals.place_after("b") == 2
    assert deals.place_after("x") is None
    assert deals.read(1, 10) == ["message b", "message c"]
    assert (deals.last_id, deals.ids()) == ("c", ["a", "b", "c"])


def test_the_list_forgets_the_oldest() -> None:
    deals = DealList(messages_max=3)
    for number in range(10):
        deals.post(str(number), f"message {number}")

    assert deals.ids() == ["7", "8", "9"]
    assert deals.place_after("6") is None
    assert deals.place_after("") == deals.first == 7
    assert deals.read(8, 1) == ["message 8"]


def test_whoever_waits_for_the_end_of_the_list_is_woken() -> None:
    async def main(loop: VirtualLoop) -> list[str]:
        deals = DealList()

        async def read() -> list[str]:
            await deals.wait_beyond(1)
            return list(deals.read(0, 5))

        readers = [asyncio.create_task(read()) for _ in range(3)]
        deals.post("a", "1")
        await asyncio.sleep(1)
        assert not any(reader.done() for reader in readers)
        deals.post("b", "2")
        (first, *others) = await asyncio.gather(*readers)
        assert all(other == first for other in others)
        return first

    assert run_virtual(main) == ["1", "2"]


def test_a_message_names_its_kind() -> None:
    deal = next(PowerExchangeScript(START_NS))

    assert list(json.loads(deal_message(deal.fields(), "trade_confirmation"))) == ["trade_confirmation"]


def test_fault_plans_are_read() -> None:
    assert parse_faults("drop_after=3, garbage_every=5") == ExchangeFaults(drop_after=3, garbage_every=5)
    for wrong in ("explode=1", "drop_after", "drop_after=x", "drop_after=-1", "drop_after=١"):
        with pytest.raises(ValueError, match="must be name=count"):
            parse_faults(wrong)


def test_a_share_of_deals_is_for_quarters_that_are_still_tradable() -> None:
    plain = list(islice(PowerExchangeScript(START_NS), 400))
    mixed = list(islice(PowerExchangeScript(START_NS, ScriptOptions(quarter_share=0.25)), 400))

    assert [deal.price_e2 for deal in plain] == [deal.price_e2 for deal in mixed]
    quarters = [deal for deal in mixed if deal.delivery.minute is not None]
    assert 60 < len(quarters) < 140
    for deal in quarters:
        found = parse_message(deal.message(), deal.time_ns)
        assert isinstance(found, Deal), found
        assert (found.delivery_hour, found.flags) == (deal.delivery.label, "")


def test_a_share_of_messages_corrects_or_cancels_what_was_said_before() -> None:
    script = PowerExchangeScript(START_NS, ScriptOptions(revision_share=0.2))
    newest: dict[str, Deal] = {}
    corrected = canceled = 0
    for deal in islice(script, 1_000):
        found = parse_message(deal.message(), deal.time_ns)

        assert isinstance(found, Deal), found
        before = newest.get(found.id)
        assert found.revision == (1 if before is None else before.revision + 1)
        assert before is None or not before.canceled
        assert found.key == deal.key
        assert found.canceled or not found.flags
        corrected += before is not None and not found.canceled
        canceled += found.canceled
        newest[found.id] = found

    assert corrected > 80
    assert canceled > 30


@pytest.mark.quick
async def test_the_list_goes_on_behind_a_revision() -> None:
    exchange = PowerExchange()
    script = PowerExchangeScript(START_NS, ScriptOptions(revision_share=0.5))
    messages = [next(script) for _ in range(20)]

    for deal in messages:
        exchange.publish(deal)

    assert exchange.deals.ids() == [deal.key for deal in messages]
    revised = next(place for place, deal in enumerate(messages) if deal.revision > 1)
    assert exchange.deals.place_after(messages[revised].id) is not None
    assert exchange.deals.place_after(messages[revised].key) == revised + 1


def test_deals_name_markets_where_there_are_some() -> None:
    def found(options: ScriptOptions) -> set[str]:
        deals = [
            parse_message(deal.message(), deal.time_ns) for deal in islice(PowerExchangeScript(START_NS, options), 50)
        ]
        return {deal.market for deal in deals if isinstance(deal, Deal)}

    assert found(ScriptOptions(markets=("DE", "AT"))) == {"DE", "AT"}
    assert found(ScriptOptions()) == {""}
