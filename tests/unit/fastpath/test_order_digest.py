"""The order digest of PriceKernel, against its description in plain Python."""

from __future__ import annotations

import hashlib
import math
import re
import struct
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from fastpath.columns import Block, Tickers
from fastpath.frame import MARKER_GAP, MODE_HISTORICAL, TickFrame, encode_batch
from fastpath.midprice import PriceKernel
from fastpath.price_state import DIGEST_OF_BLOCKS, DIGEST_OF_RECORDS
from fastpath.records import Marker
from services.verify.order_digest import BLOCK_RECORDS, FirstOrderDigest
from tests.reference import frame as reference_frame
from tests.reference import midprice as reference
from tests.support.imports import ROOT
from tests.unit.fastpath.frame_support import seed_of_this_run

NEW_YEAR = 1_735_689_600 * 10**9  # 2025-01-01
MS = 1_000_000
THRESHOLD = 20 * MS
TICKERS = ("BTC", "ETH", "é", "x" * 100)

# What version 1 stored after a tick of BTC, a rejection and a tick of ETH, and its digest.
FIRST_STATE = bytes.fromhex(
    "4d53504b01000000010000000000000001000000000000000000000000000000010000000000000000000000000000000000000000000000"
    "00000000000000008096efc07e68161880c320c27e681618b77d8ded572de9feecba1847e74171747134dd16f34c9397d131fd9f39251a91"
    "40000000000000001d1880c320c27e6816180000000000006940000000000020694045544800000000000000000000000000000000000000"
    "0000000000000000000000000000000037fc39af"
)
FIRST_DIGEST = "8c7034ba844f89cc738454ccf831a2d70af3ef66e20963f843e2525e50e5f05e"


def kernel_of(state: bytes = b"") -> PriceKernel:
    return PriceKernel(latency_threshold_ns=THRESHOLD, with_mids=False, state=state)


def add_tick(block: Block, number: int, *, ticker: str = "BTC", bid_price: float = 200.0, late: bool = False) -> None:
    event_time_ns = NEW_YEAR + number * MS
    block.append_tick(
        ticker,
        event_time_ns=event_time_ns,
        arrival_time_ns=event_time_ns + (30 if late else 10) * MS,
        bid_price=bid_price,
        bid_amount=1.0,
        ask_price=201.0,
        ask_amount=1.0,
    )


def random_block(random: Random, rows: int) -> Block:
    block = Block(Tickers())
    for number in range(rows):
        if random.random() < 0.02:
            reason = random.choice(("bid_price: 'x' is no number", "bäd", ""))
            block.append_rejection(arrival_time_ns=NEW_YEAR, source_rank=0, row=number, reason=reason)
        else:
            price = random.choice((200.0, 200.5, math.nan, 0.0, -0.0, math.inf, random.random()))
            add_tick(block, number, ticker=random.choice(TICKERS), bid_price=price, late=random.random() < 0.3)
    return block


def encode(block: Block, start: int, stop: int, *, markers: Sequence[Marker] = ()) -> bytes:
    encoded, rows, _ = encode_batch(
        block, start, stop, epoch="e", mode=MODE_HISTORICAL, first_sequence=1, sources=["a.csv"], markers=markers
    )
    assert rows == stop - start
    return encoded


def digest_of(block: Block) -> str:
    kernel = kernel_of()
    kernel.process(TickFrame(encode(block, 0, len(block))))
    return kernel.digest()


def test_the_digest_is_what_its_description_says() -> None:
    # Spelled out for two records, as the page does; everything larger is left to the twin.
    block = Block(Tickers())
    add_tick(block, 0, ticker="é", bid_price=math.nan)
    block.append_rejection(arrival_time_ns=-5, source_rank=0, row=7, reason="bäd")

    def rounded(lane: int, word: int) -> int:
        lane = (lane + word * 0xC2B2AE3D27D4EB4F) % 2**64
        return (lane * 2**31 + lane // 2**33) % 2**64 * 0x9E3779B185EBCA87 % 2**64

    def words_of(*words: int) -> tuple[int, ...]:
        return tuple(word % 2**64 for word in words)

    def text_word(text: bytes) -> int:
        return int.from_bytes(hashlib.sha256(text).digest()[:8], "little")

    ask = int.from_bytes(struct.pack("<d", 201.0), "little")
    tick = words_of(NEW_YEAR, NEW_YEAR + 10 * MS, 0x7FF8000000000000, ask, text_word("\0é".encode()))
    rejection = words_of(-5, 7, 0, 0, text_word("\1bäd".encode()))
    lanes = [rounded(rounded(lane, tick[lane - 1]), rejection[lane - 1]) for lane in range(1, 6)]

    assert digest_of(block) == hashlib.sha256(struct.pack("<6Q", *lanes, 2)).hexdigest()
    assert kernel_of().digest() == hashlib.sha256(struct.pack("<6Q", 1, 2, 3, 4, 5, 0)).hexdigest()
    assert kernel_of().digest_version == DIGEST_OF_BLOCKS == 2


def test_batches_states_and_markers_make_no_difference() -> None:
    random = Random(seed_of_this_run())
    rows = 2 * BLOCK_RECORDS + 300
    block = random_block(random, rows)
    kernel, twin, done = kernel_of(), reference.PriceKernel(latency_threshold_ns=THRESHOLD), 0

    while done < rows:
        # Often to the very end of a block of the digest, and one record around it.
        to_edge = BLOCK_RECORDS - done % BLOCK_RECORDS + random.choice((-1, 0, 1))
        count = min(rows - done, 4000, max(1, random.choice((1, 77, 1500, to_edge))))
        markers = [Marker(kind=1, reason="does not count")] if random.random() < 0.2 else []
        encoded = encode(block, done, done + count, markers=markers)
        kernel.process(TickFrame(encoded))
        twin.process(reference_frame.decode(encoded))
        if random.random() < 0.5:
            kernel = kernel_of(kernel.state())
        done += count

    assert kernel.digest() == twin.digest()
    assert kernel.counts == twin.counts


def test_every_nan_counts_as_the_same() -> None:
    odd = struct.unpack("<d", bytes.fromhex("010000000000f4ff"))[0]
    one, other = Block(Tickers()), Block(Tickers())
    add_tick(one, 0, bid_price=math.nan)
    add_tick(other, 0, bid_price=odd)

    assert digest_of(one) == digest_of(other)


@pytest.mark.parametrize("change", ["swapped", "one bit of a price", "ticker", "missing", "twice"])
def test_another_sequence_of_records_has_another_digest(change: str) -> None:
    numbers = list(range(50))
    match change:
        case "swapped":
            numbers[20], numbers[21] = numbers[21], numbers[20]
        case "missing":
            del numbers[20]
        case "twice":
            numbers.insert(20, 20)
    block, changed = Block(Tickers()), Block(Tickers())
    for number in range(50):
        add_tick(block, number)
    for number in numbers:
        bid_price = math.nextafter(200.0, 201.0) if change == "one bit of a price" and number == 20 else 200.0
        add_tick(changed, number, ticker="ETH" if change == "ticker" and number == 20 else "BTC", bid_price=bid_price)

    assert digest_of(block) != digest_of(changed)


def test_a_tick_is_no_rejection() -> None:
    tick, rejection = Block(Tickers()), Block(Tickers())
    tick.append_tick(
        "7", event_time_ns=5, arrival_time_ns=7, bid_price=0.0, bid_amount=0.0, ask_price=0.0, ask_amount=0.0
    )
    rejection.append_rejection(arrival_time_ns=5, source_rank=0, row=7, reason="7")

    assert digest_of(tick) != digest_of(rejection)


def test_a_log_begun_with_the_first_version_goes_on_with_it() -> None:
    random = Random(seed_of_this_run())
    block = random_block(random, 300)
    order = FirstOrderDigest()
    order.add_tick(NEW_YEAR, NEW_YEAR + 10 * MS, 200.0, 201.0, "BTC")
    order.add_rejection(-5, 7, "bäd")
    order.add_tick(NEW_YEAR, NEW_YEAR + 30 * MS, 200.0, 201.0, "ETH")
    twin = reference.PriceKernel(latency_threshold_ns=THRESHOLD, order=order)
    kernel = kernel_of(FIRST_STATE)
    assert kernel.digest() == FIRST_DIGEST == twin.digest()
    assert kernel.counts == (1, 1, 0, 1, 0, 0, 0)

    for done in range(0, 300, 60):
        encoded = encode(block, done, done + 60)
        kernel.process(TickFrame(encoded))
        twin.process(reference_frame.decode(encoded))
        kernel = kernel_of(kernel.state())

    assert kernel.digest_version == DIGEST_OF_RECORDS == 1
    assert kernel.digest() == twin.digest()


def test_the_recipe_of_the_page_computes_it_from_the_stream() -> None:
    page = (ROOT / "docs" / "order_proof.md").read_text(encoding="utf-8")
    [recipe] = [each for each in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "def order_digest" in each]
    module: dict[str, Any] = {}
    exec(compile(recipe, "docs/order_proof.md", "exec"), module)
    random = Random(seed_of_this_run())
    block, kernel, payloads = random_block(random, BLOCK_RECORDS + 500), kernel_of(), []
    for done in range(0, len(block), 1000):
        kind = random.choice((1, MARKER_GAP))
        markers = [Marker(kind=kind, next_sequence=90 if kind == MARKER_GAP else 0)]
        payloads.append(encode(block, done, min(done + 1000, len(block)), markers=markers))

    for payload in payloads:
        kernel.process(TickFrame(payload))

    assert module["order_digest"](payloads) == kernel.digest()
