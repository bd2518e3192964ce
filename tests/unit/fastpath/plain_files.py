"""Files of mostly plain lines, which are decoded many at a time: what each spelling of the kernel makes of them.

Run as a module it prints one digest for each file and way of feeding it, and feeds from buffers between pages that may not be touched.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import random
import sys
from collections.abc import Iterator

from fastpath.columns import Block, Tickers
from tests.reference.decode import Options
from tests.unit.fastpath.decode_support import ASSIGNMENT, TARDIS, comparable, decode_with_kernel, make_decoder

SEEDS = range(12)
OPTIONS = (
    Options(latency_bound_ns=-(2**62)),
    Options(check_order=False, fraction_unit_us=True),
    Options(
        check_order=False,
        negative_latency="shift",
        shift_ns=1_000_000,
        only_tickers=("BTC-USDT-SWAP@OKEX", "A", "ab@ex"),
    ),
)
ODD_OPTIONS = Options(check_order=False)
FIRST_US = 1_759_446_000_000_000  # 2025-10-02 23:00:00
NAMES = (
    "BTC-USDT-SWAP@OKEX",
    "BTC-USDT-SWAP@BYBIT",
    "A",
    "ab",
    "1234567",
    "12345678",
    "123456789",
    "x" * 56,
    "y" * 57,
    " A ",
)
ODD_NUMBERS = (
    "0", "0.0", "00012.50", "5.", ".5", ".", "", "nan", "-1", "+1", "1e3", "1.2.3", "12:4", "12/4", "1 2", "1\r", "9" * 15, "9" * 16,
    "4503599627370495", "4503599627370496", "9007199254740992", "9007199254740993", "1234567890.12345", "123456789012345.",
    "12345678.12345678", "0.123456789012345678", "1" * 33, ".123456789012345", "1.2" + "0" * 40,
)  # fmt: skip
ODD_FRACTIONS = ("", ".", ".1", ".12345678", ".123456789", ".1234567890", ".12:", "Z", ".5Z", "ZZ", ".25+00:00", ":00", ".1.2")  # fmt: skip
ODD_TIMES = (
    *("2025-10-02 23:00:05" + fraction for fraction in ODD_FRACTIONS), "2025-10-02 23:00:5", "2025-10-02 23:00:5.25",
    "2025-10-02 23:00:60.5",
    "2025-10-02 23:00:59.999999999", "2025-10-02 23:00:005", "2025-10-02 22:59:05.5", "1970-01-01 00:00:05.5", "2025-10-02 23:00:",
    "1759446000000001", "11759446000000001", "175944600000001", "17594460000000.1", "0759446000000001",
    "9214646399999999", "9214646400000000",
    "9999999999999999", "1759446000000001Z", "1759446000000.01", "1759446000000000001", "2025-10-02 23:00:05.5Z5", " 2025-10-02 23:00:05",
)  # fmt: skip


def plain_content(seed: int, *, tardis: bool, line_count: int = 120, odd_share: float = 0.04) -> bytes:
    """A file in the order of its times, whose lines begin at every offset of a block."""
    chooser = random.Random(seed)
    end = chooser.choice(["\n", "\n", "\r\n"])
    # Extra columns in front and behind: other places for all others.
    header = (b"note," if seed % 2 else b"") + (TARDIS if tardis else ASSIGNMENT) + (b",last" if seed % 3 == 0 else b"")
    columns = header.decode().split(",")
    lines, at_us = [header.decode()], FIRST_US
    name = NAMES[0]
    for _ in range(line_count):
        at_us += chooser.randrange(1, 1_500_000)
        if chooser.random() < 0.2:
            name = chooser.choice(NAMES)
        fields = {
            "note": "n" * chooser.randrange(70),
            "index": str(chooser.randrange(10 ** chooser.randrange(1, 12))),
            "ticker": name,
            "symbol": name,
            "exchange": chooser.choice(["ex", "ex", "binance-futures"]),
            "timestamp": str(at_us) if tardis else _written(chooser, at_us, chooser.random() < odd_share),
            "local_timestamp": str(at_us + 1500),
            "latency": chooser.choice(["18.358", "7", "120.000001", "8.77254744091654", "18.35809226389158"]),
            "last": chooser.choice(["", "z", "z-1"]),
        }
        for column in ("ask_amount", "ask_price", "bid_price", "bid_amount"):
            fields[column] = f"{chooser.uniform(0.0001, 10 ** chooser.randrange(1, 7)):.{chooser.randrange(9)}f}"
        if chooser.random() < odd_share:
            fields[chooser.choice(columns)] = chooser.choice(ODD_NUMBERS)
        line = ",".join(fields[column] for column in columns)
        if chooser.random() < odd_share:
            line = chooser.choice(
                [line + ",", line + ",x", line.replace(",", "", 1), '"' + line, line + '"', "", " ", "," * 9, line * 60]
            )
        lines.append(line)
    return end.join(lines).encode() + chooser.choice([b"", end.encode()])


def odd_content(*, tardis: bool) -> bytes:
    """A file with every odd text in every column once, between plain lines."""
    header = TARDIS if tardis else ASSIGNMENT
    lines = [header]
    for column in range(header.count(b",") + 1):
        for odd in (*ODD_NUMBERS, *ODD_TIMES, *NAMES):
            for fields in (_plain_fields(tardis, len(lines)), _plain_fields(tardis, len(lines) + 1)):
                fields[column] = odd if len(lines) % 2 else fields[column]
                lines.append(",".join(fields).encode())
    # Lines of every length: from some on they are more than is looked at together.
    for size in range(20, 300):
        for fields in (_plain_fields(tardis, len(lines)), _plain_fields(tardis, len(lines) + 1)):
            column = size % 2 * (len(fields) - 1) if not tardis else 0
            fields[column] = ("0" if column else "7") * size + ("18.358" if column else "")
            lines.append(",".join(fields).encode())
    # More marks in a block than most processors write at once.
    for count in range(20, 70):
        lines += [b"," * count, b"\n" * (count - 19), ",".join(_plain_fields(tardis, len(lines))).encode()]
    return b"\n".join(lines)


def _plain_fields(tardis: bool, number: int) -> list[str]:
    at_us = FIRST_US + number * 10_007
    if tardis:
        return ["ex", "ab", str(at_us), str(at_us + 1500), "1.5", "2.25", "2.125", "4"]
    text = f"2025-10-02 23:{number % 3600 // 60:02d}:{number % 60:02d}.{number:06d}"
    return [str(number), text, "A", "1.5", "2.25", "2.125", "4", "18.358"]


def _written(chooser: random.Random, at_us: int, odd: bool) -> str:
    minutes, second_us = divmod(at_us - FIRST_US, 60_000_000)
    text = f"2025-10-02{'T' if minutes % 3 == 2 else ' '}23:{minutes:02d}:{second_us // 1_000_000:02d}"
    if odd:
        return text + chooser.choice(ODD_FRACTIONS)
    fraction_us = second_us % 1_000_000
    return text + chooser.choice([f".{fraction_us:06d}", f".{fraction_us:06d}Z", f".{fraction_us * 1000:09d}"])


def decoded_digests() -> Iterator[str]:
    """What becomes of every file, decoded at once and in chunks."""
    for seed in SEEDS:
        for tardis in (False, True):
            content, options = plain_content(seed, tardis=tardis), OPTIONS[seed % len(OPTIONS)]
            for chunks in (None, random.Random(seed)):
                yield digest_of(comparable(decode_with_kernel(content, options, chunks)))
    for tardis in (False, True):
        yield digest_of(comparable(decode_with_kernel(odd_content(tardis=tardis), ODD_OPTIONS)))


def feeds_of(content: bytes, buffer: memoryview, row_limit: int) -> list[object]:
    """Rows and places after every feed of a buffer with the lines of a file."""
    tickers = Tickers()
    decoder, block = make_decoder(content, tickers, Options(check_order=False)), Block(tickers)
    used = 0
    places: list[tuple[int, ...]] = []
    while True:
        count = decoder.feed(buffer[used:], block, row_limit=row_limit)
        if count == 0:
            return [repr(list(block.to_rows())), places]
        used += count
        places.append((used, decoder.line, decoder.offset, decoder.rejected))


def boundary_digests() -> Iterator[str]:
    """Chunks that end, and begin, at every offset of some blocks, between guard pages."""
    guarded = GuardedPages()
    for tardis in (False, True):
        content = plain_content(4, tardis=tardis, line_count=30, odd_share=0.0)
        header, _, lines = content.partition(b"\n")
        for size in range(len(lines) - 200, len(lines)):
            for placed in (guarded.at_begin(lines[:size]), guarded.at_end(lines[:size])):
                yield digest_of(feeds_of(header + b"\n", placed, row_limit=1000))
        for row_limit in (1, 2, 7):
            yield digest_of(feeds_of(header + b"\n", guarded.at_end(lines), row_limit))


def digest_of(result: object) -> str:
    """A short text that is another one for another result."""
    return hashlib.sha256(repr(result).encode()).hexdigest()[:16]


class GuardedPages:
    """Memory with a page in front of it and one behind it that nothing may be read from."""

    def __init__(self, page_count: int = 8) -> None:
        page = mmap.PAGESIZE
        self._pages = mmap.mmap(-1, (page_count + 2) * page)
        self._inside = memoryview(self._pages)[page:-page]
        begin = ctypes.addressof(ctypes.c_char.from_buffer(self._pages))
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for guard in (begin, begin + (page_count + 1) * page):
            if protect(guard, page, 0) != 0:
                raise OSError(ctypes.get_errno(), "mprotect")

    def at_begin(self, content: bytes) -> memoryview:
        """Place bytes right behind the first guard."""
        self._inside[: len(content)] = content
        return self._inside[: len(content)]

    def at_end(self, content: bytes) -> memoryview:
        """Place bytes right in front of the last guard."""
        start = len(self._inside) - len(content)
        self._inside[start:] = content
        return self._inside[start:]


if __name__ == "__main__":
    sys.stdout.write("\n".join([*decoded_digests(), *boundary_digests()]))
