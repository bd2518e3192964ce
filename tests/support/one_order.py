"""Readers over all partitions of real sessions, and what they have to see: the stream of one partition over the same files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

from clients.rpc.following import Lost, Missed, Start
from clients.rpc.records import Tick, records_of
from clients.rpc.replay import ReplayClient
from protos.common.v1.market_pb2 import Marker, PartitionPosition, Rejection, TickBatch
from services.runtime.session.partitions import Partitioning

PATIENCE_S: Final = 60.0
BASE: Final = "2026-01-01 00:00:{second:02}.{millisecond:03}000"


def write_files(folder: Path, spread: Partitioning, *, seed: int, files: int = 3, rows: int = 3_000) -> list[Path]:
    """Write twenty seconds of ticks: many of one arrival time within and across files, some late, some lines that cannot be
    read, and next to none of the last partition.
    """
    random = Random(seed)
    names = [f"T{number}" for number in range(40)]
    usual = [name for name in names if spread.of_ticker(name) < spread.count - 1]
    rare = [name for name in names if spread.of_ticker(name) == spread.count - 1]
    paths = []
    for number in range(files):
        paths.append(folder / f"source{number}.csv")
        with paths[-1].open("w", encoding="ascii") as file:
            file.write("index,timestamp,ticker,bid_price,bid_amount,ask_price,ask_amount,latency\n")
            for row in range(rows):
                if random.random() < 0.01:
                    file.write(f"{row},not a row\n")
                    continue
                second, millisecond = divmod(row * 20_000 // rows // 10 * 10, 1000)
                ticker = random.choice(rare if random.random() < 0.003 else usual)
                bid = "" if random.random() < 0.02 else f"{random.randrange(10_000)}.25"
                stamp = BASE.format(second=second, millisecond=millisecond)
                file.write(
                    f"{row},{stamp},{ticker},{bid},1.0,{number}{row}.75,1.0,{random.choice((5, 5, 5, 15, 95))}\n"
                )
    return paths


def value_of(record: Tick | Rejection | Marker) -> str:
    """Show all of a record but its number, which a seek shifts, and where it stands among ties, which one partition does not tell."""
    if isinstance(record, Tick):
        sides = record.bid_price, record.bid_amount, record.ask_price, record.ask_amount
        return f"{record.mode} {record.ticker} {record.event_time_ns} {record.arrival_time_ns} {sides}"
    if isinstance(record, Rejection):
        return f"rejected {record.arrival_time_ns} {record.source} {record.line} {record.reason} {record.raw!r}"
    return f"marker {Marker.Kind.Name(record.kind)}"


class Reader:
    """Follows a session in a thread until it is closed, as the Python client does it."""

    def __init__(self, address: str, start: Start, *, session: str = "") -> None:
        self.records: list[tuple[int, str]] = []
        """Number and value, in the order in which they came."""
        self.arrivals: list[tuple[int, int]] = []
        """Of every tick: its arrival time, and when it came here."""
        self.positions: dict[int, tuple[PartitionPosition, ...]] = {}
        """Behind how many records a batch told where it leaves the partitions."""
        self.troubles: list[Lost | Missed] = []
        self.longest_s = 0.0
        """The longest time without a batch, once there was one."""
        self._failure: BaseException | None = None
        self._closed = False
        self._client = ReplayClient(address)
        self._session = session
        self._thread = threading.Thread(target=self._read, args=(start,), name="reader")
        self._thread.start()

    def _read(self, start: Start) -> None:
        last_s: float | None = None
        try:
            for found in self._client.ticks(start, session=self._session):
                if self._closed:
                    return
                if not isinstance(found, TickBatch):
                    self.troubles.append(found)
                    continue
                now_s = time.monotonic()
                self.longest_s = max(self.longest_s, 0.0 if last_s is None else now_s - last_s)
                last_s = now_s
                self._take(found)
        except BaseException as exc:  # noqa: BLE001  whatever it is, `wait` raises it
            if not self._closed:
                self._failure = exc

    def _take(self, batch: TickBatch) -> None:
        time_ns = time.time_ns()
        for record in records_of(batch):
            if isinstance(record, Tick):
                self.arrivals.append((record.arrival_time_ns, time_ns))
            self.records.append((record.sequence, value_of(record)))
        if batch.positions:
            self.positions[len(self.records)] = tuple(batch.positions)

    @property
    def values(self) -> list[str]:
        return [value for _, value in self.records]

    @property
    def missed(self) -> list[Missed]:
        return [trouble for trouble in self.troubles if isinstance(trouble, Missed)]

    def wait(self, count: int, *, timeout_s: float = PATIENCE_S) -> list[tuple[int, str]]:
        """Wait until so many records have come; return all of them."""
        self.wait_until(lambda: len(self.records) >= count, what=f"{count} records", timeout_s=timeout_s)
        return list(self.records)

    def wait_until(self, condition: Callable[[], bool], *, what: str, timeout_s: float = PATIENCE_S) -> None:
        """Poll until it holds."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if self._failure is not None:
                raise self._failure
            assert time.monotonic() < deadline_s, f"{len(self.records)} records came, not {what}; {self.troubles}"
            time.sleep(0.005)

    def close(self) -> None:
        """End it."""
        self._closed = True
        self._client.__exit__(None, None, None)
        self._thread.join(10)


@contextmanager
def reading(address: str, start: Start, *, session: str = "") -> Iterator[Reader]:
    """Follow a session for the length of a block."""
    reader = Reader(address, start, session=session)
    try:
        yield reader
    finally:
        reader.close()


def partition_of(value: str, spread: Partitioning, files: Sequence[Path]) -> int:
    """Return where a record is published whose value is shown."""
    words = value.split(" ")
    if words[0] == "rejected":
        return spread.of_source([str(path) for path in files].index(words[2]))
    return spread.of_ticker(words[1])
