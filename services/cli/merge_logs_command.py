"""`midstream merge-logs`: one pair of logs out of those of partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from services.cli.output import ExitCode, fail, show
from services.price.merged_logs import merge_logs
from services.runtime.errors import StartRefused

COMMAND = "midstream merge-logs"


def run_merge_logs(directories: Sequence[Path], out: Path, *, as_json: bool) -> int:
    """Merge and print what was written; return the exit code."""
    try:
        merged = merge_logs(directories, out)
    except StartRefused as exc:
        return fail(str(exc), exc.exit_code, as_json=as_json, command=COMMAND)
    except OSError as exc:
        return fail(f"{exc.filename or out}: {exc.strerror or exc}", ExitCode.FAILED, as_json=as_json, command=COMMAND)
    ends = ", ".join(f"{partition} with {sequence:,}" for partition, sequence in enumerate(merged.last_sequences))
    sentence = f"{merged.mids:,} mids and {merged.errors:,} errors of {merged.partitions} partitions in {out}; they end: partition {ends}"
    return show(sentence, asdict(merged) | {"out": str(out)}, as_json=as_json)
