"""`midstream replay`, `rerun`, `verify`, `inspect`, `whatif` and `merge-logs`: files."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands.arguments import FractionUnit, Json, Session, TimeDebt
from services.cli.options import ReplayOptions, run_speed


class NegativeLatency(enum.StrEnum):
    """What happens to latencies below zero."""

    keep = "keep"
    clamp = "clamp"
    shift = "shift"


class Unsorted(enum.StrEnum):
    """What happens to a file that is sorted neither by event time nor by arrival."""

    refuse = "refuse"
    sort = "sort"


class LogTimestamp(enum.StrEnum):
    """Which time stands in the logs."""

    event = "event"
    arrival = "arrival"


def replay(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Tick files or globs; their order breaks ties.")],
    out: Annotated[Path, typer.Option(help="Directory for the logs and the report.")] = Path("midstream-out"),
    session: Session = "default",
    speed: Annotated[
        str | None, typer.Option(help="`max` (default), or a factor of real time; 1 with --gap-cap, --rate, --delay.")
    ] = None,
    gap_cap: Annotated[str, typer.Option(help="Longest gap between records, like 5s.", metavar="DURATION")] = "",
    rate: Annotated[str, typer.Option(help="Records per second instead of real gaps.", metavar="NUMBER")] = "",
    delay: Annotated[str, typer.Option(help="Time between records instead of real gaps.", metavar="DURATION")] = "",
    time_debt: Annotated[TimeDebt, typer.Option(help="What becomes of records that are late.")] = TimeDebt.catch_up,
    time_debt_limit: Annotated[
        str, typer.Option(help="How late is too late with `fail`; 5s unless set.", metavar="DURATION")
    ] = "",
    latency_threshold_ms: Annotated[str, typer.Option(help="Rows slower than this get an error line.")] = "20",
    log_timestamp: Annotated[LogTimestamp, typer.Option(help="Time in the logs.")] = LogTimestamp.event,
    fraction_unit: Annotated[
        FractionUnit | None, typer.Option(help="Read a plain fraction of a second as this unit.")
    ] = None,
    negative_latency: Annotated[NegativeLatency, typer.Option(help="Latencies below zero.")] = NegativeLatency.keep,
    min_latency_ms: Annotated[
        float | None, typer.Option(help="Declare a lower bound of every latency, which saves a scan.")
    ] = None,
    latency: Annotated[
        list[str] | None,
        typer.Option(help="Latency model, like offset:5ms; NAME=MODEL for one file. Repeat for more.", metavar="MODEL"),
    ] = None,
    unsorted: Annotated[Unsorted, typer.Option(help="Files sorted by neither time.")] = Unsorted.refuse,
    ticker: Annotated[list[str] | None, typer.Option(help="Only this ticker; repeat for more.")] = None,
    start: Annotated[str, typer.Option(help="First arrival time to replay.")] = "",
    end: Annotated[str, typer.Option(help="Arrival time to stop before.")] = "",
    redis_url: Annotated[str | None, typer.Option(help="Use this Redis instead of a private one.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue what DIR holds.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what DIR holds.")] = False,
    mids_csv: Annotated[bool, typer.Option("--mids-csv", help="Also write mid_prices.csv.")] = False,
    json: Json = False,
) -> None:
    """Replay files once, through the real servers, into mid_prices.log, errors.log and report.json."""
    from services.cli.environment import check_environment
    from services.cli.replay_command import ReplayRun, run_replay
    from services.cli.run_directory import RunDirectory

    if resume and overwrite:
        raise typer.BadParameter("--resume and --overwrite exclude each other")
    check_environment()
    paced = [name for name, given in (("--gap-cap", gap_cap), ("--rate", rate), ("--delay", delay)) if given]
    options = ReplayOptions(
        files=tuple(files),
        session=session or "default",
        speed=run_speed(speed, paced=paced, time_debt=time_debt.value),
        latency_threshold_ms=latency_threshold_ms,
        log_timestamp=log_timestamp.value,
        fraction_unit=fraction_unit.value if fraction_unit is not None else "",
        negative_latency=negative_latency.value,
        min_latency_ms=repr(min_latency_ms) if min_latency_ms is not None else "",
        latency=tuple(latency or ()),
        gap_cap=gap_cap,
        rate=rate,
        delay=delay,
        time_debt=time_debt.value,
        time_debt_limit=time_debt_limit,
        unsorted=unsorted.value,
        tickers=tuple(ticker or ()),
        start=start,
        end=end,
        mids_csv=mids_csv,
    )
    run = ReplayRun(options, RunDirectory(out), redis_url, resume=resume, overwrite=overwrite, as_json=json)
    raise typer.Exit(run_replay(run))


def rerun(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="A file that `midstream journal` wrote.")],
    out: Annotated[Path, typer.Option(help="Directory for the logs and the report.")] = Path("midstream-rerun"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what DIR holds.")] = False,
    json: Json = False,
) -> None:
    """Play what a session played, with every command where it took effect then; the logs have to come out the same."""
    from services.cli.environment import check_environment
    from services.cli.rerun_command import run_rerun

    check_environment()
    raise typer.Exit(run_rerun(journal, out, overwrite=overwrite, as_json=json))


def inspect(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Tick files or globs.")],
    fraction_unit: Annotated[FractionUnit | None, typer.Option(help="Read a plain fraction as this unit.")] = None,
    latency_threshold_ms: Annotated[float, typer.Option(help="Count rows slower than this.")] = 20.0,
    json: Json = False,
) -> None:
    """Read files through and tell what is in them; nothing is played."""
    from services.cli.inspect_command import run_inspect

    raise typer.Exit(run_inspect(files, fraction_unit is not None, latency_threshold_ms, as_json=json))


def whatif(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Tick files or globs; their order breaks ties.")],
    latency: Annotated[
        list[str] | None,
        typer.Option(help="Latency model; give two, or one to compare the files' own latencies with.", metavar="MODEL"),
    ] = None,
    latency_threshold_ms: Annotated[float, typer.Option(help="Ticks slower than this count as late.")] = 20.0,
    fraction_unit: Annotated[FractionUnit | None, typer.Option(help="Read a plain fraction as this unit.")] = None,
    ticker: Annotated[list[str] | None, typer.Option(help="Only this ticker; repeat for more.")] = None,
    start: Annotated[str, typer.Option(help="First arrival time to compare, as recorded.")] = "",
    end: Annotated[str, typer.Option(help="Arrival time to stop before, as recorded.")] = "",
    html: Annotated[Path | None, typer.Option(help="Write a page with plots, which needs no other file.")] = None,
    json: Json = False,
) -> None:
    """Compare two latency models: what changes its place, what comes too late, how stale mids are. Nothing is played."""
    from services.cli.whatif.command import WhatIfRun, run_whatif

    run = WhatIfRun(
        files=tuple(files),
        latencies=tuple(latency or ()),
        latency_threshold_ms=latency_threshold_ms,
        fraction_unit_us=fraction_unit is not None,
        tickers=tuple(ticker or ()),
        start=start,
        end=end,
        html=html,
        as_json=json,
    )
    raise typer.Exit(run_whatif(run))


def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The --out directory of a finished replay.")],
    against: Annotated[
        str,
        typer.Option(
            metavar="OTHER", help="Compare with another run (directory, report.json or order digest); reads no inputs."
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Recompute a replay from its files, slowly and independently, and compare it with what the replay left."""
    from services.cli.verify_command import run_verify

    raise typer.Exit(run_verify(run, against, as_json=json))


def merge_logs(
    directories: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Directories of partitions (p0, p1, ...), or those that hold them."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Write the merged logs here.")],
    json: Json = False,
) -> None:
    """Merge the logs of partitions into the pair that a session of one partition would have written."""
    from services.cli.merge_logs_command import run_merge_logs

    raise typer.Exit(run_merge_logs(directories, out, as_json=json))
