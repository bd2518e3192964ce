"""What fastpath.midprice does, in Python integers and without thought of speed."""

from __future__ import annotations

import csv
import io
import math
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from fastpath.frame import MODE_HISTORICAL
from fastpath.midprice import PriceCounts
from fastpath.records import Marker, Rejection
from protos.common.v1 import market_pb2
from services.verify.order_digest import FirstOrderDigest, OrderDigest
from tests.reference.frame import DecodedBatch, Tick

BEFORE_EVERYTHING = -(2**63)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LINE_ENDS = ("\u2028", "\u2029")


def format_mid(mid: float) -> str:
    """Spell a price."""
    return repr(mid)


def format_timestamp(time_ns: int) -> str:
    """Spell a time with 3, 6 or 9 digits, whichever is exact."""
    seconds, fraction = divmod(time_ns, 10**9)
    digits = f"{fraction:09d}"
    for useless in ("000000", "000"):
        if digits.endswith(useless):
            digits = digits.removesuffix(useless)
            break
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}.{digits}"


def format_latency(latency_ns: int) -> str:
    """Spell exact milliseconds."""
    text = f"{Decimal(latency_ns).scaleb(-6):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def escape(text: str) -> str:
    """Keep foreign text on one line."""
    return "".join(
        f"\\u{ord(c):04x}" if c in _LINE_ENDS else f"\\x{ord(c):02x}" if ord(c) < 32 or 127 <= ord(c) < 160 else c
        for c in text
    )


def missing_sides(bid: float, bid_amount: float, ask: float, ask_amount: float) -> list[str]:
    """Name the sides that are missing."""
    sides = (("bid", bid, bid_amount), ("ask", ask, ask_amount))
    return [name for name, price, amount in sides if not math.isfinite(price) or (price == 0 and amount == 0)]


def compute_mids(
    bid_price: Sequence[float],
    ask_price: Sequence[float],
    bid_amount: Sequence[float] | None = None,
    ask_amount: Sequence[float] | None = None,
) -> tuple[bytes, list[int]]:
    """Compute one mid after the other."""
    unknown = [math.nan] * len(bid_price)
    mids, missing = [], []
    rows = zip(bid_price, bid_amount or unknown, ask_price, ask_amount or unknown, strict=True)
    for i, (bid, bid_size, ask, ask_size) in enumerate(rows):
        mid = 0.5 * (bid + ask)
        if missing_sides(bid, bid_size, ask, ask_size) or not math.isfinite(mid):
            mid = math.nan
            missing.append(i)
        mids.append(mid)
    return struct.pack(f"<{len(mids)}d", *mids), missing


class PriceKernel:
    """The attributes of the kernel, as whole texts."""

    def __init__(
        self,
        *,
        latency_threshold_ns: int,
        log_arrival: bool = False,
        order: OrderDigest | FirstOrderDigest | None = None,
    ) -> None:
        self.threshold_ns = latency_threshold_ns
        self.log_arrival = log_arrival
        self.mid_text = ""
        self.error_text = ""
        self.csv_text = ""
        self.index = b""
        self._next_sequence = 0
        self.mid_batch = market_pb2.MidBatch()
        self.counts = PriceCounts(0, 0, 0, 0, 0, 0, 0)
        self.first_arrival_time_ns = BEFORE_EVERYTHING
        self.last_arrival_time_ns = BEFORE_EVERYTHING
        self._order = OrderDigest() if order is None else order

    def process(self, batch: DecodedBatch, *, after_sequence: int = 0) -> int:
        """Account for one record after the other."""
        self.mid_batch = market_pb2.MidBatch(
            epoch=batch.epoch,
            mode=batch.mode,  # type: ignore[arg-type]
            first_sequence=batch.first_sequence,
            last_sequence=batch.last_sequence,
        )
        records: list[tuple[int, Tick | Rejection | Marker]] = [(tick[0], tick) for tick in batch.ticks]
        records += [(record.sequence, record) for record in batch.rejections]
        records += [(record.sequence, record) for record in batch.markers]
        ties = dict(zip((tick[0] for tick in batch.ticks), batch.tie_order, strict=False))
        done = 0
        for sequence, record in sorted(records, key=lambda numbered: numbered[0]):
            if sequence <= after_sequence:
                continue
            done += 1
            if isinstance(record, Marker):
                self._count("markers")
                self._add_index(sequence, record.time_ns, record.kind, 2)
            elif isinstance(record, Rejection):
                self._reject(record)
                self._add_index(sequence, record.arrival_time_ns, record.tie_order, 1)
            else:
                mids = self.counts.mids
                self._price(record, batch.mode == MODE_HISTORICAL)
                self._add_index(sequence, record[3], ties.get(sequence, 0), int(self.counts.mids == mids))
        return done

    def digest(self) -> str:
        """Return the order digest."""
        return self._order.hexdigest()

    def _add_index(self, sequence: int, arrival_time_ns: int, tie_order: int, kind: int) -> None:
        if sequence != self._next_sequence or not self._next_sequence:
            self.index += struct.pack("<QQ", sequence, 3)
        self._next_sequence = (sequence + 1) % 2**64
        rank, row = divmod(tie_order, 2**48)
        place = tie_order if kind == 2 else rank * 2**46 + row
        self.index += struct.pack("<qQ", arrival_time_ns, (place * 4 + kind) % 2**64)

    def _count(self, *names: str) -> None:
        self.counts = self.counts._replace(**{name: getattr(self.counts, name) + 1 for name in names})

    def _reject(self, record: Rejection) -> None:
        self._count("rejected")
        self._order.add_rejection(record.arrival_time_ns, record.line, record.reason)
        self.error_text += f"Rejected {escape(record.source)}:{record.line}: {escape(record.reason)}\n"

    def _price(self, tick: Tick, historical: bool) -> None:
        sequence, ticker, event, arrival, bid, bid_amount, ask, ask_amount = tick
        self._order.add_tick(event, arrival, bid, ask, ticker)
        if self.first_arrival_time_ns == BEFORE_EVERYTHING:
            self.first_arrival_time_ns = arrival
        self.last_arrival_time_ns = arrival
        stamp = format_timestamp(arrival if self.log_arrival else event)
        latency = arrival - event
        missing = missing_sides(bid, bid_amount, ask, ask_amount)
        mid = 0.5 * (bid + ask)
        if historical and latency > self.threshold_ns:
            self._count("latency_filtered")
            late, limit = format_latency(latency), format_latency(self.threshold_ns)
            self.error_text += f"No mid price at {stamp} as latency {late}ms is bigger than {limit}ms\n"
        elif missing:
            self._count("missing_side")
            self.error_text += f"No mid price at {stamp} as {' and '.join(missing)} price is missing\n"
        elif not math.isfinite(mid):
            self._count("missing_side")
            self.error_text += f"No mid price at {stamp} as bid + ask is beyond the range of a float64\n"
        else:
            self._count("mids", *["crossed"] * (bid > ask), *["locked"] * (bid == ask))
            self.mid_text += f"{stamp}, {format_mid(mid)}\n"
            self._write_csv(format_timestamp(event), format_timestamp(arrival), ticker, sequence, mid)
            self._add_mid(ticker, sequence, event, arrival, mid)

    def _write_csv(self, event: str, arrival: str, ticker: str, sequence: int, mid: float) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow([event, arrival, ticker, sequence, format_mid(mid)])
        self.csv_text += line.getvalue()

    def _add_mid(self, ticker: str, sequence: int, event: int, arrival: int, mid: float) -> None:
        batch = self.mid_batch
        if ticker not in batch.tickers:
            batch.tickers.append(ticker)
        batch.ticker_index.append(list(batch.tickers).index(ticker))
        batch.sequence.append(sequence)
        batch.event_time_ns.append(event)
        batch.arrival_time_ns.append(arrival)
        batch.mid_price.append(mid)
