"""Requests about orders: what goes onto the wire for each operation and market."""

from __future__ import annotations

from decimal import Decimal

from clients.exchanges.binance.endpoints import ENDPOINTS
from clients.exchanges.binance.markets import MARKETS, NAME, Market
from clients.exchanges.binance.weights import costs
from clients.exchanges.client import ExchangeRequest
from clients.exchanges.exact_json import plain
from clients.exchanges.model import Instrument
from clients.exchanges.trading import OrderType, TimeInForce, VenueOrder
from clients.resilience.call import CallSpec, Priority

Parameters = tuple[tuple[str, str], ...]


def place(order: VenueOrder) -> ExchangeRequest:
    """Place a LIMIT or MARKET order. Post-only is a type of its own on spot and a time in force on futures."""
    market = MARKETS[order.instrument.market]
    parameters = _placed(order, market)
    weight = 0 if market.futures else 1
    return _request(market, "POST", market.path("order"), "place_order", parameters, weight=weight, order=True)


def replace_spot(order: VenueOrder, identity: Parameters) -> ExchangeRequest:
    """Cancel a spot order of which nothing is executed, and place another one if that succeeded."""
    market = MARKETS[order.instrument.market]
    names = {"orderId": "cancelOrderId", "origClientOrderId": "cancelOrigClientOrderId"}
    parameters = (
        *_placed(order, market),
        ("cancelReplaceMode", "STOP_ON_FAILURE"),
        # A part that is executed on the way would otherwise be bought or sold twice.
        ("cancelRestrictions", "ONLY_NEW"),
        *((names[name], value) for name, value in identity),
    )
    path = market.path("order/cancelReplace")
    return _request(market, "POST", path, "amend_order", parameters, weight=1, order=True)


def _placed(order: VenueOrder, market: Market) -> Parameters:
    parameters = [("symbol", order.instrument.exchange_symbol), ("side", order.side.value)]
    # Asked for explicitly: spot's default depends on the type, the futures' says nothing about a fill.
    parameters.append(("newOrderRespType", "RESULT" if market.futures else "FULL"))
    parameters.append(("newClientOrderId", order.client_order_id))
    if order.type is OrderType.MARKET:
        parameters += [("type", "MARKET"), ("quantity", _quantity(order.instrument, order.quantity))]
    else:
        assert order.price is not None
        time_in_force = order.time_in_force or TimeInForce.GTC
        maker = order.post_only and not market.futures
        parameters += [
            ("type", "LIMIT_MAKER" if maker else "LIMIT"),
            ("quantity", _quantity(order.instrument, order.quantity)),
            ("price", plain(order.price)),
        ]
        if not maker:
            parameters.append(("timeInForce", "GTX" if order.post_only else time_in_force.value))
    if order.reduce_only and market.futures:
        parameters.append(("reduceOnly", "true"))
    return tuple(parameters)


def amend_futures(
    instrument: Instrument, identity: Parameters, *, side: str, quantity: Decimal, price: Decimal
) -> ExchangeRequest:
    """Set total quantity and price of a resting LIMIT order; it loses its place in the queue."""
    market = MARKETS[instrument.market]
    parameters = (
        ("symbol", instrument.exchange_symbol),
        ("side", side),
        ("quantity", _quantity(instrument, quantity)),
        ("price", plain(price)),
        *identity,
    )
    weight = 1 if market.name == "coinm" else 0
    return _request(market, "PUT", market.amend_path, "amend_order", parameters, weight=weight, order=True)


def decrease_spot(
    instrument: Instrument, identity: Parameters, *, client_order_id: str, quantity: Decimal
) -> ExchangeRequest:
    """Reduce the quantity of a resting spot order. Sending its own id keeps that; otherwise it would get a random one."""
    market = MARKETS[instrument.market]
    parameters = (
        ("symbol", instrument.exchange_symbol),
        *identity,
        ("newClientOrderId", client_order_id),
        ("newQty", _quantity(instrument, quantity)),
    )
    return _request(market, "PUT", market.amend_path, "amend_order", parameters, weight=4)


def cancel(instrument: Instrument, identity: Parameters) -> ExchangeRequest:
    """Cancel one order."""
    market = MARKETS[instrument.market]
    parameters = (("symbol", instrument.exchange_symbol), *identity)
    return _request(market, "DELETE", market.path("order"), "cancel_order", parameters, weight=1, recovery=True)


def cancel_all(instrument: Instrument) -> ExchangeRequest:
    """Cancel every open order of one symbol."""
    market = MARKETS[instrument.market]
    parameters = (("symbol", instrument.exchange_symbol),)
    return _request(market, "DELETE", market.cancel_all_path, "cancel_all", parameters, weight=1, recovery=True)


def dead_man(instrument: Instrument, countdown_ms: int) -> ExchangeRequest:
    """Arm the exchange's timer that cancels a symbol's orders; 0 disarms it. The last call counts, so repeating it is harmless."""
    market = MARKETS[instrument.market]
    parameters = (("symbol", instrument.exchange_symbol), ("countdownTime", str(countdown_ms)))
    return _request(
        market,
        "POST",
        market.path("countdownCancelAll"),
        "arm_dead_man",
        parameters,
        weight=10,
        recovery=True,
    )


def query(instrument: Instrument, identity: Parameters) -> ExchangeRequest:
    """Ask for one order."""
    market = MARKETS[instrument.market]
    parameters = (("symbol", instrument.exchange_symbol), *identity)
    return _request(
        market,
        "GET",
        market.path("order"),
        "query_order",
        parameters,
        weight=1 if market.futures else 4,
        recovery=True,
    )


def open_orders(market: Market, instrument: Instrument | None) -> ExchangeRequest:
    """Ask for all open orders of one symbol, or of the whole market."""
    parameters = () if instrument is None else (("symbol", instrument.exchange_symbol),)
    weight = (40 if instrument is None else 1) if market.futures else (80 if instrument is None else 6)
    return _request(market, "GET", market.path("openOrders"), "open_orders", parameters, weight=weight)


def orders_page(instrument: Instrument, page: Parameters) -> ExchangeRequest:
    """Ask for one page of all orders of a symbol."""
    market = MARKETS[instrument.market]
    parameters = (("symbol", instrument.exchange_symbol), *page, ("limit", str(market.orders_page)))
    # COIN-M counted 20 until its integration and 5 since; the higher figure is safe with either.
    weight = 5 if market.name == "usdm" else 20
    return _request(market, "GET", market.path("allOrders"), "orders_between", parameters, weight=weight)


def trades_page(instrument: Instrument, page: Parameters) -> ExchangeRequest:
    """Ask for one page of our trades of a symbol."""
    market = MARKETS[instrument.market]
    parameters = (("symbol", instrument.exchange_symbol), *page, ("limit", str(market.trades_page)))
    weight = 5 if market.name == "usdm" else 20
    return _request(market, "GET", market.trades_path, "fills", parameters, weight=weight)


def positions(market: Market) -> ExchangeRequest:
    """Ask for all positions of a futures market."""
    return _request(market, "GET", market.positions_path, "positions", (), weight=5)


def identity(*, client_order_id: str, exchange_order_id: str, client_name: str = "origClientOrderId") -> Parameters:
    """Return the one parameter that names an order. Its exchange id is preferred: client ids may be used again once an order is done."""
    if exchange_order_id:
        return (("orderId", exchange_order_id),)
    if client_order_id:
        return ((client_name, client_order_id),)
    raise ValueError("an order needs `client_order_id` or `exchange_order_id`")


def _quantity(instrument: Instrument, quantity: Decimal) -> str:
    return plain(quantity * instrument.exchange_quantity_scale)


def _request(
    market: Market,
    method: str,
    path: str,
    operation: str,
    parameters: Parameters,
    *,
    weight: int,
    order: bool = False,
    recovery: bool = False,
) -> ExchangeRequest:
    return ExchangeRequest(
        market=market.name,
        method=method,
        path=path,
        spec=CallSpec(
            target=f"{NAME}:{market.name}",
            group=ENDPOINTS.group_of(operation),
            operation=operation,
            idempotent=method in ("GET", "DELETE"),
            costs=costs(market, weight, order=order),
            priority=Priority.RECOVERY if recovery else Priority.NORMAL,
        ),
        parameters=parameters,
        signed=True,
    )
