"""The engine's config, as its server sends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from clients.exchanges.names import EXCHANGES
from clients.sockets.destinations import is_metadata_host
from fastpath.frame import MODE_HISTORICAL, MODE_LIVE
from fastpath.values import parse_timestamp
from services.replay.engine.exchange_address import exchange_address
from services.replay.engine.feed_buffer import FeedLimits
from services.replay.engine.pace import Pace, read_pace
from services.replay.engine.ports import Beginning, check_sources
from services.replay.engine.proving import Proving, proving
from services.replay.queue import Level, QueueLimits, SinkExpectation
from services.replay.sources import HistoricalOptions
from services.replay.sources.latency_models import split_entries
from services.runtime import tracing
from services.runtime.errors import InvalidRequest, StartRefused
from services.runtime.logs import LogOptions
from services.runtime.session.hand_over import HAND_OVERS
from services.runtime.session.intents import MODE_NAMES
from services.runtime.session.partitions import Partition, Partitioning

READING: Final = (
    "fraction_unit_us",
    "start",
    "end",
    "tickers",
    "negative_latency",
    "min_latency_ms",
    "unsorted",
    "latency",
)
"""Fields that say how recorded files are read."""


@dataclass(frozen=True)
class EngineConfig:
    """Everything the engine needs to know; checked."""

    redis_url: str
    session: str
    partition: Partition
    owner: str
    """The server that it produces for, where several share the session's partitions."""
    historical: tuple[str, ...]
    options: HistoricalOptions
    reading: Mapping[str, Any]
    """The fields of which the options were made, as they were given."""
    live_url: str
    beginning: Beginning
    limits: QueueLimits
    sinks: SinkExpectation
    acknowledged: Level
    durable_engine: bool
    feed_limits: FeedLimits
    live_message_bytes_max: int
    live_tickers_max: int
    pace: Pace
    proving: Proving | None
    cache_dir: Path | None
    temp_dir: Path | None
    logs: LogOptions
    tracing: str


def parse_config(fields: Mapping[str, Any]) -> EngineConfig:
    """Return the config; raise StartRefused with the setting and the fix when something cannot be used."""
    historical = tuple(str(path) for path in fields.get("historical") or ())
    live_url = str(fields.get("live_url") or "")
    if live_url:
        check_live_url(live_url)
    modes = {name: mode for mode, name in MODE_NAMES.items()}
    mode = modes.get(str(fields.get("start_mode") or MODE_NAMES[MODE_HISTORICAL]))
    if mode is None:
        raise StartRefused(f"MIDSTREAM_START_MODE: {fields['start_mode']!r} is unknown; use {' or '.join(modes)}")
    if mode == MODE_HISTORICAL and not historical:
        # There is only one thing that such a session can do.
        mode = MODE_LIVE
    kind = HAND_OVERS.get(str(fields.get("hand_over") or "at-once"))
    if kind is None:
        raise StartRefused(f"MIDSTREAM_HAND_OVER: {fields['hand_over']!r} is unknown; use {', '.join(HAND_OVERS)}")
    beginning = Beginning(mode, float(fields.get("speed") or 0.0), kind)
    check_sources(beginning, historical=bool(historical), live=bool(live_url))
    defaults, feed = QueueLimits(), FeedLimits()
    partition = _partition(fields)
    return EngineConfig(
        redis_url=str(fields["redis_url"]),
        session=str(fields.get("session") or "default"),
        partition=partition,
        owner=str(fields.get("owner") or ""),
        historical=historical,
        options=replace(historical_options(fields), partition=partition),
        reading={name: fields[name] for name in READING if _is_given(fields.get(name))},
        live_url=live_url,
        beginning=beginning,
        limits=QueueLimits(
            high_bytes=int(fields.get("high_bytes") or defaults.high_bytes),
            high_records=int(fields.get("high_records") or defaults.high_records),
            retain_bytes=int(_given(fields, "retain_bytes", defaults.retain_bytes)),
            group_lease_s=float(fields.get("group_lease_s") or defaults.group_lease_s),
        ),
        sinks=SinkExpectation(
            names=tuple(fields.get("sinks") or ()), grace_s=float(_given(fields, "sink_grace_s", 5.0))
        ),
        acknowledged=Level(str(fields.get("acknowledged") or Level.MEMORY)),
        durable_engine=bool(fields.get("durable_engine", False)),
        feed_limits=FeedLimits(
            frames=int(fields.get("live_frames_max") or feed.frames),
            size=int(fields.get("live_bytes_max") or feed.size),
        ),
        live_message_bytes_max=int(fields.get("live_message_bytes_max") or 1 << 20),
        live_tickers_max=int(fields.get("live_tickers_max") or 100_000),
        pace=read_pace(fields),
        proving=proving(int(fields.get("order_proof") or 0)),
        cache_dir=_path(fields, "cache_dir"),
        temp_dir=_path(fields, "temp_dir"),
        logs=LogOptions.of(fields),
        tracing=str(fields.get("tracing") or tracing.OFF),
    )


def _partition(fields: Mapping[str, Any]) -> Partition:
    assigned = {str(ticker): int(number) for ticker, number in (fields.get("partition_of") or {}).items()}
    try:
        return Partition(int(fields.get("partition") or 0), Partitioning(int(fields.get("partitions") or 1), assigned))
    except InvalidRequest as exc:
        raise StartRefused(f"MIDSTREAM_{exc.field.upper()}: {exc.message}") from exc


def check_live_url(url: str) -> None:
    """Raise StartRefused with the fix when a URL is no feed, or leads where none may be."""
    if exchange_address(url) is None and (urlsplit(url).scheme not in ("ws", "wss") or not urlsplit(url).hostname):
        raise StartRefused(
            f"MIDSTREAM_LIVE_URL: {url!r} is no feed; use ws://HOST:PORT, wss://HOST/PATH or "
            f"{next(iter(EXCHANGES))}://BTC/USDT,ETH/USDT"
        )
    if is_metadata_host(urlsplit(url).hostname or ""):
        raise StartRefused(
            f"MIDSTREAM_LIVE_URL: {url!r} names a link-local address, which answers with credentials of this machine; name a feed"
        )


def historical_options(fields: Mapping[str, Any]) -> HistoricalOptions:
    """Return what the fields say about reading files; raise StartRefused with the setting and the fix when something cannot be used."""
    minimum = fields.get("min_latency_ms")
    return HistoricalOptions(
        fraction_unit_us=bool(fields.get("fraction_unit_us", False)),
        start_time_ns=_time(fields, "start"),
        end_time_ns=_time(fields, "end"),
        tickers=tuple(fields.get("tickers") or ()),
        negative_latency=fields.get("negative_latency") or "keep",
        min_latency_ms=None if minimum is None else float(minimum),
        unsorted=fields.get("unsorted") or "refuse",
        latency=_latency(fields),
    )


def _latency(fields: Mapping[str, Any]) -> tuple[str, ...]:
    given = fields.get("latency") or ()
    return split_entries(given) if isinstance(given, str) else tuple(given)


def _time(fields: Mapping[str, Any], name: str) -> int | None:
    """Read a time as in the files, or in nanoseconds."""
    given = fields.get(name)
    if isinstance(given, int):
        return given
    text = str(given or "")
    if not text:
        return None
    try:
        return parse_timestamp(text, fraction_unit_us=bool(fields.get("fraction_unit_us", False)))
    except ValueError as exc:
        raise StartRefused(
            f"MIDSTREAM_{name.upper()}: {text!r} is no time ({exc}); use YYYY-MM-DD HH:MM:SS.ffffff"
        ) from exc


def _path(fields: Mapping[str, Any], name: str) -> Path | None:
    text = fields.get(name)
    return Path(str(text)) if text else None


def _is_given(value: object) -> bool:
    # 0 is a value, and equal to False.
    return value is not None and value is not False and value != "" and value != []


def _given(fields: Mapping[str, Any], name: str, default: float) -> float:
    value = fields.get(name)
    return default if value is None else float(value)
