"""Settings of the reporting server."""

from __future__ import annotations

from typing import Final

from pydantic import Field, field_validator

from clients.database import usable_url
from services.runtime.settings import CommaList, ServerSettings

DATABASE_URL: Final = "sqlite:///var/power.db"
"""The file that the listener and the reference-price process write unless told otherwise."""


class ReportingSettings(ServerSettings):
    """What the reporting server needs to know; read once at start."""

    port: int = Field(default=50056, ge=0, le=65535, validation_alias="MIDSTREAM_REPORTING_PORT")
    metrics_port: int = Field(default=9156, ge=0, le=65535, validation_alias="MIDSTREAM_REPORTING_METRICS_PORT")
    web_port: int = Field(default=8081, ge=0, le=65535, validation_alias="MIDSTREAM_REPORTING_WEB_PORT")
    """Where the dashboard listens."""

    database_url: str = Field(default=DATABASE_URL, repr=False, validation_alias="MIDSTREAM_DATABASE_URL")
    """Deals and reference prices: sqlite:///PATH or postgresql://...; may hold a password."""

    web_hosts: CommaList = Field(default=(), validation_alias="MIDSTREAM_REPORTING_WEB_HOSTS")
    """Names under which browsers reach the dashboard, beside localhost and its address: others are refused, so that a page
    from elsewhere cannot read it by pointing its own name at us."""

    web_heartbeat_s: float = Field(default=10.0, ge=0.1, le=60, validation_alias="MIDSTREAM_REPORTING_WEB_HEARTBEAT")
    """Seconds between two signs of life to a page. Proxies close what is silent, and a page that misses three says so."""

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: str) -> str:
        usable_url(value)
        return value
