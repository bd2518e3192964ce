"""Contracts of the simulated BitMEX end, by their time and by hand: what stood is settled, what is listed then is listed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from tests.support.simulated_calls import admin, virtual_bitmex
from tests.support.virtual_time import VirtualLoop, run_virtual


def test_a_dated_contract_is_settled_and_the_next_one_is_listed() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        dated = min((one for one in calls.venue.listings.values() if one.expiry_ns), key=lambda one: one.expiry_ns or 0)
        assert dated.expiry_ns is not None
        before = set(calls.venue.listings)
        asked = {"symbol": dated.symbol, "side": "Buy", "orderQty": int(dated.lot) * 2}
        bought = (await calls.signed("POST", "/api/v1/order", asked)).payload
        rest = {**asked, "ordType": "Limit", "price": 60000, "clOrdID": "rests"}
        await calls.signed("POST", "/api/v1/order", rest)

        end = datetime.fromtimestamp(dated.expiry_ns // 10**9 + 1, tz=UTC).isoformat()
        admin(calls.venue, "PUT", "/sim/clock", {"to": end})
        rows = (await calls.signed("GET", "/api/v1/order", symbol=dated.symbol)).payload
        (position,) = (await calls.signed("GET", "/api/v1/position", symbol=dated.symbol)).payload
        state = (await calls.get("/api/v1/instrument", symbol=dated.symbol)).payload[0]["state"]
        refused = await calls.signed("POST", "/api/v1/order", {**rest, "clOrdID": "late"})

        assert bought["ordStatus"] == "Filled"
        resting, closing = rows[1:]
        assert (resting["ordStatus"], resting["text"].partition("\n")[0]) == (
            "Canceled",
            "Canceled: Instrument settled",
        )
        assert (closing["side"], closing["cumQty"], closing["text"]) == (
            "Sell",
            Decimal(asked["orderQty"]),
            "Settlement",
        )
        assert position["currentQty"] == 0
        assert (state, refused.status) == ("Settled", 400)
        assert len(set(calls.venue.listings) - before) == len(before - set(calls.venue.listings)) > 0

    run_virtual(main)


def test_what_is_delisted_falls_silent_and_takes_no_orders() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        admin(calls.venue, "POST", "/sim/listings/delist", {"symbol": "XBTUSD"})

        order = {"symbol": "XBTUSD", "side": "Buy", "orderQty": 100}
        active = (await calls.get("/api/v1/instrument/active")).payload

        assert (await calls.signed("POST", "/api/v1/order", order)).status == 400
        assert "XBTUSD" not in {row["symbol"] for row in active}
        assert (await calls.get("/api/v1/instrument", symbol="XBTUSD")).payload[0]["state"] == "Settled"

    run_virtual(main)
