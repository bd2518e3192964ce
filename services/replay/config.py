"""Settings of the replay server."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from services.replay.allowed_files import directories_of
from services.replay.session_pace import SETTINGS as PACE_SETTINGS
from services.replay.session_pace import pace_fields
from services.runtime.errors import InvalidRequest
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.intents import MODE_NAMES, SPEED_MAX
from services.runtime.session.partitions import PARTITIONS_MAX, Partitioning
from services.runtime.settings import OptionalPort, SessionSettings


class ReplaySettings(SessionSettings):
    """What the replay server and its engine need to know; read once at start."""

    port: int = Field(default=50051, ge=0, le=65535, validation_alias="MIDSTREAM_REPLAY_PORT")
    metrics_port: int = Field(default=9151, ge=0, le=65535, validation_alias="MIDSTREAM_REPLAY_METRICS_PORT")
    admin_port: OptionalPort = Field(default=None, validation_alias="MIDSTREAM_REPLAY_ADMIN_PORT")
    out: Path = Field(default=Path("var"), validation_alias="MIDSTREAM_OUT")
    """Caches and temporary files of the engine live under OUT/.midstream."""

    historical: str = Field(default="", validation_alias="MIDSTREAM_HISTORICAL")
    """Files and globs in the order that decides ties: comma-separated, or a JSON list (for names with commas)."""
    partitions: int = Field(default=1, ge=1, le=PARTITIONS_MAX, validation_alias="MIDSTREAM_PARTITIONS")
    """In how many parts the ticks are published, by ticker: each has an engine, an order and a queue of its own, with the limits below."""
    partition_of: str = Field(default="", validation_alias="MIDSTREAM_PARTITION_OF")
    """Tickers that get a partition of your choice, like BTC/USDT=0,ETH/USDT=1; all others go by their hash."""
    live_url: str = Field(default="", repr=False, validation_alias="MIDSTREAM_LIVE_URL")
    """A websocket of the live JSON layout, or an exchange's own stream: EXCHANGE://BTC/USDT,ETH/USDT:USDT. Empty: no live data."""
    live_message_bytes_max: int = Field(
        default=1 << 20, ge=1024, le=1 << 28, validation_alias="MIDSTREAM_LIVE_MESSAGE_BYTES"
    )
    """Largest message that is taken from a live feed; a larger one ends the connection."""
    live_tickers_max: int = Field(default=100_000, ge=1, le=10_000_000, validation_alias="MIDSTREAM_LIVE_TICKERS_MAX")
    """Ticker names that a session may have before its live feed adds no more: a tick of a further one is rejected. Every process behind the
    queue keeps each name for good; all instruments of all exchanges are some 50,000."""
    start_mode: Literal["historical", "live"] = Field(default="historical", validation_alias="MIDSTREAM_START_MODE")
    """Where ticks come from until somebody switches."""
    hand_over: Literal["at-once", "at-end", "join"] = Field(default="at-once", validation_alias="MIDSTREAM_HAND_OVER")
    """How a session that has files and a feed comes to live data: when somebody switches, where the files end, or where they have caught up
    with the feed, without gap or repeat (docs/joining_live.md)."""
    speed: float = Field(default=0.0, ge=0, le=SPEED_MAX, validation_alias="MIDSTREAM_SPEED")
    """Factor of real time; 0 (spelt `max`) is as fast as possible."""
    gap_cap: str = Field(default="", validation_alias="MIDSTREAM_GAP_CAP")
    """Longest gap between two records of the data, like 5s: what is longer is skipped. Empty: gaps are as they are.
    With this, MIDSTREAM_RATE or MIDSTREAM_DELAY the speed is 1 unless it is set."""
    rate: float = Field(default=0.0, ge=0, le=1e9, validation_alias="MIDSTREAM_RATE")
    """Records per second at speed 1, in place of the gaps of the data; 0: the gaps count."""
    delay: str = Field(default="", validation_alias="MIDSTREAM_DELAY")
    """Time from one record to the next at speed 1, like 10ms, in place of the gaps of the data; at least 1ms. Empty: the gaps count."""
    time_debt: Literal["catch-up", "stretch", "fail"] = Field(
        default="catch-up", validation_alias="MIDSTREAM_TIME_DEBT"
    )
    """What becomes of records that could not leave in time: they catch up, the clock waits for them, or the session fails."""
    time_debt_limit: str = Field(default="", validation_alias="MIDSTREAM_TIME_DEBT_LIMIT")
    """How far behind its clock a session may be with MIDSTREAM_TIME_DEBT=fail; empty means 5s."""

    order_proof: int = Field(default=0, ge=0, le=1 << 30, multiple_of=4096, validation_alias="MIDSTREAM_ORDER_PROOF")
    """Records between two proofs of the order in the stream, a multiple of 4,096 (65536 is what `report.json` has); 0: none, because with
    them the engine takes up to 1.1 times as long for a tick (docs/order_proof.md)."""

    fraction_unit: Literal["", "us"] = Field(default="", validation_alias="MIDSTREAM_FRACTION_UNIT")
    """How a plain fraction of a second is read: `us` counts microseconds, so that .120 is 120 of them."""
    negative_latency: Literal["keep", "clamp", "shift"] = Field(
        default="keep", validation_alias="MIDSTREAM_NEGATIVE_LATENCY"
    )
    """Latencies below zero: kept, taken for zero, or shifted until the lowest of the file is zero."""
    min_latency_ms: float | None = Field(default=None, validation_alias="MIDSTREAM_MIN_LATENCY_MS")
    """A lower bound of every latency; declaring one saves a scan of the files."""
    latency: str = Field(default="", validation_alias="MIDSTREAM_LATENCY")
    """Latency model of recorded files in place of what they say: file, constant:5ms, offset:5ms, scale:1.5,offset=2ms,
    lognormal:p50=5ms,p99=40ms,seed=7 or empirical:FILE; NAME=MODEL for one source. Separated by semicolons (docs/latency_models.md)."""
    unsorted: Literal["refuse", "sort"] = Field(default="refuse", validation_alias="MIDSTREAM_UNSORTED")
    """A file that is sorted neither by event time nor by arrival: refused, or sorted on disk first."""
    tickers: str = Field(default="", validation_alias="MIDSTREAM_TICKERS")
    """Only these tickers, comma-separated; empty means all."""
    start: str = Field(default="", validation_alias="MIDSTREAM_START")
    """First arrival time to replay, as in the files; empty means from the beginning."""
    end: str = Field(default="", validation_alias="MIDSTREAM_END")
    """Arrival time to stop before; empty means to the end."""

    high_bytes: int = Field(default=32 * 1024 * 1024, ge=2 * 1024 * 1024, validation_alias="MIDSTREAM_HIGH_BYTES")
    """Unread bytes at which the producer waits: several batches, small beside any Redis."""
    retain_bytes: int = Field(default=64 * 1024 * 1024, ge=0, validation_alias="MIDSTREAM_RETAIN_BYTES")
    """Bytes that every group has read and that are kept for late readers."""
    group_lease_s: float = Field(default=3600.0, gt=0, validation_alias="MIDSTREAM_GROUP_LEASE")
    """Seconds without a call after which a consumer group stops holding the producer back."""
    sinks: str = Field(default="price", validation_alias="MIDSTREAM_SINKS")
    """Sinks whose position decides where to continue when the queue is lost, comma-separated."""
    acknowledged: Literal["memory", "replica", "durable"] = Field(
        default="memory", validation_alias="MIDSTREAM_ACKNOWLEDGED"
    )
    """When a record counts as published: when the node has it, when a replica has it too, or when a disk has it
    (docs/redis_and_postgres.md says what each promises and costs)."""
    durable_engine: bool = Field(default=False, validation_alias="MIDSTREAM_DURABLE_ENGINE")
    """The engine itself answers a write only when it is durable (MemoryDB); `durable` then asks it nothing. It cannot be checked."""
    data: str = Field(default="", validation_alias="MIDSTREAM_DATA")
    """Directories below which created sessions may read files: comma-separated, or a JSON list. Empty: those of MIDSTREAM_HISTORICAL."""
    sessions_max: int = Field(default=16, ge=0, le=1_000, validation_alias="MIDSTREAM_SESSIONS_MAX")
    """Sessions that may be created beside the server's own. Each is a process and up to 100 MB of the queue, with a sink as much again."""
    session_idle_s: float = Field(default=86_400.0, ge=0, validation_alias="MIDSTREAM_SESSION_IDLE")
    """Seconds after which a created session is deleted whose engine is at rest (completed, paused, failed) and that nobody streams;
    0 keeps it. Logs stay."""
    owner: str = Field(default="", max_length=128, pattern=r"^[A-Za-z0-9._-]*$", validation_alias="MIDSTREAM_OWNER")
    """Name of this server among those that share the partitions of a session; no two may have one. Empty: host and a random part."""
    sink_grace_s: float = Field(default=5.0, ge=0, validation_alias="MIDSTREAM_SINK_GRACE")
    """Seconds that the engine waits for sinks to say where they are, when the queue is lost."""

    @field_validator("speed", mode="before")
    @classmethod
    def _read_max(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.strip().lower() == "max":
            return 0.0
        try:
            if 0 <= float(value) <= SPEED_MAX:
                return value
        except ValueError:
            pass
        raise ValueError(f"must be `max` or a factor of real time up to {SPEED_MAX:g}")

    @field_validator("min_latency_ms", mode="before")
    @classmethod
    def _read_empty(cls, value: object) -> object:
        return None if value == "" else value

    @model_validator(mode="after")
    def _check_partitions(self) -> Self:
        self.partitioning()
        return self

    def partitioning(self) -> Partitioning:
        """Return how the tickers of the server's own session are spread."""
        assigned = {}
        for entry in listed(self.partition_of):
            ticker, equals, number = entry.rpartition("=")
            if not equals or not ticker or not number.isascii() or not number.isdigit():
                raise ValueError(f"MIDSTREAM_PARTITION_OF: {entry!r} is not TICKER=NUMBER, like BTC/USDT=0")
            assigned[ticker] = int(number)
        try:
            return Partitioning(self.partitions, assigned)
        except InvalidRequest as exc:
            raise ValueError(f"MIDSTREAM_PARTITION_OF: {exc.problem}") from exc

    def data_directories(self) -> list[Path]:
        """Return the directories below which created sessions may read files."""
        named = listed(self.data)
        return [Path(directory) for directory in named] if named else directories_of(listed(self.historical))

    def created_config(self, session: str, definition: SessionDefinition, files: Sequence[str]) -> dict[str, object]:
        """As `engine_config`, of a created session; `files` are those that its definition names."""
        return self.engine_config() | {
            **pace_fields(definition, self.pace()),
            "session": session,
            "historical": list(files),
            "live_url": definition.live_url,
            "start_mode": MODE_NAMES[definition.mode],
            "hand_over": self.hand_over if files and definition.live_url else "at-once",
            "speed": definition.speed,
            # Declared of other files.
            "min_latency_ms": None,
            "latency": list(definition.latency),
            "tickers": list(definition.tickers),
            "start": definition.start_time_ns,
            "end": definition.end_time_ns,
            "sinks": list(definition.sinks),
            "partitions": definition.partitions,
            "partition_of": {},
        }

    def pace(self) -> dict[str, object]:
        """Return what says when records leave, as the engine takes it."""
        return {name: getattr(self, name) for name in PACE_SETTINGS}

    def _speed(self) -> float:
        # Whoever says how long it is from one record to the next does not mean as fast as possible.
        unset = "speed" not in self.model_fields_set
        return 1.0 if unset and (self.gap_cap or self.rate or self.delay) else self.speed

    def engine_config(self) -> dict[str, object]:
        """Everything the engine needs, as JSON values."""
        private = self.out / ".midstream"
        return {
            "redis_url": self.redis_url,
            "session": self.session,
            "partitions": self.partitions,
            "partition_of": dict(self.partitioning().assigned),
            "historical": listed(self.historical),
            "live_url": self.live_url,
            "live_message_bytes_max": self.live_message_bytes_max,
            "live_tickers_max": self.live_tickers_max,
            "start_mode": self.start_mode,
            "speed": self._speed(),
            **self.pace(),
            "hand_over": self.hand_over,
            "order_proof": self.order_proof,
            "fraction_unit_us": self.fraction_unit == "us",
            "negative_latency": self.negative_latency,
            "min_latency_ms": self.min_latency_ms,
            "latency": self.latency,
            "unsorted": self.unsorted,
            "tickers": listed(self.tickers),
            "start": self.start,
            "end": self.end,
            "high_bytes": self.high_bytes,
            "retain_bytes": self.retain_bytes,
            "group_lease_s": self.group_lease_s,
            "sinks": listed(self.sinks),
            "sink_grace_s": self.sink_grace_s,
            "acknowledged": self.acknowledged,
            "durable_engine": self.durable_engine,
            "tracing": self.tracing,
            "logs": dataclasses.asdict(self.log_options("replay")),
            "cache_dir": str(private / "cache"),
            "temp_dir": str(private / "tmp"),
        }


def listed(text: str) -> list[str]:
    if text.lstrip().startswith("["):
        return [str(part) for part in json.loads(text)]
    return [part.strip() for part in text.split(",") if part.strip()]
