"""Batches of ticks for tests of what reads the queue, and the logs that they must give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from fastpath.columns import Block, Tickers
from fastpath.frame import MODE_HISTORICAL, TickFrame, encode_batch, peek
from fastpath.midprice import PriceKernel
from fastpath.records import Marker

NAN = float("nan")
START_NS = 1_735_689_600_000_000_000
THRESHOLD_NS = 20_000_000
TICKERS = ("BTC-USDT@BINANCE", "ETH-USDT@BINANCE", "SOL-USDT-SWAP@OKX", 'EL,"M1"@EEX')


@dataclass(frozen=True)
class Batch:
    """An encoded TickBatch."""

    first_sequence: int
    last_sequence: int
    payload: bytes


def make_block(rows: int, *, seed: int, start_ns: int = START_NS) -> Block:
    """Fill a block with ticks of several kinds and a few rejections, in arrival order."""
    random = Random(seed)
    block = Block(Tickers())
    arrival_ns = start_ns
    for row in range(rows):
        arrival_ns += random.choice((0, 1_000, 1_000_000, 3_500_123))
        if random.random() < 0.01:
            block.append_rejection(arrival_time_ns=arrival_ns, row=row + 2, reason="bad price", raw=b"x,\x1b[0m,y")
            continue
        mid = round(random.uniform(1e-5, 70_000), random.choice((1, 3, 8)))
        side = random.random()
        block.append_tick(
            random.choice(TICKERS),
            arrival_time_ns=arrival_ns,
            event_time_ns=arrival_ns - random.choice((1_000_000, 19_999_999, 20_000_000, 20_000_001, 120_000_000)),
            bid_price=NAN if side < 0.02 else mid,
            bid_amount=1.0,
            ask_price=NAN if 0.01 < side < 0.03 else mid * 1.0001,
            ask_amount=2.5,
            row=row + 2,
        )
    return block


def make_batches(
    rows: int,
    *,
    seed: int = 1,
    rows_per_batch: int = 100,
    epoch: str = "epoch-1",
    mode: int = MODE_HISTORICAL,
    first_sequence: int = 1,
    markers: Sequence[Marker] = (),
    cursor_sources: bytes = b"",
    start_ns: int = START_NS,
) -> list[Batch]:
    """Encode random rows as consecutive batches; `markers` go into the first one."""
    block = make_block(rows, seed=seed, start_ns=start_ns)
    batches: list[Batch] = []
    start, pending = 0, tuple(markers)
    while start < rows or pending:
        payload, encoded, last_sequence = encode_batch(
            block,
            start,
            min(rows, start + rows_per_batch),
            epoch=epoch,
            mode=mode,
            first_sequence=first_sequence,
            sources=["ticks.csv"],
            markers=pending,
            cursor_sources=cursor_sources,
            publish_time_ns=START_NS,
        )
        batches.append(Batch(first_sequence, last_sequence, payload))
        start, first_sequence, pending = start + encoded, last_sequence + 1, ()
    return batches


def marker_batch(marker: Marker, *, sequence: int, epoch: str = "epoch-1") -> Batch:
    """Encode a batch that holds one marker and nothing else."""
    payload, _, last_sequence = encode_batch(
        Block(Tickers()),
        0,
        0,
        epoch=epoch,
        mode=MODE_HISTORICAL,
        first_sequence=sequence,
        sources=[],
        markers=(marker,),
    )
    return Batch(sequence, last_sequence, payload)


@dataclass(frozen=True)
class Logs:
    """The content of the three files of a sink."""

    mids: bytes
    errors: bytes
    csv: bytes


def expected_logs(batches: Sequence[Batch], *, threshold_ns: int = THRESHOLD_NS) -> Logs:
    """Return the logs of an undisturbed run."""
    kernel = PriceKernel(latency_threshold_ns=threshold_ns, with_csv=True, with_mids=False)
    for batch in batches:
        kernel.process(TickFrame(batch.payload))
    return Logs(kernel.take_mid_text(), kernel.take_error_text(), kernel.take_csv_text())


def last_sequence(payload: bytes) -> int:
    """Return the last sequence of an encoded TickBatch."""
    return peek(payload).last_sequence
