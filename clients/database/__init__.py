"""One way to a SQL database: SQLite by default, Postgres by URL, migrated by whoever starts first."""

from clients.database.engine import named_url, open_database, placed_url, shown_url, usable_url, writing
from clients.database.migrate import migrate
from clients.database.outages import (
    DatabaseRefused,
    DatabaseUnavailable,
    is_unavailable,
    opening,
    outage_in_words,
    outages_as,
)
from clients.database.setting import DatabaseUrl
from clients.database.sqlite_thread import SqliteThread

__all__ = [
    "DatabaseRefused",
    "DatabaseUnavailable",
    "DatabaseUrl",
    "SqliteThread",
    "is_unavailable",
    "migrate",
    "named_url",
    "open_database",
    "opening",
    "outage_in_words",
    "outages_as",
    "placed_url",
    "shown_url",
    "usable_url",
    "writing",
]
