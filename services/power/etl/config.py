"""Settings of the reference-price process."""

from __future__ import annotations

from pydantic import Field, field_validator

from clients.database import DatabaseUrl
from clients.power.reference import check_base_url
from clients.power.store import DATABASE_URL
from services.runtime.settings import OptionalPort, ServerSettings


class EtlSettings(ServerSettings):
    """Database, provider and gate of the reference-price process; read once at start."""

    port: int = Field(default=50058, ge=0, le=65535, validation_alias="MIDSTREAM_POWER_ETL_PORT")
    """Health only: the process has no calls of its own."""
    metrics_port: int = Field(default=9158, ge=0, le=65535, validation_alias="MIDSTREAM_POWER_ETL_METRICS_PORT")
    admin_port: OptionalPort = Field(default=None, validation_alias="MIDSTREAM_POWER_ETL_ADMIN_PORT")

    database_url: DatabaseUrl = Field(default=DATABASE_URL, repr=False, validation_alias="MIDSTREAM_DATABASE_URL")
    """Where reference prices are written: sqlite:///PATH or postgresql://...; may hold a password."""

    reference_url: str = Field(default="http://127.0.0.1:5060", repr=False, validation_alias="MIDSTREAM_REFERENCE_URL")
    """The provider, without /reference-price."""

    gate_lead_s: float = Field(default=0.0, ge=0, le=86_400, validation_alias="MIDSTREAM_POWER_GATE_LEAD_S")
    """How long before delivery an hour closes."""

    @field_validator("reference_url")
    @classmethod
    def _check_reference_url(cls, value: str) -> str:
        return check_base_url(value)
