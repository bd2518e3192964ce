"""Settings of the reporting server."""

from __future__ import annotations

from decimal import Decimal

from pydantic import AliasChoices, Field

from clients.database import DatabaseUrl
from clients.power.store import DATABASE_URL
from services.reporting.engine.alerts import AlertLimits
from services.runtime.settings import CommaList, OptionalPort, ServerSettings


class ReportingSettings(ServerSettings):
    """Ports, database and names of the reporting server; read once at start."""

    port: int = Field(default=50056, ge=0, le=65535, validation_alias="MIDSTREAM_REPORTING_PORT")
    metrics_port: int = Field(default=9156, ge=0, le=65535, validation_alias="MIDSTREAM_REPORTING_METRICS_PORT")
    admin_port: OptionalPort = Field(default=None, validation_alias="MIDSTREAM_REPORTING_ADMIN_PORT")
    web_port: int = Field(default=8081, ge=0, le=65535, validation_alias="MIDSTREAM_REPORTING_WEB_PORT")
    """Where the dashboard listens."""

    gate_lead_s: float = Field(default=0.0, ge=0, le=86_400, validation_alias="MIDSTREAM_POWER_GATE_LEAD_S")
    """How long before delivery an hour closes; the same as the price process has."""

    silent_after_s: float = Field(default=60.0, ge=1, le=86_400, validation_alias="MIDSTREAM_REPORTING_SILENT_AFTER_S")
    """Seconds without any message from the exchange after which the desk is alerted. A deal is expected every ten."""

    desk_loss_max: Decimal = Field(default=Decimal(0), ge=0, validation_alias="MIDSTREAM_REPORTING_DESK_LOSS_MAX")
    """EUR that the desk may lose against the reference price in a delivery day before it is alerted; 0 is no limit."""

    trader_loss_max: Decimal = Field(default=Decimal(0), ge=0, validation_alias="MIDSTREAM_REPORTING_TRADER_LOSS_MAX")
    """EUR that a single trader may lose in a delivery day before the desk is alerted; 0 is no limit."""

    database_url: DatabaseUrl = Field(default=DATABASE_URL, repr=False, validation_alias="MIDSTREAM_DATABASE_URL")
    """Deals and reference prices: sqlite:///PATH or postgresql://...; may hold a password."""

    web_hosts: CommaList = Field(
        default=(), validation_alias=AliasChoices("MIDSTREAM_REPORTING_WEB_HOSTS", "MIDSTREAM_WEB_HOSTS")
    )
    """Names under which browsers reach the dashboard, beside localhost and its address: others are refused, so that a page
    from elsewhere cannot read it by pointing its own name at us. Where it is not set, those of all servers hold."""

    web_heartbeat_s: float = Field(default=10.0, ge=0.1, le=60, validation_alias="MIDSTREAM_REPORTING_WEB_HEARTBEAT")
    """Seconds between two signs of life to a page. Proxies close what is silent, and a page that misses three says so."""

    def limits(self) -> AlertLimits:
        """Return what is tolerated before the desk is alerted."""
        return AlertLimits(round(self.silent_after_s * 1e9), self.desk_loss_max, self.trader_loss_max)
