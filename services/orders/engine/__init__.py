"""Carry out commands: place, route, amend, cancel, and tell whoever watches."""
