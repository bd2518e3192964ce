"""Typed clients of Midstream's own servers."""

from clients.rpc.control import ControlClient

__all__ = ["ControlClient"]
