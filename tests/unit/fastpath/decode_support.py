"""Drive the kernel over whole files, and make files that are mostly good and sometimes broken."""

from __future__ import annotations

import math
import random
from typing import Any

from fastpath.columns import Block, Tickers
from fastpath.decode import Decoder
from fastpath.header import Header
from fastpath.rules import LatencyBoundBroken, NegativeLatency, UnsortedSource
from tests.reference.decode import Decoded, Options, decode_file
from tests.support.latencies import kernel_model

ASSIGNMENT = b"index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency"
TARDIS = b"exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount"


def make_decoder(content: bytes, tickers: Tickers, options: Options, **state: Any) -> Decoder:
    """Make a decoder that stands behind the header, or where `state` says."""
    header, _, _ = content.partition(b"\n")
    state = {"offset": len(header) + 1, "line": 2, **state}
    return Decoder(
        Header(header),
        tickers,
        source_rank=options.source_rank,
        fraction_unit_us=options.fraction_unit_us,
        start_time_ns=options.start_time_ns,
        end_time_ns=options.end_time_ns,
        only_tickers=options.only_tickers,
        negative_latency=NegativeLatency[options.negative_latency.upper()],
        shift_ns=options.shift_ns,
        latency_bound_ns=options.latency_bound_ns,
        check_order=options.check_order,
        latency=kernel_model(options.latency, rank=options.source_rank),
        in_partition=options.in_partition,
        rejections_elsewhere=options.rejections_elsewhere,
        **state,
    )


def state_of(decoder: Decoder) -> dict[str, int]:
    """What another decoder needs to continue."""
    return {
        "offset": decoder.offset,
        "line": decoder.line,
        "previous_arrival_time_ns": decoder.previous_arrival_time_ns,
        "previous_event_time_ns": decoder.previous_event_time_ns,
        "channel_arrival_time_ns": decoder.channel_arrival_time_ns,
        "skipped": decoder.skipped,
        "order": decoder.order,
    }


def decode_with_kernel(content: bytes, options: Options, chooser: random.Random | None = None) -> Decoded:
    """Decode a whole file: at once, or in chunks, row limits and restarts that `chooser` picks."""
    tickers = Tickers()
    block = Block(tickers)
    decoder = make_decoder(content, tickers, options)
    decoded = Decoded()
    held_from = held_to = decoder.offset
    while True:
        if chooser is None:
            held_to, row_limit = len(content), 2**40
        else:
            held_to = min(len(content), held_to + chooser.choice([0, 1, 7, 60, 900, 20_000]))
            row_limit = chooser.choice([1, 2, 100])
        final = held_to == len(content)
        try:
            held_from += decoder.feed(content[held_from:held_to], block, row_limit=row_limit, final=final)
        except (UnsortedSource, LatencyBoundBroken) as error:
            decoded.stopped_by = type(error).__name__
            # Tests compare the line with the twin's; the message must name the same one.
            decoded.line = error.line if f"line {error.line}: " in str(error) else -1
            break
        if final and held_from == held_to:
            break
        if chooser is not None and chooser.random() < 0.2:
            decoded.latency_ns_min = min(decoded.latency_ns_min, decoder.latency_ns_min)
            decoded.negative_latencies += decoder.negative_latencies
            decoded.elsewhere += decoder.elsewhere
            decoder = make_decoder(content, tickers, options, **state_of(decoder))
            held_from = decoder.offset
    decoded.rows = list(block.to_rows())
    decoded.skipped = decoder.skipped
    decoded.elsewhere += decoder.elsewhere
    decoded.line = decoded.line if decoded.stopped_by else decoder.line
    decoded.order = decoder.order
    decoded.latency_ns_min = min(decoded.latency_ns_min, decoder.latency_ns_min)
    decoded.negative_latencies += decoder.negative_latencies
    return decoded


def comparable(decoded: Decoded) -> tuple[Any, ...]:
    """Everything that both sides know, with NaN and -0.0 as text, so that they compare."""
    rows = [tuple(repr(item) if isinstance(item, float) else item for item in row) for row in decoded.rows]
    latency_ns_min = decoded.latency_ns_min
    return (
        rows,
        decoded.skipped,
        decoded.elsewhere,
        decoded.line,
        decoded.order,
        latency_ns_min,
        decoded.negative_latencies,
        decoded.stopped_by,
    )


NUMBER_TEXTS = (
    "200", "200.5", "0.001", "2.087e-05", "3.9E-08", "1e3", "+7", "-0", "-12.5", ".5", "5.", "0", "0.0", "", "nan", "NaN",
    " 12 ", "24.435913010256233", "123456789012345678", "0.30000000000000004", "9007199254740993", "1e22", "1e23", "1e-400",
    "4.9e-324", "1.7976931348623157e308", "99999999.99999999", "12345678.1", "1234567890.12345",
)  # fmt: skip
BAD_NUMBER_TEXTS = (
    "1_000", "inf", "-inf", "0x1p3", "1e999", "-1e400", "1e", "e5", ".", "+", "-", "--1", "1.2.3", "1,5", "１２", "1 2", "\x001",
    "123.4567.12", "1234567.8.", "12.34567.", "12345678..5", "1234567890.123.4", "12345678x", "1234567812345678x",
    "nan0", "+nan", "1e5.5", "1f", "\t1", "12345678901234567.1.2", "1" * 60 + "x",
)  # fmt: skip
TICKER_TEXTS = (
    b"BTC-USDT-SWAP@BINANCE",
    b"A",
    b"1000000MOG-USDT-SWAP@COINBASEINT",
    "köln@Ü".encode(),
    b"x" * 70,
    b"y" * 256,
    b" A ",
)
BAD_TICKERS = (b"y" * 257, b"", b"  ", b"\xff", b"A\0B", b"\xed\xa0\x80", b"\xe2\x82", b"\xc0\x80", b"\xf4\x90\x80\x80")


def random_time_text(chooser: random.Random, second: int) -> str:
    fraction = "".join(chooser.choices("0123456789", k=chooser.choice([0, 0, 3, 3, 6, 6, 9, 1, 8])))
    minute, second = divmod(second, 60)
    text = f"2025-10-02{chooser.choice('   TD')}23:{minute % 60:02d}:{second:02d}"
    return text + (f".{fraction}" if fraction else "") + chooser.choice(["", "", "", "", "Z", "+00:00", "-00", "+0000"])


def random_line(chooser: random.Random, tardis: bool, second: int) -> bytes:
    """One line that is good, before anything is done to it."""

    def number() -> str:
        return chooser.choice(NUMBER_TEXTS) if chooser.random() < 0.5 else repr(chooser.uniform(0, 10**5))

    def amount() -> str:
        return number().replace("-1", "1")

    ticker = chooser.choice(TICKER_TEXTS) if chooser.random() < 0.3 else b"T%d" % chooser.randrange(50)
    quote = ",".join((amount(), number(), number(), amount())).encode()
    if tardis:
        event = 1_759_446_000_000_000 + second * 10**6 + chooser.randrange(800_000)
        arrival = event + chooser.randrange(-20_000, 100_000)
        return b"ex%d,%s,%d,%d,%s" % (chooser.randrange(3), ticker, event, arrival, quote)
    latency = chooser.choice(["120", "1", "20.000001", repr(chooser.lognormvariate(3, 1)), "0", "-0.5", "1e2"])
    time_text = random_time_text(chooser, second).encode()
    return b"%d,%s,%s,%s,%s" % (second, time_text, ticker, quote, latency.encode())


def corrupted(chooser: random.Random, line: bytes) -> bytes:
    """A line with one thing done to it that a parser must survive."""
    fields = line.split(b",")
    position = chooser.randrange(len(fields))
    match chooser.randrange(12):
        case 0:
            return line[: chooser.randrange(len(line))]
        case 1:
            at = chooser.randrange(len(line))
            return line[:at] + bytes([chooser.randrange(256)]) + line[at + 1 :]
        case 2:
            fields[position] = chooser.choice(BAD_NUMBER_TEXTS).encode()
        case 3:
            fields[position] = chooser.choice(BAD_TICKERS)
        case 4:
            fields.insert(position, b"extra")
        case 5:
            del fields[position]
        case 6:
            fields[position] = b'"' + fields[position].replace(b'"', b'""') + b'"'
        case 7:
            fields[position] = b'"' + fields[position]
        case 8:
            return line + chooser.choice([b",", b",,", b", ,", b",x", b'"', b"\r", b" "])
        case 9:
            return chooser.choice([b"", b"\r", b"   ", b",", b",,,,,,,", b'"', b'""', b"-", b"\0"])
        case 10:
            return line + b"," * chooser.choice([70_000, 65_536 - len(line), 65_537 - len(line)])
        case _:
            fields[position] = chooser.choice(
                [
                    b"2025-13-01 00:00:00",
                    b"2025-02-29 00:00:00",
                    b"2024-02-29T24:00:00",
                    b"1588291201",
                    b"12345678901",
                    b"-5",
                ]
            )
    return b",".join(fields)


def random_content(seed: int, *, tardis: bool, line_count: int, broken_share: float, in_order: bool = True) -> bytes:
    """A file whose rows mostly keep the order that their layout promises."""
    chooser = random.Random(seed)
    lines = [TARDIS if tardis else ASSIGNMENT]
    second = 0
    for _ in range(line_count):
        second += chooser.choice([1, 1, 2, 40]) if in_order else chooser.choice([1, 1, 0, -1])
        line = random_line(chooser, tardis, max(second, 0) % 3600)
        if chooser.random() < broken_share:
            changed = corrupted(chooser, line)
            if not in_order or _times(lines[0], changed) in ([], _times(lines[0], line)):
                line = changed
        lines.append(line)
    line_end = chooser.choice([b"\n", b"\n", b"\r\n"])
    return chooser.choice([b"", b"\xef\xbb\xbf"]) + line_end.join(lines) + chooser.choice([b"", line_end])


def _times(header: bytes, line: bytes) -> list[tuple[object, object]]:
    """Arrival and event of a line's row when it is a good one."""
    rows = decode_file(header + b"\n" + line, Options(check_order=False)).rows
    return [(row[0], row[1]) for row in rows if len(row) > 3]


def same_float(left: float, right: float) -> bool:
    """Equal as bits, but for the payload of NaN."""
    return (math.isnan(left) and math.isnan(right)) or repr(left) == repr(right)
