"""What batches say beside their records: what was skipped, and how far behind whoever reads them is."""

from __future__ import annotations

from typing import Any

from protos.common.v1.market_pb2 import Lag, MidBatch, Skipped, TickBatch
from services.cli.shown_times import shown_time


def beside_text(what: Skipped | Lag) -> str:
    """Say it to people."""
    if isinstance(what, Lag):
        data_s = what.data_time_ns / 1e9
        return f"behind: {what.records:,} records, {what.bytes:,} bytes, {data_s:,.3f} s of data"
    times = [shown_time(time_ns) for time_ns in (what.from_arrival_time_ns, what.to_arrival_time_ns) if time_ns]
    between = f", between {' and '.join(times)}" if len(times) == 2 else ""
    return f"skipped: {what.records:,} records, {what.first_sequence} to {what.last_sequence}{between}"


def beside_figures(what: Skipped | Lag, batch: TickBatch | MidBatch) -> dict[str, Any]:
    """Return it as --json shows it."""
    if isinstance(what, Lag):
        return {
            "type": "lag",
            "epoch": batch.epoch,
            "last_sequence": batch.last_sequence,
            "records": what.records,
            "bytes": what.bytes,
            "data_time_ns": what.data_time_ns,
        }
    return {
        "type": "skipped",
        "epoch": batch.epoch,
        "records": what.records,
        "first_sequence": what.first_sequence,
        "last_sequence": what.last_sequence,
        "from_arrival_time_ns": what.from_arrival_time_ns,
        "to_arrival_time_ns": what.to_arrival_time_ns,
    }
