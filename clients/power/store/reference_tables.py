"""Tables that only the reference-price process writes, beside the prices themselves."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Table, Text

from clients.power.store.schema import METADATA

__all__ = ["SOURCE", "quota_blocks", "quota_slots", "reference_lease", "reference_standing"]

SOURCE: Final = "reference-price"
"""The one provider there is; names its rows in the tables that could hold several."""

quota_slots: Final = Table(
    "quota_slots",
    METADATA,
    Column("quota", Text, primary_key=True, comment="which quota; one row per request that may still count"),
    Column("slot_id", Text, primary_key=True),
    Column("reserved_ns", BigInteger, nullable=False),
    Column("counted_by_ns", BigInteger, nullable=False),
)

quota_blocks: Final = Table(
    "quota_blocks",
    METADATA,
    Column("quota", Text, primary_key=True),
    Column("blocked_until_ns", BigInteger, nullable=False, comment="the provider said so"),
)

reference_standing: Final = Table(
    "reference_standing",
    METADATA,
    Column("source", Text, primary_key=True),
    Column("next_due_ns", BigInteger, nullable=False, comment="latest moment for the next prices; 0 while unknown"),
    Column("last_answer_ns", BigInteger, nullable=False, comment="0: never"),
    Column("trouble", Text, nullable=False, comment="why prices do not come, for people; empty when they do"),
    Column("schedule", Text, nullable=False, comment="JSON: what was learned about publication times"),
    Column("updated_time_ns", BigInteger, nullable=False),
)

reference_lease: Final = Table(
    "reference_lease",
    METADATA,
    Column("source", Text, primary_key=True),
    Column("holder", Text, nullable=False, comment="random name of the process that polls"),
    Column("held_until_ns", BigInteger, nullable=False),
)
