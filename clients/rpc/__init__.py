"""Typed clients of Midstream's own servers."""

from clients.rpc.channel import ChannelSettings, Line, OptionNames, UnusableChannel
from clients.rpc.control import ControlClient
from clients.rpc.health import HealthClient
from clients.rpc.price import PriceClient
from clients.rpc.replay import ReplayClient

__all__ = [
    "ChannelSettings",
    "ControlClient",
    "HealthClient",
    "Line",
    "OptionNames",
    "PriceClient",
    "ReplayClient",
    "UnusableChannel",
]
