"""Which exchanges there are and how they are made."""

from __future__ import annotations

import pytest

from clients.exchanges.bases import Environment
from clients.exchanges.binance import BinanceClient, BinanceTrading
from clients.exchanges.client import ExchangeClient
from clients.exchanges.names import EXCHANGES
from clients.exchanges.policies import EXCHANGE_POLICIES
from clients.exchanges.registry import create_client, create_trading, limit_scopes, settings_class
from tests.support.binance_wire import BinanceWire
from tests.support.exchange_wire import WireTransport, reply, wire_ports


@pytest.mark.quick
@pytest.mark.parametrize("name", EXCHANGES)
async def test_every_exchange_is_made_by_its_name(name: str) -> None:
    transport = WireTransport(lambda sent: reply({}))
    bases = settings_class(name).places.bases(Environment.SIMULATOR)

    async with create_client(name, wire_ports(transport), bases) as client:
        trading = create_trading(name, client)

    assert isinstance(client, ExchangeClient)
    assert (client.name, trading.exchange) == (name, name)
    assert set(client.markets) == set(bases)
    assert transport.sent == []


@pytest.mark.parametrize("name", EXCHANGES)
def test_every_exchange_has_settings_and_limits(name: str) -> None:
    assert settings_class(name).places.exchange == name
    assert all(rules.limits for rules in limit_scopes(name))


def test_an_unknown_exchange_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="binance, bitmex, bybit"):
        limit_scopes("mtgox")


def test_order_entry_needs_a_client_of_its_own_exchange() -> None:
    wire = BinanceWire()

    assert isinstance(create_trading("binance", wire.client), BinanceTrading)
    for name, needed in (("bitmex", "BitMEXClient"), ("bybit", "BybitClient")):
        with pytest.raises(TypeError, match=needed):
            create_trading(name, wire.client)


@pytest.mark.parametrize("window_ms", [0, -1, 60_001])
def test_a_receive_window_that_binance_refuses_is_refused(window_ms: int) -> None:
    wire = BinanceWire()

    with pytest.raises(ValueError, match="recv_window_ms"):
        BinanceClient(wire.client.ports, {}, recv_window_ms=window_ms)


@pytest.mark.parametrize("operation", ["place_order", "amend_order", "arm_dead_man"])
def test_what_changes_the_market_goes_out_once(operation: str) -> None:
    assert EXCHANGE_POLICIES.retry_of[operation].attempts_max == 1
