"""The typed fields of a log line, for services."""

from clients.logs import fields

__all__ = ["fields"]
