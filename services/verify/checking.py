"""One run recomputed from its inputs and held against what it left behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

from services.verify.logs import Log
from services.verify.order_digest import FirstOrderDigest, OrderDigest
from services.verify.ordering import ordered
from services.verify.outcome import Outcome, of_rejection, of_tick
from services.verify.reading import Lines, Record
from services.verify.run import COUNTS, Run, read_models
from services.verify.sources import records, source_name
from services.verify.spelling import csv_field, format_timestamp

BLOCK_RECORDS = 65_536
"""What is told about at a time where the run kept no proofs."""
SHOWN_MAX = 300
"""Of a line that differs."""
CSV_HEADER = "timestamp,arrival,ticker,sequence,mid\n"


@dataclass(frozen=True)
class Block:
    """Records `first`..`last`: whether they are what the run says they are, and the digest after them."""

    first: int
    last: int
    digest: str
    is_proven: bool
    """The run left a digest of its own to compare with; without, only its lines were."""
    difference: str
    """What is the first thing that differs; empty: nothing."""


@dataclass(frozen=True)
class Verdict:
    """What came of it."""

    records: int
    blocks: int
    digest: str
    differences: tuple[str, ...]
    """The first one of each kind; none: the run is what it says it is."""
    mid_prices_sha256: str
    errors_sha256: str
    """Of the logs as they have to be."""


def check(run: Run, on_block: Callable[[Block], None], *, temp_dir: Path | None = None) -> Verdict:
    """Recompute everything; tell `on_block` of each block. Raises Unreadable, NotVerifiable."""
    with ExitStack() as stack:
        return _Check(run, on_block, stack).run(temp_dir)


class _Check:
    def __init__(self, run: Run, on_block: Callable[[Block], None], stack: ExitStack) -> None:
        self._run = run
        self._on_block = on_block
        out = run.directory
        self._mids = stack.enter_context(Log(out / "mid_prices.log"))
        self._errors = stack.enter_context(Log(out / "errors.log"))
        self._csv = stack.enter_context(Log(out / "mid_prices.csv")) if run.with_csv else None
        self._digest = OrderDigest() if run.claims.digest_version == 2 else FirstOrderDigest()
        self._every = run.claims.every or BLOCK_RECORDS
        self._sources = [source_name(one.name) for one in run.inputs]
        self._counts: Counter[str] = Counter()
        self._differences: list[str] = []
        self._block_differences: list[str] = []
        self._is_off = False
        """A proof differed: all that follow do, too."""

    def run(self, temp_dir: Path | None) -> Verdict:
        run = self._run
        lines = [Lines() for _ in run.inputs]
        files = [
            records(one.name, rank, run.options, lines[rank], model)
            for rank, (one, model) in enumerate(zip(run.inputs, read_models(run), strict=True))
        ]
        number = blocks = 0
        if self._csv is not None:
            self._csv.expect(CSV_HEADER)
        for number, record in enumerate(ordered(chain.from_iterable(files), temp_dir=temp_dir), 1):
            self._take(number, record)
            if number % self._every == 0:
                blocks += 1
                self._end_block(number - self._every + 1, number, is_last=False)
        if number % self._every:
            blocks += 1
            self._end_block(number - number % self._every + 1, number, is_last=True)
        self._end(number, lines)
        return Verdict(
            records=number,
            blocks=blocks,
            digest=self._digest.hexdigest(),
            differences=tuple(self._differences),
            mid_prices_sha256=self._mids.hexdigest(),
            errors_sha256=self._errors.hexdigest(),
        )

    def _take(self, number: int, record: Record) -> None:
        run = self._run
        if record.is_tick:
            quote = record.quote
            self._digest.add_tick(record.event_ns, record.arrival_ns, quote.bid_price, quote.ask_price, record.text)
            outcome = of_tick(
                record.event_ns, record.arrival_ns, quote, threshold_ns=run.threshold_ns, log_arrival=run.log_arrival
            )
        else:
            self._digest.add_rejection(record.arrival_ns, record.called, record.text)
            outcome = of_rejection(self._sources[record.rank], record.called, record.text)
        self._counts[outcome.kind] += 1
        if outcome.also:
            self._counts[outcome.also] += 1
        is_mid = outcome.kind == "mids"
        self._compare(self._mids if is_mid else self._errors, outcome.line, number, record)
        if is_mid and self._csv is not None:
            self._compare(self._csv, _csv_line(number, record, outcome), number, record)

    def _compare(self, log: Log, line: str, number: int, record: Record) -> None:
        found = log.expect(line)
        if found is not None:
            self._block_differences.append(
                f"sequence {number:,}, key ({record.arrival_ns}, {record.rank}, {record.line}), "
                f"{self._run.inputs[record.rank].name}:{record.line}: {log.name} line {log.lines:,} has to be "
                f"{_shown(line)} and {f'is {_shown(found)}' if found else 'is not there'}"
            )

    def _end_block(self, first: int, last: int, *, is_last: bool) -> None:
        claims, digest = self._run.claims, self._digest.hexdigest()
        place = last // self._every - 1
        known = (
            claims.digest if is_last else claims.proofs[place] if claims.every and place < len(claims.proofs) else ""
        )
        if known and known != digest and not self._is_off:
            self._is_off = True
            if not self._block_differences:
                self._block_differences.append(
                    f"records {first:,} to {last:,}: the digest behind them has to be {digest} and the report has {known}, although "
                    "every line of the logs is right: a time, a price or a ticker that no line shows differs"
                )
        self._differences += self._block_differences
        difference = self._block_differences[0] if self._block_differences else ""
        self._block_differences.clear()
        self._on_block(Block(first, last, digest, bool(known), difference))

    def _end(self, number: int, lines: list[Lines]) -> None:
        claims, digest = self._run.claims, self._digest.hexdigest()
        for log in (self._mids, self._errors, self._csv):
            if log is not None and log.has_more():
                self._differences.append(f"{log.name} goes on behind line {log.lines:,}, where it has to end")
        if claims.digest != digest and not self._is_off:
            self._differences.append(f"order_digest has to be {digest} and the report has {claims.digest}")
        if claims.every and len(claims.proofs) != number // self._every:
            self._differences.append(
                f"the report has {len(claims.proofs):,} proofs, and {number:,} records have {number // self._every:,} of them"
            )
        expected = self._counts | {"rows_in": number, "skipped": sum(one.skipped for one in lines)}
        for name in COUNTS:
            if claims.counts[name] != expected.get(name, 0):
                self._differences.append(
                    f"{name} has to be {expected.get(name, 0):,} and the report has {claims.counts[name]:,}"
                )
        self._differences += _about_lines(self._run, lines)


def _about_lines(run: Run, lines: list[Lines]) -> Iterator[str]:
    for one, counted, claimed in zip(run.inputs, lines, run.claims.sources, strict=False):
        right = asdict(counted)
        # A run that was resumed counted the lines that its last part read.
        is_whole = claimed.get("first_line") == 1
        wrong = [name for name in right if is_whole and (claimed.get(name) or 0) != right[name]]
        if wrong:
            said = ", ".join(f"{name} {right[name]:,} and not {claimed[name]:,}" for name in wrong)
            yield f"{one.name}: of its lines there are {said}"


def _csv_line(number: int, record: Record, outcome: Outcome) -> str:
    mid = outcome.line.rstrip("\n").rpartition(", ")[2]
    times = f"{format_timestamp(record.event_ns)},{format_timestamp(record.arrival_ns)}"
    return f"{times},{csv_field(record.text)},{number},{mid}\n"


def _shown(line: str) -> str:
    return repr(line if len(line) <= SHOWN_MAX else line[:SHOWN_MAX] + "...")
