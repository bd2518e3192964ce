"""Directories as `midstream replay` leaves them, made without it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.reference.history import HistoryOptions, digest, expected_outputs, format_timestamp

EVERY = 50
"""Records between two proofs: small files have several then."""


def leave_run(
    out: Path,
    paths: Sequence[str],
    options: HistoryOptions | None = None,
    *,
    latency: Sequence[str] = (),
    **report: Any,
) -> dict[str, Any]:
    """Write what a complete run over `paths` leaves, by the reference; return its report. `latency` asks for the models of the options."""
    options = HistoryOptions() if options is None else options
    expected = expected_outputs(paths, options)
    (out / ".midstream").mkdir(parents=True)
    (out / "mid_prices.log").write_bytes(expected.mid_log)
    (out / "errors.log").write_bytes(expected.error_log)
    proofs = [digest(expected.sequence[:stop]) for stop in range(EVERY, len(expected.sequence) + 1, EVERY)]
    fields = {
        **asdict(expected.counts),
        "order_digest": expected.digest,
        "order_digest_version": 2,
        "order_proofs": {"every": EVERY, "digests": proofs},
        "complete": True,
        "damaged_sources": len(expected.damaged),
        **report,
    }
    (out / "report.json").write_text(json.dumps(fields))
    (out / ".midstream" / "run.json").write_text(
        json.dumps(
            {
                "options": _asked_for(options) | ({"latency": list(latency)} if latency else {}),
                "inputs": [_fingerprint(path) for path in paths],
            }
        )
    )
    return fields


def change_report(out: Path, **fields: Any) -> None:
    """Overwrite fields of the report."""
    report = json.loads((out / "report.json").read_text())
    (out / "report.json").write_text(json.dumps({**report, **fields}))


def _asked_for(options: HistoryOptions) -> dict[str, Any]:
    defaults = HistoryOptions()

    def spelt(time_ns: int, unbounded: int) -> str:
        return "" if time_ns == unbounded else format_timestamp(time_ns)

    return {
        "session": "default",
        "latency_threshold_ms": str(options.threshold_ns / 1e6),
        "log_timestamp": "arrival" if options.log_arrival else "event",
        "fraction_unit": "us" if options.fraction_unit_us else "",
        "negative_latency": options.negative_latency,
        "min_latency_ms": "",
        "unsorted": "sort",
        "tickers": list(options.tickers),
        "start": spelt(options.start_time_ns, defaults.start_time_ns),
        "end": spelt(options.end_time_ns, defaults.end_time_ns),
        "mids_csv": False,
    }


def _fingerprint(path: str) -> list[object]:
    status = Path(path).stat()
    head = hashlib.sha256(Path(path).read_bytes()[: 64 * 1024]).hexdigest()
    return [path, status.st_size, status.st_mtime_ns, head]
