"""The journal: what was intended, what happened, and everything that has to survive a kill."""

from services.orders.journal.codec import UnreadableRecord
from services.orders.journal.database import DatabaseJournal, prepare_orders_database
from services.orders.journal.store import (
    ClientIdTaken,
    FillFilter,
    FillRow,
    IdempotencyRow,
    JournalEntry,
    JournalStore,
    JournalUnavailable,
    Kept,
    OrderFilter,
    Superseded,
    SwitchRow,
    Traded,
)

__all__ = [
    "ClientIdTaken",
    "DatabaseJournal",
    "FillFilter",
    "FillRow",
    "IdempotencyRow",
    "JournalEntry",
    "JournalStore",
    "JournalUnavailable",
    "Kept",
    "OrderFilter",
    "Superseded",
    "SwitchRow",
    "Traded",
    "UnreadableRecord",
    "prepare_orders_database",
]
