"""Settings of the health server."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from services.health.watched import read_watched
from services.runtime.addresses import admin_port, reachable
from services.runtime.settings import CommaList, OptionalPath, OptionalPort, SessionSettings


class HealthSettings(SessionSettings):
    """What the health server watches, and how often."""

    port: int = Field(default=50054, ge=0, le=65535, validation_alias="MIDSTREAM_HEALTH_PORT")
    metrics_port: int = Field(default=9154, ge=0, le=65535, validation_alias="MIDSTREAM_HEALTH_METRICS_PORT")
    admin_port: OptionalPort = Field(default=None, validation_alias="MIDSTREAM_HEALTH_ADMIN_PORT")
    watch: CommaList = Field(default=("replay", "control", "price"), validation_alias="MIDSTREAM_HEALTH_WATCH")
    """Servers that have to be there: `NAME` on this machine, `NAME=HOST:PORT` elsewhere, over TLS where this server has TLS or the
    setting below names an authority. `midstream serve` names those that it starts."""
    watch_ca: OptionalPath = Field(default=None, validation_alias="MIDSTREAM_HEALTH_WATCH_CA")
    """Authorities that may have signed the certificates of watched servers elsewhere, PEM; without it those of this machine are
    believed. Where clients have to show a certificate (MIDSTREAM_TLS_CLIENT_CA), this server shows its own."""
    replay_port: int = Field(default=50051, ge=0, le=65535, validation_alias="MIDSTREAM_REPLAY_PORT")
    """Where the replay server listens; 0 leaves it unwatched."""
    replay_admin_port: OptionalPort = Field(default=None, validation_alias="MIDSTREAM_REPLAY_ADMIN_PORT")
    """Where its health is in plain text, which is asked for where there is TLS; by default the port above and 1000."""
    control_port: int = Field(default=50052, ge=0, le=65535, validation_alias="MIDSTREAM_CONTROL_PORT")
    """Where the control server listens; 0 leaves it unwatched."""
    control_admin_port: OptionalPort = Field(default=None, validation_alias="MIDSTREAM_CONTROL_ADMIN_PORT")
    """Where its health is in plain text, which is asked for where there is TLS; by default the port above and 1000."""
    price_port: int = Field(default=50053, ge=0, le=65535, validation_alias="MIDSTREAM_PRICE_PORT")
    """Where the price server listens; 0 leaves it unwatched."""
    price_admin_port: OptionalPort = Field(default=None, validation_alias="MIDSTREAM_PRICE_ADMIN_PORT")
    """Where its health is in plain text, which is asked for where there is TLS; by default the port above and 1000."""
    orders_port: int = Field(default=50055, ge=0, le=65535, validation_alias="MIDSTREAM_ORDERS_PORT")
    """Where the orders server listens; 0 leaves it unwatched."""
    orders_admin_port: OptionalPort = Field(default=None, validation_alias="MIDSTREAM_ORDERS_ADMIN_PORT")
    """Where its health is in plain text, which is asked for where there is TLS; by default the port above and 1000."""
    reporting_port: int = Field(default=50056, ge=0, le=65535, validation_alias="MIDSTREAM_REPORTING_PORT")
    """Where the reporting server listens; 0 leaves it unwatched."""
    reporting_admin_port: OptionalPort = Field(default=None, validation_alias="MIDSTREAM_REPORTING_ADMIN_PORT")
    """Where its health is in plain text, which is asked for where there is TLS; by default the port above and 1000."""
    power_listener_port: int = Field(default=50057, ge=0, le=65535, validation_alias="MIDSTREAM_POWER_LISTENER_PORT")
    """Where the deals listener listens; 0 leaves it unwatched."""
    power_listener_admin_port: OptionalPort = Field(
        default=None, validation_alias="MIDSTREAM_POWER_LISTENER_ADMIN_PORT"
    )
    """Where its health is in plain text, which is asked for where there is TLS; by default the port above and 1000."""
    power_etl_port: int = Field(default=50058, ge=0, le=65535, validation_alias="MIDSTREAM_POWER_ETL_PORT")
    """Where the reference-price process listens; 0 leaves it unwatched."""
    power_etl_admin_port: OptionalPort = Field(default=None, validation_alias="MIDSTREAM_POWER_ETL_ADMIN_PORT")
    """Where its health is in plain text, which is asked for where there is TLS; by default the port above and 1000."""
    check_interval_s: float = Field(default=1.0, gt=0, validation_alias="MIDSTREAM_HEALTH_INTERVAL")
    """How often everything is checked. Calls read the last result, so this alone decides the load on the dependencies."""
    check_timeout_s: float = Field(default=2.0, gt=0, validation_alias="MIDSTREAM_HEALTH_TIMEOUT")
    """Seconds that one check may take; then it has failed."""
    out: Path = Field(default=Path("var"), validation_alias="MIDSTREAM_OUT")
    """Where `midstream serve` says which of its servers are down, and why."""
    lag_s_max: float = Field(default=30.0, gt=0, validation_alias="MIDSTREAM_HEALTH_LAG_MAX")
    """Seconds that a consumer group may be behind before the report is degraded; of live data, and of replays with a speed."""
    group_lease_s: float = Field(default=3600.0, gt=0, validation_alias="MIDSTREAM_GROUP_LEASE")
    """As the replay server has it: a group without a call for so long is not reported as slow."""

    def targets(self) -> dict[str, str]:
        """Address of every server on this machine that is watched, by its name.

        With TLS it is where their health is in plain text: this server has no certificate that others would have to believe.
        """
        found: dict[str, str] = {}
        for name in (watched.name for watched in read_watched(self.watch) if not watched.address):
            field = name.replace("-", "_")
            port = int(getattr(self, f"{field}_port"))
            plain = admin_port(port, getattr(self, f"{field}_admin_port"), tls=self.tls_cert is not None)
            if port and plain is None:
                found[name] = reachable(self.host, port)
            elif port and plain:
                found[name] = reachable(self.admin_host, plain)
        return found

    def elsewhere(self) -> dict[str, str]:
        """Address of every server on another machine that is watched, by its name."""
        return {watched.name: watched.address for watched in read_watched(self.watch) if watched.address}

    @field_validator("watch")
    @classmethod
    def _check_watch(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        read_watched(value)
        return value
