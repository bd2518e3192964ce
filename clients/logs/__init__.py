"""The typed fields of a log line."""

from clients.logs.fields import FIELDS, RESERVED, fields, fields_of

__all__ = ["FIELDS", "RESERVED", "fields", "fields_of"]
