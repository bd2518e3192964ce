"""The table of API keys. It stands in the order service's database, whose migrations make it; every server reads it."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, MetaData, Table, Text

keys: Final = Table(
    "api_keys",
    MetaData(naming_convention={"pk": "pk_%(table_name)s"}),
    Column("key_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("role", Text, nullable=False, comment="one or several, separated by commas"),
    Column(
        "secret_hash", Text, nullable=False, comment="keyed by the secret that `pepper` names; plain where that is null"
    ),
    Column("signed_only", Boolean, nullable=False, comment="requests must be signed, the bare key is refused"),
    Column("created_ns", BigInteger, nullable=False),
    Column("revoked_ns", BigInteger, nullable=True),
    Column("expires_ns", BigInteger, nullable=True, comment="null: does not end by itself"),
    Column("pepper", Text, nullable=True, comment="which secret outside of the database the row is kept under"),
    Column("signing", Text, nullable=True, comment="what the key signs with, sealed under that secret"),
)
