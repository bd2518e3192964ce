"""The power desk's database: tables, migrations, and who writes what."""

from clients.power.store.tables import MIGRATIONS, prepare_power_database

__all__ = ["MIGRATIONS", "prepare_power_database"]
