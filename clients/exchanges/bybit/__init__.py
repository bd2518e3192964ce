"""Bybit: spot, linear and inverse."""
