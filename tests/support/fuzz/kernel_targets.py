"""The kernels: text, JSON and batches, down to the lines of the logs."""

from __future__ import annotations

import contextlib
import math
from random import Random
from typing import Final

from fastpath import frame
from fastpath.columns import Block, Tickers
from fastpath.decode import Decoder, may_have_negative_field
from fastpath.header import Header, HeaderError
from fastpath.live import decode_live_frame
from fastpath.merge import Merger, sort_rows
from fastpath.midprice import PriceKernel
from fastpath.mids import MidFrame, select_mids
from fastpath.records import Cursor, FrameError, Marker, SourceCursor
from fastpath.rules import LatencyBoundBroken, NegativeLatency, UnsortedSource
from fastpath.survey import ArrivalTies, Survey
from fastpath.values import parse_latency, parse_number, parse_timestamp
from tests.reference.decode import Options, decode_file
from tests.reference.latency import AS_RECORDED, Model
from tests.support.fuzz.mutate import Mutator
from tests.support.fuzz.target import READ, REFUSED, Outcome, Target
from tests.support.latencies import SPREAD, kernel_model
from tests.unit.fastpath.decode_support import comparable, decode_with_kernel

ASSIGNMENT: Final = b"""index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency
0,2025-10-02 23:00:00.120000,BTC-USDT@BINANCE,1.5,61250.5,61250.4,2,12.25
1,2025-10-02 23:00:00.200000,"ETH, quoted",0.1,2500,2499.5,7,-0.5
2,2025-10-02T23:00:00.700Z,A,,nan,1e3,.5,0
3,1759446000123,A,1,-2,3,4,17.000001
"""
TARDIS: Final = b"""exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount
ex1,A,1759446000120000,1759446000130000,1,2.5,2.25,1
ex2,B,1759446000150000,1759446000150001,3,0.001,3.9e-08,4
"""
LIVE: Final = (
    b'{"index":1,"timestamp":"2025-10-02 23:59:57.290000","ticker":"SOL@BINANCE","ask_amount":1.5,"ask_price":201.5,'
    b'"bid_price":"201.25","bid_amount":null}',
    b'[{"index":1,"timestamp":1759446000123,"ticker":"A","ask_amount":1,"ask_price":NaN,"bid_price":2e-5,"bid_amount":3},'
    b'{"index":2,"timestamp":"2025-10-02T23:59:57Z","ticker":"B","ask_amount":1,"ask_price":4,"bid_price":3,"bid_amount":3}]',
)
_TEXT_TOKENS: Final = (
    b",", b"\n", b"\r\n", b'"', b'""', b",,", b"\xef\xbb\xbf", b"\0", b"latency", b"local_timestamp", b"2025-10-02 23:00:00",
    b"x" * 70_000, b"1677-09-21 00:12:43.145224193", b"2262-04-11 23:47:16.854775808", b"24:00:60",
)  # fmt: skip
_JSON_TOKENS: Final = (
    b'"ticker":', b"null", b"true", b"[]", b"{}", b'\\u0000', b"\\ud800", b'"', b"NaN", b"-Infinity", b",", b"]", b"}", b"[",
    b'"ticker":"C",', b"1E400", b"\xff\xfe",
)  # fmt: skip
_MODELS = (
    AS_RECORDED,
    AS_RECORDED,
    Model(factor=1e9, offset_ns=-1),
    Model(factor=0.0, offset_ns=-5_000_000, follows_file=False),
    Model(quantiles=SPREAD, seed=1, follows_file=False),
)
_THRESHOLD_NS: Final = 20_000_000


def _account(block: Block, *, mode: int) -> Outcome:
    """Take rows the whole way: into batches, out of them, and through the price kernel; nothing gets lost."""
    kernel = PriceKernel(latency_threshold_ns=_THRESHOLD_NS, with_csv=True)
    survey = Survey(latency_threshold_ns=_THRESHOLD_NS)
    survey.add(block)
    survey.rejections()
    ties = ArrivalTies()
    ties.add(block)
    in_order = Block(block.tickers)
    sort_rows(block, in_order)
    at, sequence = 0, 1
    while at < len(in_order):
        key = in_order.key(at) if mode == frame.MODE_LIVE else None
        encoded, rows, last = frame.encode_batch(
            in_order,
            at,
            len(in_order),
            epoch="e",
            mode=mode,
            first_sequence=sequence,
            sources=["s", "t", "u", "v"],
            last_key=key,
        )
        kernel.process(frame.TickFrame(encoded))
        _read_mids(kernel.take_mid_batch())
        at, sequence = at + rows, last + 1
    counts = kernel.counts
    rejected = counts.rejected
    assert counts.mids + counts.latency_filtered + counts.missing_side + rejected == len(block), (counts, len(block))
    assert kernel.take_mid_text().count(b"\n") == counts.mids
    assert kernel.take_error_text().count(b"\n") == len(block) - counts.mids
    kernel.take_csv_text()
    again = PriceKernel(latency_threshold_ns=_THRESHOLD_NS, with_csv=True, state=kernel.state())
    assert again.digest() == kernel.digest()
    return Outcome(len(block) - rejected, rejected)


def _read_mids(encoded: bytes) -> None:
    if encoded:
        mids = MidFrame(encoded)
        assert len(mids.mids()) == len(mids)


def text(content: bytes, rng: Random) -> Outcome:
    """A file of lines, in chunks of any size."""
    line, _, _ = content.partition(b"\n")
    try:
        header = Header(line[: 64 * 1024])
    except HeaderError:
        return REFUSED
    block = Block(Tickers())
    decoder = Decoder(
        header, block.tickers, source_rank=rng.randrange(4), offset=len(line) + 1, line=2,
        negative_latency=rng.choice(list(NegativeLatency)), shift_ns=rng.choice((0, 20_000_000)), check_order=rng.random() < 0.3,
        fraction_unit_us=rng.random() < 0.2, latency_bound_ns=-(1 << 62),
        only_tickers=rng.choice(((), (), ("A", "A@ex1"))), latency=kernel_model(rng.choice(_MODELS)),
    )  # fmt: skip
    held_from = held_to = min(len(content), len(line) + 1)
    stopped = False
    while not stopped:
        held_to = min(len(content), held_to + rng.choice((1, 60, 900, 20_000, 100_000)))
        final = held_to == len(content)
        try:
            used = decoder.feed(content[held_from:held_to], block, row_limit=rng.choice((1, 100, 1 << 40)), final=final)
        except (UnsortedSource, LatencyBoundBroken):
            break
        held_from += used
        stopped = final and used == 0
    else:
        assert held_from == len(content)
    may_have_negative_field(content, rng.choice((-1, 10, 44)))
    assert decoder.rejected == 0 or decoder.first_rejection is not None
    if rng.random() < 0.1:
        _assert_as_the_twin_says(content, rng.choice(_MODELS))
    outcome = _account(block, mode=frame.MODE_HISTORICAL)
    return Outcome(outcome.records + decoder.skipped, outcome.refused)


def _assert_as_the_twin_says(content: bytes, latency: Model) -> None:
    options = Options(check_order=False, latency=latency)
    decoded = comparable(decode_with_kernel(content, options))
    expected = comparable(decode_file(content, options))
    assert decoded == expected, (decoded, expected)


def live(payload: bytes, rng: Random) -> Outcome:
    """One websocket message."""
    block = Block(Tickers())
    only = rng.choice((None, None, frozenset({"A"})))
    left_out = decode_live_frame(
        payload, block, receive_time_ns=1_759_446_000_000_000_000, source_rank=1, frame_number=7, only_tickers=only
    )
    outcome = _account(block, mode=frame.MODE_LIVE)
    # An empty array has no objects; everything else is accounted for.
    assert outcome.records + outcome.refused + left_out > 0 or payload.strip(b" \t\r\n[]") == b""
    return Outcome(outcome.records + left_out, outcome.refused)


def tick_batch(payload: bytes, rng: Random) -> Outcome:
    """A batch of the queue."""
    with contextlib.suppress(FrameError):
        frame.peek(payload)
    with contextlib.suppress(FrameError):
        selected = frame.select_tickers(payload, rng.choice(((), ("A",), ("A", "B"))))
        if selected is not None:
            frame.TickFrame(selected)
    try:
        batch = frame.TickFrame(payload)
    except FrameError:
        return REFUSED
    assert len(batch.ticks()) == batch.tick_count
    frame.decode_cursor(batch.cursor)
    kernel = PriceKernel(latency_threshold_ns=_THRESHOLD_NS, log_arrival=True, with_csv=True)
    kernel.process(batch, after_sequence=rng.choice((0, batch.first_sequence)))
    _read_mids(kernel.take_mid_batch())
    kernel.take_mid_text(), kernel.take_error_text(), kernel.take_csv_text()
    return READ


def mid_batch(payload: bytes, rng: Random) -> Outcome:
    """A batch of mid prices."""
    with contextlib.suppress(FrameError):
        selected = select_mids(payload, rng.choice(((), ("A",), ("A", "B"))))
        if selected is not None:
            MidFrame(selected)
    try:
        batch = MidFrame(payload)
    except FrameError:
        return REFUSED
    assert len(batch.mids()) == len(batch)
    batch.latest()
    return READ


def cursor(payload: bytes, rng: Random) -> Outcome:
    """Where a reader continues."""
    try:
        found = frame.decode_cursor(payload)
    except FrameError:
        return REFUSED
    assert frame.decode_cursor(frame.encode_cursor(found)) == found
    return READ


def state(payload: bytes, rng: Random) -> Outcome:
    """What a price kernel stored."""
    try:
        kernel = PriceKernel(latency_threshold_ns=_THRESHOLD_NS, state=payload)
    except ValueError:
        return REFUSED
    kernel.digest()
    return READ


def run(payload: bytes, rng: Random) -> Outcome:
    """Rows that a merge put on disk, and what the disk gave back."""
    merger = Merger(Tickers(), 1)
    _decode_into(merger.pending(0), ASSIGNMENT)
    number = merger.add_run(merger.in_flight, oldest_rows={0: merger.oldest_row(0)})
    # A run of another merger is refused at once: what is broken is this one's own.
    spilled = Mutator([merger.spill(), payload]).make(rng)
    try:
        merger.feed_run(number, spilled, final=True)
        merger.take(Block(Tickers()), 100)
    except ValueError:
        return REFUSED
    return READ


def values(payload: bytes, rng: Random) -> Outcome:
    """One number, time or latency; of numbers Python's own reading is the judge."""
    spelled = payload.decode("utf-8", "replace")
    found = 0
    for parse in (parse_timestamp, parse_latency):
        try:
            parse(spelled)
            found += 1
        except ValueError:
            pass
    try:
        number = parse_number(spelled)
    except ValueError:
        return READ if found else REFUSED
    expected = float(spelled)
    assert number == expected or (math.isnan(number) and math.isnan(expected)), (number, expected)
    return READ


def _decode_into(block: Block, content: bytes) -> None:
    line, _, rows = content.partition(b"\n")
    decoder = Decoder(Header(line), block.tickers, source_rank=0, offset=len(line) + 1, line=2, check_order=False)
    decoder.feed(rows, block, row_limit=1 << 40, final=True)


def _spilled() -> bytes:
    merger = Merger(Tickers(), 1)
    _decode_into(merger.pending(0), ASSIGNMENT)
    return merger.spill()


def _batches() -> list[bytes]:
    block = Block(Tickers())
    _decode_into(block, ASSIGNMENT)
    block.append_rejection(arrival_time_ns=5, reason="no", raw=b"\xff")
    marker = Marker(kind=frame.MARKER_GAP, next_sequence=90, reason="lost", last_key=(1, 2, 3), first_key=(4, 5, 6))
    sources = frame.encode_cursor(Cursor(None, (SourceCursor(10, 2, 3, 4, 5, 0),)))
    made = []
    for mode in (frame.MODE_HISTORICAL, frame.MODE_LIVE):
        encoded, _, _ = frame.encode_batch(
            block, 0, len(block), epoch="epoch-1", mode=mode, first_sequence=7, sources=["s"], markers=[marker],
            cursor_sources=sources, last_key=(9, 0, 1), publish_time_ns=77,
        )  # fmt: skip
        made.append(encoded)
        filtered = frame.select_tickers(encoded, ("A",))
        made += [] if filtered is None else [filtered]
    return made


def _mid_batches() -> list[bytes]:
    kernel = PriceKernel(latency_threshold_ns=_THRESHOLD_NS)
    made = []
    for encoded in _batches():
        kernel.process(frame.TickFrame(encoded))
        made.append(kernel.take_mid_batch())
    return [each for each in made if each]


def _state() -> bytes:
    kernel = PriceKernel(latency_threshold_ns=_THRESHOLD_NS)
    kernel.process(frame.TickFrame(_batches()[0]))
    return kernel.state()


def kernel_targets() -> list[Target]:
    """Return every target of this module."""
    cursors = [frame.TickFrame(each).cursor for each in _batches()]
    numbers = [
        b"12.5",
        b"-3.9e-08",
        b"nan",
        b"2025-10-02 23:00:00.120000",
        b"1759446000123456789",
        b"2025-10-02D23:00:00+01:30",
    ]
    return [
        Target("csv", [ASSIGNMENT, TARDIS], text, _TEXT_TOKENS, share=6),
        Target("live-json", LIVE, live, _JSON_TOKENS, share=5),
        Target("tick-batch", _batches(), tick_batch, share=6),
        Target("mid-batch", _mid_batches(), mid_batch, share=3),
        Target("cursor", cursors, cursor),
        Target("price-state", [_state()], state),
        Target("spilled-run", [_spilled()], run),
        Target("values", numbers, values, (b"e", b".", b"-", b"+", b":", b"T", b"Z")),
    ]
