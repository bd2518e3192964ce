"""The readable twin of fastpath.merge: the same protocol with a list that is sorted again and again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from typing_extensions import Buffer

from fastpath.columns import Block, Tickers

if TYPE_CHECKING:
    from fastpath.columns import Key, RejectedRow, TickRow

Row: TypeAlias = "TickRow | RejectedRow"
BEFORE_EVERYTHING = -(2**63)


@dataclass
class Source:
    """A source or a spilled run: what may still come from it."""

    bound_ns: int = BEFORE_EVERYTHING
    last_row: int = 0
    finished: bool = False


@dataclass
class Run(Source):
    row_count: int = 0
    oldest_rows: Mapping[int, int] = field(default_factory=dict)
    rows_fed: int = 0
    last_key: Key | None = None


@dataclass(frozen=True)
class Held:
    """A row in memory, and which source or run brought it."""

    row: Row
    origin: int

    @property
    def key(self) -> Key:
        return self.row[0]


def append(into: Block, row: Row) -> None:
    """Append one row as `Block.to_rows` gives it."""
    arrival_time_ns, source_rank, number = row[0]
    if len(row) == 3:
        into.append_rejection(
            arrival_time_ns=arrival_time_ns, source_rank=source_rank, row=number, reason=row[1], raw=row[2]
        )
        return
    _, event_time_ns, ticker, bid_price, bid_amount, ask_price, ask_amount = row
    into.append_tick(
        ticker,
        arrival_time_ns=arrival_time_ns,
        event_time_ns=event_time_ns,
        bid_price=bid_price,
        bid_amount=bid_amount,
        ask_price=ask_price,
        ask_amount=ask_amount,
        source_rank=source_rank,
        row=number,
    )


class Merger:
    """Holds every row in one list; a row leaves when it arrives before the bound of every unfinished source and run."""

    def __init__(self, tickers: Tickers, source_count: int, *, resume_after: Key | None = None) -> None:
        self._sources = {number: Source() for number in range(source_count)}
        self._blocks = [Block(tickers) for _ in range(source_count)]
        self._held: list[Held] = []
        self._resume_after = resume_after
        self._runs_added = 0
        self.in_flight_max = 0

    @property
    def in_flight(self) -> int:
        return len(self._held) + sum(len(block) for block in self._blocks)

    def pending(self, rank: int) -> Block:
        return self._blocks[rank]

    def advance(self, rank: int, bound_ns: int, *, finished: bool = False) -> None:
        source = self._sources[rank]
        if source.finished:
            raise ValueError(f"source {rank} was finished already")
        self._admit(rank)
        source.bound_ns = max(source.bound_ns, bound_ns)
        source.finished = finished

    def laggard(self) -> int:
        unfinished = [(source.bound_ns, number) for number, source in self._sources.items() if not source.finished]
        return min(unfinished)[1] if unfinished else -1

    def take(self, into: Block, limit: int) -> int:
        if limit < 1:
            raise ValueError("`limit` must be at least 1")
        self._admit_all()
        bounds = [source.bound_ns for source in self._sources.values() if not source.finished]
        settled = [held for held in self._held if not bounds or held.key[0] < min(bounds)]
        # What a run brings was read before what the sources hold; the sort is stable.
        settled.sort(key=lambda held: (held.key, not self._is_run(held.origin)))
        settled = settled[:limit]
        for held in settled:
            if self._resume_after is None or held.key > self._resume_after:
                append(into, held.row)
        leaving = {id(held) for held in settled}
        self._held = [held for held in self._held if id(held) not in leaving]
        self._forget_consumed_runs()
        return len(settled)

    def oldest_row(self, rank: int) -> int:
        rows = [key[2] for key in map(_key_of, self._blocks[rank].to_rows())]
        rows += [held.key[2] for held in self._held if held.key[1] == rank]
        rows += [run.oldest_rows[rank] for run in self._runs() if rank in run.oldest_rows]
        return min(rows, default=-1)

    def spill(self) -> bytes:
        self._admit_all()
        rows = sorted(self._held, key=lambda held: (held.key, not self._is_run(held.origin)))
        self._held = []
        self._forget_consumed_runs()
        return "".join(_dump(held.row) + "\n" for held in rows).encode()

    def add_run(self, row_count: int, *, oldest_rows: dict[int, int]) -> int:
        number = len(self._blocks) + self._runs_added
        self._runs_added += 1
        oldest = {rank: row for rank, row in oldest_rows.items() if row >= 0}
        self._sources[number] = Run(row_count=row_count, oldest_rows=oldest)
        return number

    def feed_run(self, number: int, serialised: Buffer, *, final: bool) -> int:
        run = self._sources.get(number)
        if not isinstance(run, Run) or run.finished:
            raise ValueError(f"there is no unfinished run {number}")
        text = bytes(serialised)
        used = text.rfind(b"\n") + 1
        rows = [_load(line) for line in text[:used].splitlines()]
        keys = [row[0] for row in rows]
        if run.last_key is not None:
            keys.insert(0, run.last_key)
        fed = run.rows_fed + len(rows)
        if keys != sorted(keys) or fed > run.row_count or (final and (fed < run.row_count or used < len(text))):
            raise ValueError("the run is damaged")
        self._held += [Held(row, number) for row in rows]
        run.rows_fed = fed
        if keys:
            run.last_key = keys[-1]
            run.bound_ns = keys[-1][0]
        run.finished = final
        self._forget_consumed_runs()
        return used

    def _admit_all(self) -> None:
        for rank in range(len(self._blocks)):
            self._admit(rank)
        self.in_flight_max = max(self.in_flight_max, self.in_flight)

    def _admit(self, rank: int) -> None:
        source = self._sources[rank]
        for row in self._blocks[rank].to_rows():
            arrival_time_ns, source_rank, number = row[0]
            if source_rank != rank or number < source.last_row or arrival_time_ns < source.bound_ns:
                raise ValueError(f"row {number} of source {rank} breaks a promise")
            source.last_row = number
            self._held.append(Held(row, rank))
        self._blocks[rank].clear()

    def _is_run(self, number: int) -> bool:
        return number >= len(self._blocks)

    def _runs(self) -> list[Run]:
        return [source for source in self._sources.values() if isinstance(source, Run)]

    def _forget_consumed_runs(self) -> None:
        held = {row.origin for row in self._held}
        consumed = [
            number
            for number, source in self._sources.items()
            if self._is_run(number) and source.finished and number not in held
        ]
        for number in consumed:
            del self._sources[number]


def sort_rows(block: Block, into: Block) -> None:
    """Append the rows of `block` to `into` in total order."""
    if into is block:
        raise ValueError("`into` must be another block")
    for row in sorted(block.to_rows(), key=_key_of):
        append(into, row)


def _key_of(row: Row) -> Key:
    return row[0]


def _dump(row: Row) -> str:
    """One line of JSON, which spells every float so that it reads back as the same one."""
    return json.dumps([*row[:2], row[2].decode("latin-1")] if len(row) == 3 else row)


def _load(line: bytes) -> Row:
    try:
        key, second, *rest = json.loads(line)
        arrival_time_ns, source_rank, number = key
        place: Key = (arrival_time_ns, source_rank, number)
        if len(rest) == 1:
            return (place, second, rest[0].encode("latin-1"))
        ticker, bid_price, bid_amount, ask_price, ask_amount = rest
    except (ValueError, TypeError) as exc:
        raise ValueError("the run is damaged") from exc
    return (place, second, ticker, bid_price, bid_amount, ask_price, ask_amount)
