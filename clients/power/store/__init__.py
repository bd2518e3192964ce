"""The power desk's database: tables and migrations. Listener and price process write, reporting reads."""

from clients.power.store.tables import DATABASE_URL, MIGRATIONS, prepare_power_database, wait_for_power_database

__all__ = ["DATABASE_URL", "MIGRATIONS", "prepare_power_database", "wait_for_power_database"]
