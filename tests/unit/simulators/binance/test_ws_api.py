"""The websocket APIs of all markets: requests, sessions with an Ed25519 key, order entry."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from services.simulators.binance.exchange import DEMO_ED25519, DEMO_SEED
from services.simulators.binance.limits import LimitOptions
from services.simulators.binance.listings import COINM, PREFIXES, SPOT, USDM
from services.simulators.binance.ws_methods import METHODS, WS_API_PATHS
from services.simulators.venue.clearing import Account
from services.simulators.venue.ed25519 import sign
from tests.support.simulated_calls import BINANCE_DEMO, BinanceCalls, virtual_binance
from tests.support.simulated_venues import SimulatedSocket, connect
from tests.support.virtual_time import VirtualLoop, run_virtual

PATHS = {market: path for path, market in WS_API_PATHS.items()}
SYMBOLS = {SPOT: "BTCUSDT", USDM: "BTCUSDT", COINM: "BTCUSD_PERP"}
marketwise = pytest.mark.parametrize("market", [SPOT, USDM, COINM])


def signed(calls: BinanceCalls, account: Account = BINANCE_DEMO, **parameters: Any) -> dict[str, Any]:
    """Return parameters as the account's owner signs them."""
    asked = {**parameters, "apiKey": account.api_key, "timestamp": calls.venue.exchange_ns() // 1_000_000}
    payload = "&".join(f"{name}={asked[name]}" for name in sorted(asked)).encode()
    if account.public_key is None:
        return {**asked, "signature": hmac.new(account.secret.encode(), payload, hashlib.sha256).hexdigest()}
    return {**asked, "signature": base64.b64encode(sign(DEMO_SEED, payload)).decode()}


async def ask(socket: SimulatedSocket, method: str, parameters: Any = None) -> Any:
    await socket.send(json.dumps({"id": "x", "method": method, "params": parameters or {}}))
    while "id" not in (frame := json.loads(await socket.recv())):
        pass
    return frame


def order(market: str, **more: str) -> dict[str, str]:
    quantity = "5" if market == COINM else "0.01"
    usual = {"symbol": SYMBOLS[market], "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "60000"}
    return {**usual, "quantity": quantity, **more}


@marketwise
def test_every_method_is_a_route(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        assert [name for name, route in METHODS[market].items() if route not in calls.venue.routes] == []

    run_virtual(main)


@pytest.mark.quick
@marketwise
def test_orders_are_placed_queried_and_cancelled(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = connect(calls.venue, PATHS[market])
        placed = await ask(socket, "order.place", signed(calls, **order(market)))
        named = {"symbol": SYMBOLS[market], "orderId": placed["result"]["orderId"]}
        found = await ask(socket, "order.status", signed(calls, **named))
        over_rest = await calls.signed("GET", f"{PREFIXES[market]}/order", at_ms=None, **named)
        canceled = await ask(socket, "order.cancel", signed(calls, **named))
        again = await ask(socket, "order.cancel", signed(calls, **named))

        assert placed["status"] == 200
        assert found["result"] == json.loads(json.dumps(over_rest.payload, default=str))
        assert canceled["result"]["status"] == "CANCELED"
        assert (again["status"], again["error"]["code"]) == (400, -2011)
        assert placed["rateLimits"][0]["limit"] == (6000 if market == SPOT else 2400)

    run_virtual(main)


@pytest.mark.parametrize("market", [USDM, COINM])
def test_futures_orders_are_modified_and_accounts_told(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = connect(calls.venue, PATHS[market])
        placed = (await ask(socket, "order.place", signed(calls, **order(market))))["result"]
        changed = order(market, price="59000")
        terms = {name: changed[name] for name in ("symbol", "side", "quantity", "price")}
        modified = await ask(socket, "order.modify", signed(calls, orderId=placed["orderId"], **terms))
        balance = await ask(socket, "account.balance", signed(calls))
        status = await ask(socket, "account.status", signed(calls))
        position = await ask(socket, "account.position", signed(calls))
        key = await ask(socket, "userDataStream.start", {"apiKey": BINANCE_DEMO.api_key})
        none = await ask(socket, "userDataStream.start")

        assert modified["result"]["price"] == "59000"
        assert {"asset", "balance", "availableBalance"} <= set(balance["result"][0])
        assert {"assets", "positions"} <= set(status["result"])
        assert SYMBOLS[market] in {row["symbol"] for row in position["result"]}
        assert connect(
            calls.venue, f"/{'fstream/private' if market == USDM else 'dstream'}/ws/{key['result']['listenKey']}"
        )
        assert none["error"]["code"] == -1102

    run_virtual(main)


@marketwise
def test_who_has_logged_on_needs_to_sign_no_more_until_logged_out(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = connect(calls.venue, PATHS[market])
        now = {"timestamp": calls.venue.exchange_ns() // 1_000_000}
        before = await ask(socket, "order.place", {**order(market), **now})
        logon = await ask(socket, "session.logon", signed(calls, DEMO_ED25519))
        status = await ask(socket, "session.status")
        placed = await ask(socket, "order.place", {**order(market), **now})
        late = await ask(socket, "order.place", {**order(market), "timestamp": now["timestamp"] - 60_000})
        logout = await ask(socket, "session.logout")
        after = await ask(socket, "order.place", {**order(market), **now})

        assert (before["error"]["code"], after["error"]["code"]) == (-1102, -1102)
        assert logon["result"]["apiKey"] == DEMO_ED25519.api_key
        assert status["result"]["authorizedSince"] == logon["result"]["authorizedSince"]
        assert placed["status"] == 200
        assert late["error"]["code"] == -1021
        assert (logout["result"]["apiKey"], logout["result"]["authorizedSince"]) == (None, None)

    run_virtual(main)


def test_only_ed25519_keys_log_on_and_only_with_their_own_signature() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = connect(calls.venue, PATHS[SPOT])
        hashed = await ask(socket, "session.logon", signed(calls))
        forged = signed(calls, DEMO_ED25519)
        wrong = await ask(socket, "session.logon", {**forged, "timestamp": forged["timestamp"] + 1})
        garbage = await ask(socket, "session.logon", {**forged, "signature": "no base 64 !"})
        subscribed = await ask(socket, "userDataStream.subscribe")

        assert hashed["error"] == {"code": -4056, "msg": "HMAC_SHA256 API key is not supported."}
        assert (wrong["error"]["code"], garbage["error"]["code"]) == (-1022, -1022)
        assert subscribed["error"]["code"] == -2015

    run_virtual(main)


def test_events_come_to_who_logged_on_and_subscribed() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = connect(calls.venue, PATHS[SPOT])
        await ask(socket, "session.logon", signed(calls, DEMO_ED25519))
        subscribed = await ask(socket, "userDataStream.subscribe")
        await calls.limit(newClientOrderId="mine")
        event = json.loads(await socket.recv())
        await socket.recv()
        await ask(socket, "session.logout")
        await calls.limit(newClientOrderId="other")

        assert subscribed["result"] == {"subscriptionId": 0}
        assert (event["subscriptionId"], event["event"]["c"]) == (0, "mine")
        assert socket.is_idle

    run_virtual(main)


@pytest.mark.parametrize("number", [0, "0", None], ids=["number", "text", "all"])
def test_a_subscription_ends_once_it_is_named(number: Any) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = connect(calls.venue, PATHS[SPOT])
        await ask(socket, "userDataStream.subscribe.signature", signed(calls))
        ended = await ask(socket, "userDataStream.unsubscribe", {} if number is None else {"subscriptionId": number})
        again = await ask(socket, "userDataStream.unsubscribe", {"subscriptionId": "0"})
        odd = await ask(socket, "userDataStream.unsubscribe", {"subscriptionId": "x"})
        await calls.limit()

        assert (ended["status"], again["status"], odd["status"]) == (200, 400, 400)
        assert socket.is_idle

    run_virtual(main)


def test_an_ed25519_key_signs_over_rest_for_the_same_account() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        other = BinanceCalls(calls.venue, DEMO_ED25519)
        placed = await other.limit(newClientOrderId="mine")
        found = await calls.signed("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine")

        assert (placed.status, found.payload["orderId"]) == (200, placed.payload["orderId"])

    run_virtual(main)


@pytest.mark.parametrize(
    ("query", "asked", "shown"),
    [
        ("", None, True),
        ("returnRateLimits=false", None, False),
        ("returnRateLimits=false", True, True),
        ("", False, False),
    ],
)
def test_limits_are_shown_as_asked(query: str, asked: bool | None, shown: bool) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = connect(calls.venue, PATHS[SPOT], query)
        said = await ask(socket, "ping", {} if asked is None else {"returnRateLimits": asked})

        assert ("rateLimits" in said) is shown

    run_virtual(main)


@marketwise
def test_market_data_is_that_of_the_routes(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = connect(calls.venue, PATHS[market])
        asked: dict[str, Any] = {"symbol": SYMBOLS[market]}
        for method, more in (
            ("depth", {"limit": 5}),
            ("klines", {"interval": "1m", "limit": 3}),
            ("trades.aggregate", {}),
        ):
            if method in METHODS[market]:
                verb, path = METHODS[market][method]
                said = await ask(socket, method, {**asked, **more})
                assert said["result"] == json.loads(json.dumps((await calls.get(path, **asked, **more)).payload)), verb
            else:
                assert (await ask(socket, method, asked))["error"]["code"] == -1020

    run_virtual(main)


@marketwise
def test_weight_is_drawn_from_the_pool_of_rest(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = connect(calls.venue, PATHS[market])
        before = int((await calls.get(f"{PREFIXES[market]}/ping")).headers["x-mbx-used-weight-1m"])
        said = await ask(socket, "order.status", signed(calls, symbol=SYMBOLS[market], orderId=1))
        after = int((await calls.get(f"{PREFIXES[market]}/ping")).headers["x-mbx-used-weight-1m"])

        weight = 4 if market == SPOT else 1
        assert said["rateLimits"][0]["count"] == before + weight
        assert after == before + weight + 1

    run_virtual(main)


def test_who_asks_too_much_is_told_so_over_the_websocket_api_too() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, limits=LimitOptions(spot_weight=10, ban_tolerance=2))
        socket = connect(calls.venue, PATHS[SPOT])
        said = [await ask(socket, "exchangeInfo") for _ in range(4)]
        over_rest = await calls.get("/api/v3/ping")

        assert [(one["status"], one["error"]["code"]) for one in said] == [(429, -1003)] * 2 + [(418, -1003)] * 2
        assert over_rest.status == 418

    run_virtual(main)
