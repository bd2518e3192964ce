"""Cancel-replace of Binance spot: one request that cancels an order and places another, and the four ways in which that can end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from clients.exchanges.base import clean
from clients.exchanges.binance import orders
from clients.exchanges.binance.client import BinanceClient
from clients.exchanges.binance.markets import NAME, SPOT
from clients.exchanges.binance.parsing import field_of, parse_order
from clients.exchanges.client import ExchangeRequest
from clients.exchanges.error_table import Signal, error_class
from clients.exchanges.errors import ExchangeError
from clients.exchanges.exact_json import MalformedAnswer, parse_json
from clients.exchanges.model import Instrument
from clients.exchanges.trading import OrderReport, Replaced, VenueOrder
from clients.resilience.outcome import Outcome

NEITHER: Final = "-2022"
"""The cancel failed, so nothing was placed."""
ONE_OF_TWO: Final = "-2021"
"""With STOP_ON_FAILURE: the order is cancelled, and the new one refused."""


async def replace_spot(
    client: BinanceClient, order: VenueOrder, identity: orders.Parameters, *, deadline_s: float
) -> Replaced:
    """Make the request; raise what says that nothing was done, or that this is not known."""
    request = orders.replace_spot(order, identity)
    try:
        response = await client.request(request, deadline_s=deadline_s)
    except ExchangeError as exc:
        return _partly(client, request, order.instrument, exc)

    def both(payload: Any) -> Replaced:
        halves = _halves(payload)
        old = _report(order.instrument, field_of(halves, "cancelResponse"), cancel=True)
        new = _report(order.instrument, field_of(halves, "newOrderResponse"))
        return Replaced(
            replace(old, raw=response.raw, sent=response.sent), replace(new, raw=response.raw, sent=response.sent)
        )

    return client.parsed(request, response, both)


def _partly(client: BinanceClient, request: ExchangeRequest, instrument: Instrument, failed: ExchangeError) -> Replaced:
    """Return what was done when only the cancel was; raise the error that says what became of the request otherwise."""
    if failed.code not in (NEITHER, ONE_OF_TWO):
        raise failed
    try:
        halves = _halves(parse_json(failed.raw))
        canceled = field_of(halves, "cancelResult") == "SUCCESS"
        if canceled != (failed.code == ONE_OF_TWO):
            raise failed
        if not canceled:
            raise _refusal(client, request, failed, field_of(halves, "cancelResponse")) from failed
        if field_of(halves, "newOrderResult") != "FAILURE":
            raise failed
        old = _report(instrument, field_of(halves, "cancelResponse"), cancel=True)
        refused = _refusal(client, request, failed, field_of(halves, "newOrderResponse"))
    except MalformedAnswer:
        raise failed from None
    if refused.outcome is Outcome.UNKNOWN:
        raise refused
    return Replaced(replace(old, raw=failed.raw, sent=failed.sent), None, refused)


def _refusal(
    client: BinanceClient, request: ExchangeRequest, failed: ExchangeError, half: Mapping[str, Any]
) -> ExchangeError:
    """Return the error that one half alone would have been."""
    code, text = str(field_of(half, "code")), str(half.get("msg", ""))
    status = failed.http_status or 400
    row = client.errors.row_of(Signal(SPOT, request.spec.operation, False, status, code, text))
    return error_class(row.outcome)(
        NAME,
        request.spec.operation,
        row.outcome,
        clean(text) or "no reason given",
        code=code,
        http_status=failed.http_status,
        request_id=failed.request_id,
        sent=failed.sent,
        raw=failed.raw,
    )


def _halves(payload: Any) -> Mapping[str, Any]:
    """Return the part that names both results; errors wrap it in `data`, and some gateways successes, too."""
    found = payload.get("data", payload) if isinstance(payload, Mapping) else None
    if not isinstance(found, Mapping):
        raise MalformedAnswer("the answer says nothing of either order")
    return found


def _report(instrument: Instrument, row: Any, *, cancel: bool = False) -> OrderReport:
    return parse_order(SPOT, instrument.symbol, row, cancel=cancel)
