"""Settings of the control server."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from services.runtime.settings import OptionalPort, SessionSettings


class ControlSettings(SessionSettings):
    """What the control server needs to know; read once at start."""

    port: int = Field(default=50052, ge=0, le=65535, validation_alias="MIDSTREAM_CONTROL_PORT")
    metrics_port: int = Field(default=9152, ge=0, le=65535, validation_alias="MIDSTREAM_CONTROL_METRICS_PORT")
    admin_port: OptionalPort = Field(default=None, validation_alias="MIDSTREAM_CONTROL_ADMIN_PORT")
    out: Path = Field(default=Path("var"), validation_alias="MIDSTREAM_OUT")
    """Where intents beyond the newest 10,000 are archived."""
