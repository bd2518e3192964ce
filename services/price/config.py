"""Settings of the price server."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from clients.exchanges.names import USED_BY_DEFAULT, check_open, used_by_default
from services.price.engine.options import nanoseconds_of
from services.runtime.errors import StartRefused
from services.runtime.settings import CommaList, OptionalPort, SessionSettings, Switch


class PriceSettings(SessionSettings):
    """What the price server and its engine need to know; read once at start."""

    port: int = Field(default=50053, ge=0, le=65535, validation_alias="MIDSTREAM_PRICE_PORT")
    metrics_port: int = Field(default=9153, ge=0, le=65535, validation_alias="MIDSTREAM_PRICE_METRICS_PORT")
    admin_port: OptionalPort = Field(default=None, validation_alias="MIDSTREAM_PRICE_ADMIN_PORT")
    out: Path = Field(default=Path("var"), validation_alias="MIDSTREAM_OUT")
    """The logs go here, position and lock to OUT/.midstream."""

    sink: str = Field(default="price", pattern=r"^[A-Za-z0-9._-]{1,64}$", validation_alias="MIDSTREAM_SINK")
    """Consumer group and name of the announcement: the position in the queue belongs to it."""

    latency_threshold_ms: str = Field(default="20", validation_alias="MIDSTREAM_LATENCY_THRESHOLD_MS")
    """Historical ticks with a higher latency get an error line. Text, so that it stays exact."""

    log_timestamp: Literal["event", "arrival"] = Field(default="event", validation_alias="MIDSTREAM_LOG_TIMESTAMP")
    """Which time stands in the logs: the tick's own, or its arrival."""

    mids: Switch = Field(default=True, validation_alias="MIDSTREAM_MIDS")
    """Publish the mids stream, which GetMidPrice and StreamMidPrices read. One-shot replays do without."""

    mids_csv: Switch = Field(default=False, validation_alias="MIDSTREAM_MIDS_CSV")
    """Write OUT/mid_prices.csv too, for those who need more than the log."""

    retain_bytes: int = Field(default=64 * 1024 * 1024, ge=1, validation_alias="MIDSTREAM_RETAIN_BYTES")
    """Bytes of the newest mids that are kept for late readers."""

    sessions_max: int = Field(default=16, ge=0, le=1_000, validation_alias="MIDSTREAM_SESSIONS_MAX")
    """Created sessions that are priced beside the server's own, the oldest first; each is a process."""

    owner: str = Field(default="", max_length=128, pattern=r"^[A-Za-z0-9._-]*$", validation_alias="MIDSTREAM_OWNER")
    """Name of this server among those that share the partitions of a sink; no two may have one. Empty: host and a random part."""

    lock_wait: Switch = Field(default=True, validation_alias="MIDSTREAM_LOCK_WAIT")
    """Stand by while another server writes to OUT; off refuses at once. Not with several partitions: their sinks are shared."""

    exchanges: Literal["simulator", "testnet", "prod"] = Field(
        default="simulator", validation_alias="MIDSTREAM_EXCHANGES"
    )
    """Which exchanges the clients talk to."""

    price_exchanges: CommaList = Field(default=USED_BY_DEFAULT, validation_alias="MIDSTREAM_PRICE_EXCHANGES")
    """Exchanges whose prices are served, in the order in which `any` asks them; empty talks to none. Without it, testnet and prod leave
    out exchanges that have closed; named there, they are refused."""

    price_streams: CommaList = Field(default=(), validation_alias="MIDSTREAM_PRICE_STREAMS")
    """Symbols that are streamed from the start; others are once somebody asks for them."""

    price_fresh_ms: int = Field(default=1000, ge=1, validation_alias="MIDSTREAM_PRICE_FRESH_MS")
    """A streamed quote younger than this is given without asking the exchange."""

    price_max_age_ms: int = Field(default=10_000, ge=1, validation_alias="MIDSTREAM_PRICE_MAX_AGE_MS")
    """The oldest price that is given as a fallback, when a caller does not say."""

    @field_validator("latency_threshold_ms", mode="before")
    @classmethod
    def _check_threshold(cls, value: object) -> object:
        try:
            nanoseconds_of(str(value))
        except StartRefused as exc:
            # The settings loader names the value itself.
            raise ValueError(exc.message.removesuffix(f" (got {str(value)!r})")) from exc
        return str(value)

    @field_validator("price_exchanges")
    @classmethod
    def _check_exchanges(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        check_open(value, info.data.get("exchanges", "simulator"))
        return value

    @property
    def exchanges_used(self) -> tuple[str, ...]:
        """Exchanges whose prices are served: those named, or those that are there in this environment."""
        return self.price_exchanges if "price_exchanges" in self.model_fields_set else used_by_default(self.exchanges)

    def engine_config(self) -> dict[str, object]:
        """Everything the engine needs, as JSON values."""
        return {
            "redis_url": self.redis_url,
            "session": self.session,
            "out": str(self.out),
            "sink": self.sink,
            "latency_threshold_ms": self.latency_threshold_ms,
            "log_timestamp": self.log_timestamp,
            "mids": self.mids,
            "mids_csv": self.mids_csv,
            "retain_bytes": self.retain_bytes,
            "lock_wait": self.lock_wait,
            "logs": dataclasses.asdict(self.log_options("price")),
        }
