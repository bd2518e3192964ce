"""Settings of the deals listener."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from clients.database import DatabaseUrl
from clients.power.deals.feed import ReplayUse
from clients.power.store import DATABASE_URL
from clients.sockets.destinations import is_metadata_host
from services.runtime.settings import OptionalPort, ServerSettings

_OWN = "MIDSTREAM_POWER_LISTENER_"


class DealListenerSettings(ServerSettings):
    """Feed, spool and database of the deals listener; read once at start."""

    port: int = Field(default=50057, ge=0, le=65535, validation_alias=f"{_OWN}PORT")
    metrics_port: int = Field(default=9157, ge=0, le=65535, validation_alias=f"{_OWN}METRICS_PORT")
    admin_port: OptionalPort = Field(default=None, validation_alias=f"{_OWN}ADMIN_PORT")

    database_url: DatabaseUrl = Field(default=DATABASE_URL, repr=False)
    """A file beside the program, or postgresql://... for more. May hold a password."""

    power_url: str = Field(default="ws://127.0.0.1:5050", repr=False)
    """The exchange's websocket; the simulator's by default. May hold a key."""

    power_replay: ReplayUse = "auto"
    """`on` insists on replay, `off` takes a plain feed for what it is."""

    power_stale_after_s: float = Field(default=20.0, gt=0, le=86_400)
    """Silence that is told as trouble: twice the ten seconds within which a deal is expected."""

    power_spool: Path = Path("var/power-spool")
    """Where deals wait while the database is away."""

    power_spool_bytes_max: int = Field(default=1 << 30, ge=1 << 20)
    """Bytes of waiting deals at which reading stops, and the exchange waits."""

    @field_validator("power_url")
    @classmethod
    def _check_power_url(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            usable = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("must be ws://HOST:PORT or wss://HOST:PORT")
        if is_metadata_host(parts.hostname or ""):
            raise ValueError(
                "must not name a link-local address: those answer with credentials of this machine, not with deals"
            )
        return value
