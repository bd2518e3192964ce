"""Settings of the health server."""

from __future__ import annotations

from pydantic import Field

from services.runtime.settings import SessionSettings


class HealthSettings(SessionSettings):
    """What the health server watches, and how often."""

    port: int = Field(default=50054, ge=0, le=65535, validation_alias="MIDSTREAM_HEALTH_PORT")
    metrics_port: int = Field(default=9154, ge=0, le=65535, validation_alias="MIDSTREAM_HEALTH_METRICS_PORT")
    replay_port: int = Field(default=50051, ge=0, le=65535, validation_alias="MIDSTREAM_REPLAY_PORT")
    control_port: int = Field(default=50052, ge=0, le=65535, validation_alias="MIDSTREAM_CONTROL_PORT")
    price_port: int = Field(default=50053, ge=0, le=65535, validation_alias="MIDSTREAM_PRICE_PORT")
    check_interval_s: float = Field(default=1.0, gt=0, validation_alias="MIDSTREAM_HEALTH_INTERVAL")
    """How often everything is checked. Calls read the last result, so this alone decides the load on the dependencies."""
    check_timeout_s: float = Field(default=2.0, gt=0, validation_alias="MIDSTREAM_HEALTH_TIMEOUT")
    group_lease_s: float = Field(default=3600.0, gt=0, validation_alias="MIDSTREAM_GROUP_LEASE")

    def targets(self) -> dict[str, str]:
        """Address of every server that is watched, by its name."""
        ports = {"replay": self.replay_port, "control": self.control_port, "price": self.price_port}
        return {name: f"{self.host}:{port}" for name, port in ports.items() if port}
