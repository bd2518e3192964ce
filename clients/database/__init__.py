"""One way to a SQL database: SQLite by default, Postgres by URL, migrated by whoever starts first."""

from clients.database.engine import is_unavailable, open_database, shown_url, usable_url, writing
from clients.database.migrate import migrate

__all__ = ["is_unavailable", "migrate", "open_database", "shown_url", "usable_url", "writing"]
