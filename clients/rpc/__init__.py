"""Typed clients of Midstream's own servers."""

from clients.rpc.channel import ChannelSettings, Line, UnusableChannel
from clients.rpc.control import ControlClient
from clients.rpc.price import PriceClient

__all__ = ["ChannelSettings", "ControlClient", "Line", "PriceClient", "UnusableChannel"]
