"""Settings of the health server."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import Field, field_validator

from services.runtime.addresses import reachable
from services.runtime.settings import CommaList, SessionSettings

WATCHABLE: Final = ("replay", "control", "price", "orders", "reporting", "power-listener", "power-etl")


class HealthSettings(SessionSettings):
    """What the health server watches, and how often."""

    port: int = Field(default=50054, ge=0, le=65535, validation_alias="MIDSTREAM_HEALTH_PORT")
    metrics_port: int = Field(default=9154, ge=0, le=65535, validation_alias="MIDSTREAM_HEALTH_METRICS_PORT")
    admin_port: int | None = Field(default=None, ge=0, le=65535, validation_alias="MIDSTREAM_HEALTH_ADMIN_PORT")
    watch: CommaList = Field(default=("replay", "control", "price"), validation_alias="MIDSTREAM_HEALTH_WATCH")
    """Servers that have to be there; `midstream serve` names those that it starts."""
    replay_port: int = Field(default=50051, ge=0, le=65535, validation_alias="MIDSTREAM_REPLAY_PORT")
    """Where the replay server listens; 0 leaves it unwatched."""
    control_port: int = Field(default=50052, ge=0, le=65535, validation_alias="MIDSTREAM_CONTROL_PORT")
    """Where the control server listens; 0 leaves it unwatched."""
    price_port: int = Field(default=50053, ge=0, le=65535, validation_alias="MIDSTREAM_PRICE_PORT")
    """Where the price server listens; 0 leaves it unwatched."""
    orders_port: int = Field(default=50055, ge=0, le=65535, validation_alias="MIDSTREAM_ORDERS_PORT")
    """Where the orders server listens; 0 leaves it unwatched."""
    reporting_port: int = Field(default=50056, ge=0, le=65535, validation_alias="MIDSTREAM_REPORTING_PORT")
    """Where the reporting server listens; 0 leaves it unwatched."""
    power_listener_port: int = Field(default=50057, ge=0, le=65535, validation_alias="MIDSTREAM_POWER_LISTENER_PORT")
    """Where the deals listener listens; 0 leaves it unwatched."""
    power_etl_port: int = Field(default=50058, ge=0, le=65535, validation_alias="MIDSTREAM_POWER_ETL_PORT")
    """Where the reference-price process listens; 0 leaves it unwatched."""
    check_interval_s: float = Field(default=1.0, gt=0, validation_alias="MIDSTREAM_HEALTH_INTERVAL")
    """How often everything is checked. Calls read the last result, so this alone decides the load on the dependencies."""
    check_timeout_s: float = Field(default=2.0, gt=0, validation_alias="MIDSTREAM_HEALTH_TIMEOUT")
    """Seconds that one check may take; then it has failed."""
    out: Path = Field(default=Path("var"), validation_alias="MIDSTREAM_OUT")
    """Where `midstream serve` says which of its servers are down, and why."""
    group_lease_s: float = Field(default=3600.0, gt=0, validation_alias="MIDSTREAM_GROUP_LEASE")
    """As the replay server has it: a group without a call for so long is not reported as slow."""

    def targets(self) -> dict[str, str]:
        """Address of every server that is watched, by its name."""
        ports = {name: int(getattr(self, f"{name.replace('-', '_')}_port")) for name in self.watch}
        return {name: reachable(self.host, port) for name, port in ports.items() if port}

    @field_validator("watch")
    @classmethod
    def _check_watch(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in WATCHABLE]
        if unknown:
            raise ValueError(f"must name servers out of {', '.join(WATCHABLE)}")
        return value
