"""`midstream whatif`: compare two latency models over files that are read once; nothing is played."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from services.cli.options import in_option_names
from services.cli.output import ExitCode, fail
from services.cli.terminal import say, table, write
from services.cli.whatif.page import page_of
from services.cli.whatif.text import change_rows, pair_rows, ticker_rows
from services.replay.engine.config import historical_options
from services.replay.sources.options import HistoricalOptions
from services.replay.sources.what_if import WhatIf, what_if
from services.runtime.errors import StartRefused
from services.runtime.scratch import scratch_directory

COMMAND = "midstream whatif"
TICKERS_SHOWN = 20
PAIRS_SHOWN = 10


@dataclass(frozen=True)
class WhatIfRun:
    """What is asked."""

    files: tuple[str, ...]
    latencies: tuple[str, ...]
    """Two models, or one that is compared with the file's own latencies."""
    latency_threshold_ms: float
    fraction_unit_us: bool
    tickers: tuple[str, ...]
    start: str
    end: str
    html: Path | None
    as_json: bool


def run_whatif(run: WhatIfRun) -> int:
    """Compare and print; returns the exit code: 0, 1 when a file could not be read to its end, 2 when something cannot be used."""
    try:
        models = _two_models(run.latencies)
        if run.html is not None and not run.html.parent.is_dir():
            raise StartRefused(f"--html: there is no folder {run.html.parent}; make it, or name a file elsewhere")
        chosen = historical_options(
            {
                "fraction_unit_us": run.fraction_unit_us,
                "tickers": run.tickers,
                "start": run.start,
                "end": run.end,
            }
        )
        with scratch_directory() as scratch:
            found = _compare(run, models, chosen, scratch)
        if run.html is not None:
            _write_page(run.html, page_of(found))
    except StartRefused as exc:
        return fail(in_option_names(str(exc)), ExitCode.REFUSED, as_json=run.as_json, command=COMMAND)
    for damage in found.report.damage:
        say(f"{COMMAND}: {damage}")
    if run.as_json:
        write(json.dumps(found.report.to_dict()))
    else:
        _show(found, run.html)
    return ExitCode.FAILED if found.report.damage else ExitCode.COMPLETE


def _two_models(latencies: Sequence[str]) -> tuple[str, str]:
    if len(latencies) == 1:
        return "file", latencies[0]
    if len(latencies) == 2:
        return latencies[0], latencies[1]
    raise StartRefused(
        f"--latency: two models are compared, and {len(latencies)} were given; give two, or one to compare the files' own latencies with"
    )


def _compare(run: WhatIfRun, models: tuple[str, str], chosen: HistoricalOptions, scratch: Path) -> WhatIf:
    def compare(bar: Progress | None) -> WhatIf:
        task = bar.add_task("reading", total=None) if bar is not None else None
        return what_if(
            run.files,
            models,
            chosen=chosen,
            latency_threshold_ms=run.latency_threshold_ms,
            temp_dir=scratch,
            on_progress=(lambda rows: bar.advance(task, rows)) if bar is not None and task is not None else None,
        )

    if run.as_json or not sys.stderr.isatty():
        return compare(None)
    with Progress(
        SpinnerColumn(), TextColumn("{task.completed:,} rows read"), console=Console(stderr=True), transient=True
    ) as bar:
        return compare(bar)


def _write_page(path: Path, page: str) -> None:
    """Write the page, whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(page, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as exc:
        temporary.unlink(missing_ok=True)
        raise StartRefused(f"--html: cannot write {path} ({exc.strerror or exc}); name another file") from exc


def _show(found: WhatIf, html: Path | None) -> None:
    report = found.report
    for line in table(change_rows(report), right=(1, 2)):
        write(line)
    if report.tickers:
        write("")
        for line in table(ticker_rows(report, TICKERS_SHOWN), right=range(1, 8)):
            write(line)
    if report.ticker_pairs:
        write("")
        for line in table(pair_rows(report, PAIRS_SHOWN), right=(0,)):
            write(line)
    if html is not None:
        write(f"\nplots: {html}")
