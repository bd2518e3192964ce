"""Typed clients of Midstream's own servers."""

from clients.rpc.control import ControlClient
from clients.rpc.price import PriceClient

__all__ = ["ControlClient", "PriceClient"]
