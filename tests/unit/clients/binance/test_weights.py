"""What calls cost and what the headers of their answers say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from clients.exchanges.base import Answer
from clients.exchanges.binance.markets import MARKETS
from clients.exchanges.binance.weights import BAN_S_MIN, RULES, THROTTLE_S_MIN, costs, limit_report, sizes
from clients.exchanges.client import ExchangeRequest
from clients.resilience.call import CallSpec, LimitReport
from tests.support.binance_wire import INFO, BinanceWire
from tests.support.contracts import documents, made
from tests.support.exchange_wire import WirePermit, reply

KNOWN = {rule.name for rules in RULES for rule in rules.limits}


def _report(
    market: str,
    headers: Mapping[str, str],
    *,
    path: str = "order",
    status: int = 200,
    payload: Any = None,
    hint_s: float | None = None,
) -> LimitReport:
    chosen = MARKETS[market]
    request = ExchangeRequest(market, "GET", chosen.path(path), CallSpec("t", "g", "o"))
    response = reply({}, status=status, headers=headers)
    return limit_report(chosen, Answer(request, response, payload), retry_after_s=hint_s)


@pytest.mark.quick
def test_a_call_costs_its_weight_a_raw_request_and_an_order_where_it_is_one() -> None:
    spot = {cost.limit: cost.units for cost in costs(MARKETS["spot"], 4, order=True)}
    futures = {cost.limit: cost.units for cost in costs(MARKETS["usdm"], 0, order=True)}

    assert spot == {
        "binance:spot:weight-1m": 4,
        "binance:spot:raw-5m": 1,
        "binance:spot:orders-10s": 1,
        "binance:spot:orders-1d": 1,
    }
    # Nothing, but named: a call without weight has to respect a ban, too.
    assert futures == {
        "binance:futures:weight-1m": 0,
        "binance:futures:orders-10s": 1,
        "binance:futures:orders-1m": 1,
    }


@pytest.mark.parametrize("market", list(MARKETS))
@pytest.mark.parametrize("order", [False, True])
def test_every_cost_is_of_one_scope_and_has_a_rule(market: str, order: bool) -> None:
    names = {cost.limit for cost in costs(MARKETS[market], 1, order=order)}

    assert names <= KNOWN
    assert all(name.startswith(MARKETS[market].scope + ":") for name in names)


def test_usdm_and_coinm_draw_on_one_pool() -> None:
    assert costs(MARKETS["usdm"], 5) == costs(MARKETS["coinm"], 5)


def test_used_weight_and_order_counts_are_read_whatever_their_case() -> None:
    headers = {
        "x-mbx-used-weight": "99",
        "x-mbx-used-weight-1m": "12",
        "X-MBX-ORDER-COUNT-10S": "3",
        "x-mbx-order-count-1d": "40",
    }

    assert _report("spot", headers).used == {
        "binance:spot:weight-1m": 12,
        "binance:spot:orders-10s": 3,
        "binance:spot:orders-1d": 40,
    }


@pytest.mark.parametrize("value", ["", "-1", "1.5", "x", "\u0661", "9" * 10])
def test_a_header_that_is_no_count_is_ignored(value: str) -> None:
    assert _report("spot", {"x-mbx-used-weight-1m": value}).used == {}


@pytest.mark.parametrize("market", ["usdm", "coinm"])
@pytest.mark.parametrize("path", ["ticker/bookTicker", "ticker/price"])
def test_the_weights_of_the_futures_tickers_are_not_believed(market: str, path: str) -> None:
    """Sheet 3: documented as inaccurate on those two routes."""
    headers = {"x-mbx-used-weight-1m": "2300", "x-mbx-order-count-10s": "3"}

    assert _report(market, headers, path=path).used == {"binance:futures:orders-10s": 3}
    assert _report("spot", headers, path=path).used["binance:spot:weight-1m"] == 2300


@pytest.mark.parametrize(
    ("status", "payload", "hint_s", "blocks"),
    [
        (200, {}, None, {}),
        (400, {"code": -1121}, None, {}),
        (429, {"code": -1003}, 17.0, {"binance:spot": 17.0}),
        (429, None, None, {"binance:spot": THROTTLE_S_MIN}),
        (418, {"code": -1003}, 300.0, {"binance:spot": 300.0}),
        (418, None, None, {"binance:spot": BAN_S_MIN}),
        (400, {"code": -1003}, 44.0, {"binance:spot": 44.0}),
        # Too many orders stop orders, not the cancels and queries beside them.
        (429, {"code": -1015}, None, {"binance:spot:orders-10s": THROTTLE_S_MIN}),
        (429, {"code": -1015}, 9.0, {"binance:spot:orders-10s": 9.0}),
    ],
)
def test_throttles_and_bans_block_what_they_concern(
    status: int, payload: Any, hint_s: float | None, blocks: dict[str, float]
) -> None:
    assert _report("spot", {}, status=status, payload=payload, hint_s=hint_s).blocks == blocks


def test_a_ban_on_a_futures_host_blocks_both_futures_markets() -> None:
    assert _report("coinm", {}, status=418, hint_s=200.0).blocks == {"binance:futures": 200.0}


INTERVALS = {"MINUTE": "m", "SECOND": "s", "DAY": "d"}
KINDS = {"REQUEST_WEIGHT": "weight", "ORDERS": "orders", "RAW_REQUESTS": "raw"}


@pytest.mark.parametrize("market", list(MARKETS))
def test_the_sizes_that_a_list_of_instruments_states_are_read(market: str) -> None:
    for document in documents(INFO[MARKETS[market].path("exchangeInfo")]):
        limits = document.exact["rateLimits"]
        stated = {
            f"{MARKETS[market].scope}:{KINDS[row['rateLimitType']]}-{row['intervalNum']}{INTERVALS[row['interval']]}": row[
                "limit"
            ]
            for row in limits
        }

        assert sizes(MARKETS[market], limits) == {name: size for name, size in stated.items() if name in KNOWN}, (
            document
        )
        assert not document.made or set(stated) <= KNOWN


def test_the_sizes_of_the_made_lists_are_those() -> None:
    found = {
        name: sizes(market, made(INFO[market.path("exchangeInfo")]).exact["rateLimits"])
        for name, market in MARKETS.items()
    }

    assert found["spot"] == {
        "binance:spot:weight-1m": 6100,
        "binance:spot:orders-10s": 110,
        "binance:spot:orders-1d": 210_000,
        "binance:spot:raw-5m": 62_000,
    }
    assert found["usdm"] == {
        "binance:futures:weight-1m": 2500,
        "binance:futures:orders-1m": 1300,
        "binance:futures:orders-10s": 320,
    }
    assert found["coinm"] == {"binance:futures:weight-1m": 2500, "binance:futures:orders-1m": 1300}


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "x",
        {},
        {"rateLimitType": "NEW_KIND", "interval": "MINUTE", "intervalNum": 1, "limit": 5},
        {"rateLimitType": "ORDERS", "interval": "HOUR", "intervalNum": 1, "limit": 5},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 0},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": "many"},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "limit": 5},
    ],
)
def test_a_size_that_is_unknown_or_unusable_is_left_out(entry: Any) -> None:
    assert sizes(MARKETS["spot"], [entry]) == {}
    assert sizes(MARKETS["spot"], entry) == {}


async def test_loading_instruments_tells_the_limiter_the_sizes() -> None:
    permit = WirePermit()
    wire = BinanceWire()
    wire.executor.permit = permit

    await wire.client.get_instruments()

    stated = {name for report in permit.reports for name in report.sizes}
    assert "binance:spot:weight-1m" in stated
    assert "binance:futures:weight-1m" in stated
