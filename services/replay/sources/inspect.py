"""Report on recorded files: read everything, play nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fastpath.columns import Block, Tickers
from fastpath.survey import ArrivalTies, Survey
from fastpath.values import format_timestamp
from services.replay.sources.historical import HistoricalSource
from services.replay.sources.inputs import InputFile, open_inputs
from services.replay.sources.options import HistoricalOptions
from services.replay.sources.prescan import plan_latencies
from services.replay.sources.row_reader import LATENCY_BOUND_MIN, Damage, Reading, RowReader

READ_ROWS = 8192
TOP_TICKERS = 20
LATENCY_ERROR = "within 0.1 %; min and max are exact"


@dataclass(frozen=True)
class TimeSpan:
    """First and last time, as text and in UTC nanoseconds."""

    first: str
    last: str
    first_ns: int
    last_ns: int


@dataclass(frozen=True)
class LatencyFigures:
    """Latencies in milliseconds; percentiles are within 0.1 %, the ends are exact."""

    min: float
    p1: float
    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True)
class TickerRows:
    """A ticker and how many ticks it has."""

    ticker: str
    ticks: int


@dataclass(frozen=True)
class Rejected:
    """Lines that cannot be used, of one kind."""

    reason: str
    count: int
    first_lines: tuple[int, ...]
    """At most five. In a total they are lines of different files."""


@dataclass(frozen=True)
class OrderBroken:
    """The first line after which a file is sorted neither by event nor by arrival time."""

    line: int
    before: str
    now: str


@dataclass(frozen=True)
class Figures:
    """Figures of one file, or of all files together."""

    rows: int
    """As they were read; what the survey made of them is counted by itself."""
    ticks: int
    rejected: int
    ticker_count: int
    tickers: tuple[TickerRows, ...]
    """The busiest ones."""
    event_time: TimeSpan | None
    arrival_time: TimeSpan | None
    latency_ms: LatencyFigures | None
    over_threshold: int
    over_threshold_share: float
    negative_latency: int
    bid_missing: int
    ask_missing: int
    both_missing: int
    crossed: int
    locked: int
    event_ties: int
    """Ticks with the event time of the tick before them in their file."""
    rejections: tuple[Rejected, ...]


@dataclass(frozen=True)
class FileReport:
    """One file."""

    path: str
    bytes: int
    compressed: bool
    layout: str
    sorted_by: str
    """event, arrival, both or neither."""
    order_broken: OrderBroken | None
    needs_sorting: bool
    """Replaying it takes `--unsorted sort`."""
    damage: str
    remark: str
    """What is worth a word about the file's end; empty when nothing is."""
    figures: Figures


@dataclass(frozen=True)
class InspectReport:
    """All files. Arrival ties are counted over all of them, in arrival order."""

    files: tuple[FileReport, ...]
    total: Figures
    arrival_ties: int
    """Ticks with the arrival time of the tick before them."""
    largest_arrival_tie: int
    latency_threshold_ms: float
    latency_error: str = LATENCY_ERROR

    def to_dict(self) -> dict[str, object]:
        """Return JSON values under the names of the fields."""
        return asdict(self)


def inspect(
    paths: Sequence[str],
    *,
    fraction_unit_us: bool = False,
    latency_threshold_ms: float = 20.0,
    temp_dir: Path | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> InspectReport:
    """Read every file twice, once as it stands and once in arrival order, in memory that does not grow with the files.

    `on_progress` is told every so often how many rows were read since it was told last. Raises UnusableInput.
    """
    # A latency that is declared need not be looked for.
    options = HistoricalOptions(fraction_unit_us=fraction_unit_us, min_latency_ms=0.0)
    threshold_ns = round(latency_threshold_ms * 1e6)
    tickers = Tickers()
    total = Survey(latency_threshold_ns=threshold_ns)
    reports = []
    rows_read = 0
    inputs = open_inputs(paths)
    try:
        plans = plan_latencies(inputs, options, temp_dir)
        for opened, plan in zip(inputs, plans, strict=True):
            survey = Survey(latency_threshold_ns=threshold_ns)
            rows, row_count = _read(opened, tickers, options, survey, plan.scanned.damage, on_progress)
            rows_read += row_count
            total.absorb(survey)
            reports.append(_file_report(opened, survey, tickers, rows, row_count))
    finally:
        for opened in inputs:
            opened.close()
    figures = _figures(total, tickers, rows_read)
    unsorted = any(report.needs_sorting for report in reports)
    ties = _arrival_ties(paths, fraction_unit_us, total, unsorted, temp_dir, on_progress)
    return InspectReport(tuple(reports), figures, ties.ties, ties.largest, latency_threshold_ms)


def _read(
    opened: InputFile,
    tickers: Tickers,
    options: HistoricalOptions,
    survey: Survey,
    end: Damage | None,
    on_progress: Callable[[int], None] | None,
) -> tuple[RowReader, int]:
    content = opened.content
    rows = content.read(
        Reading(tickers, options, content.beginning, latency_bound_ns=LATENCY_BOUND_MIN, check_order=False, end=end)
    )
    block = Block(tickers)
    row_count = 0
    while not rows.finished:
        rows.feed(block, READ_ROWS)
        row_count += len(block)
        survey.add(block)
        if on_progress is not None:
            on_progress(len(block))
        block.clear()
    return rows, row_count


def _arrival_ties(
    paths: Sequence[str],
    fraction_unit_us: bool,
    total: Survey,
    unsorted: bool,
    temp_dir: Path | None,
    on_progress: Callable[[int], None] | None,
) -> ArrivalTies:
    spans = total.spans()
    lowest_ns = 0 if spans is None else min(0, spans[2][0])
    options = HistoricalOptions(
        fraction_unit_us=fraction_unit_us,
        # One nanosecond lower, because milliseconds as a float may round up.
        min_latency_ms=(lowest_ns - 1) / 1e6,
        unsorted="sort" if unsorted else "refuse",
    )
    source = HistoricalSource(paths, options, cache_dir=temp_dir, temp_dir=temp_dir)
    ties = ArrivalTies()
    block = Block(Tickers())
    try:
        source.open()
        while not source.poll(block, READ_ROWS).ended:
            ties.add(block)
            if on_progress is not None:
                on_progress(len(block))
            block.clear()
    finally:
        source.stop()
    return ties


def _file_report(opened: InputFile, survey: Survey, tickers: Tickers, rows: RowReader, row_count: int) -> FileReport:
    event_break, arrival_break, both_break = survey.breaks()
    names = {(False, False): "both", (False, True): "event", (True, False): "arrival", (True, True): "neither"}
    # A file that promises its arrival order may have any order of event times.
    broken = arrival_break if opened.content.by_arrival else both_break
    return FileReport(
        path=opened.name,
        bytes=opened.size,
        compressed=opened.content.compressed,
        layout=opened.content.layout,
        sorted_by=names[event_break is not None, arrival_break is not None],
        order_broken=_broken(broken),
        needs_sorting=broken is not None,
        damage=rows.damage,
        remark=rows.remark,
        figures=_figures(survey, tickers, row_count),
    )


def _broken(found: tuple[int, int, int] | None) -> OrderBroken | None:
    if found is None:
        return None
    line, before_ns, now_ns = found
    return OrderBroken(line, format_timestamp(before_ns), format_timestamp(now_ns))


def _figures(survey: Survey, tickers: Tickers, row_count: int) -> Figures:
    counts = survey.counts()
    ticks = counts.pop("ticks")
    event_ns, arrival_ns, latency_ns = survey.spans() or (None, None, None)
    latencies = None
    if latency_ns is not None:
        p1, p50, p90, p99 = (survey.latency_quantile(share) / 1e6 for share in (0.01, 0.5, 0.9, 0.99))
        latencies = LatencyFigures(latency_ns[0] / 1e6, p1, p50, p90, p99, latency_ns[1] / 1e6)
    by_rows = sorted(survey.ticker_rows().items(), key=lambda item: (-item[1], tickers.name(item[0])))
    rejections = sorted(survey.rejections(), key=lambda kind: (-kind[1], kind[0]))
    return Figures(
        rows=row_count,
        ticks=ticks,
        ticker_count=len(by_rows),
        tickers=tuple(TickerRows(tickers.name(number), rows) for number, rows in by_rows[:TOP_TICKERS]),
        event_time=_span(event_ns),
        arrival_time=_span(arrival_ns),
        latency_ms=latencies,
        over_threshold_share=counts["over_threshold"] / ticks if ticks else 0.0,
        rejections=tuple(Rejected(*kind) for kind in rejections),
        **counts,
    )


def _span(span_ns: tuple[int, int] | None) -> TimeSpan | None:
    if span_ns is None:
        return None
    first_ns, last_ns = span_ns
    return TimeSpan(format_timestamp(first_ns), format_timestamp(last_ns), first_ns, last_ns)
