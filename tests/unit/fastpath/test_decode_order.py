"""Order as a decoder learns it, policies and filters, and the place of rejections."""

import pytest

from fastpath.columns import Block, Tickers
from fastpath.decode import Decoder
from fastpath.rules import LatencyBoundBroken, UnsortedSource
from tests.reference.decode import AFTER_EVERYTHING, BEFORE_EVERYTHING, Options, decode_file
from tests.unit.fastpath.decode_support import ASSIGNMENT, TARDIS, make_decoder

QUICK = pytest.mark.quick
START_NS = 1_735_689_600 * 10**9
MS = 10**6
PLAIN = Options()


def rows_of(*event_and_latency_ms: tuple[int, float] | None) -> bytes:
    """Lines of the assignment layout; None is an unusable one."""
    lines = [ASSIGNMENT]
    for pair in event_and_latency_ms:
        event_ms, latency_ms = pair or (0, "bad")
        lines.append(f"0,2025-01-01 00:00:{event_ms // 1000:02d}.{event_ms % 1000:03d},A,1,1,1,1,{latency_ms}".encode())
    return b"\n".join(lines) + b"\n"


def tardis_rows_of(*event_and_arrival_ms: tuple[int, int]) -> bytes:
    start_us = START_NS // 1000
    lines = [
        f"ex,A,{start_us + event * 1000},{start_us + arrival * 1000},1,1,1,1" for event, arrival in event_and_arrival_ms
    ]
    return TARDIS + b"\n" + "\n".join(lines).encode()


def feed(content: bytes, options: Options = PLAIN) -> tuple[Decoder, list[int | None], Exception | None]:
    """Decode a file at once; give its arrivals in ms since the start, None for those before everything, and what stopped it."""
    tickers = Tickers()
    decoder, block, stopped_by = make_decoder(content, tickers, options), Block(tickers), None
    try:
        decoder.feed(content[decoder.offset :], block, row_limit=1000, final=True)
    except (UnsortedSource, LatencyBoundBroken) as error:
        stopped_by = error
    twin = decode_file(content, options)
    assert block.to_rows() == twin.rows
    assert type(stopped_by).__name__ == (twin.stopped_by or "NoneType")
    arrivals = [row[0][0] for row in block.to_rows()]
    return decoder, [None if at == BEFORE_EVERYTHING else (at - START_NS) // MS for at in arrivals], stopped_by


def bound_ms(decoder: Decoder) -> float:
    return (decoder.bound_ns - START_NS) / MS


@QUICK
def test_a_file_sorted_by_event_time_is_bounded_by_its_last_event() -> None:
    decoder, arrivals, _ = feed(rows_of((0, 120), (200, 1), (700, 10)))

    assert arrivals == [120, 201, 710]
    assert (decoder.order, bound_ms(decoder), decoder.latency_ns_min) == (0, 700, MS)


@QUICK
def test_the_printed_example_of_the_task_gives_its_order_when_fractions_are_microseconds() -> None:
    content = rows_of((0, 120), (200, 1), (700, 10))

    _, plain, _ = feed(content)
    _, as_printed, _ = feed(content, Options(fraction_unit_us=True))

    assert sorted(range(3), key=lambda i: plain[i] or 0) == [0, 1, 2]
    assert sorted(range(3), key=lambda i: as_printed[i] or 0) == [1, 2, 0]


@QUICK
def test_a_file_sorted_by_arrival_only_is_bounded_by_its_last_arrival() -> None:
    decoder, arrivals, stopped_by = feed(rows_of((100, 10), (90, 30), (95, 40)))

    assert arrivals == [110, 120, 135]
    assert stopped_by is None
    assert (decoder.order, bound_ms(decoder)) == (1, 135)


@QUICK
@pytest.mark.parametrize(
    ("rows", "kind", "now", "before"),
    [
        (((100, 50), (110, 10), (105, 20)), "event", "00:00:00.105000000", "00:00:00.110000000"),
        (((100, 10), (90, 30), (95, 10)), "arrival", "00:00:00.105000000", "00:00:00.120000000"),
    ],
    ids=["event after arrival", "arrival after event"],
)
def test_a_file_sorted_by_neither_is_refused_after_its_good_rows(
    rows: tuple[tuple[int, float], ...], kind: str, now: str, before: str
) -> None:
    decoder, arrivals, stopped_by = feed(rows_of(*rows))

    assert len(arrivals) == 2
    assert isinstance(stopped_by, UnsortedSource)
    assert stopped_by.line == decoder.line == 4
    message = str(stopped_by)
    assert message.startswith(
        f"line 4: {kind} time 2025-01-01 {now} is before 2025-01-01 {before} of the row before it"
    )
    assert "`--unsorted sort`" in message


@QUICK
def test_a_tardis_file_is_bounded_by_its_last_arrival_whatever_its_events_do() -> None:
    decoder, arrivals, stopped_by = feed(tardis_rows_of((50, 100), (20, 110), (60, 110)))

    assert (arrivals, stopped_by) == ([100, 110, 110], None)
    assert bound_ms(decoder) == 110


@QUICK
def test_a_tardis_file_whose_arrival_goes_back_is_refused_even_when_events_are_sorted() -> None:
    _, arrivals, stopped_by = feed(tardis_rows_of((50, 100), (60, 99)))

    assert arrivals == [100]
    assert isinstance(stopped_by, UnsortedSource)
    assert "arrival time" in str(stopped_by)


def test_clamping_does_not_make_an_arrival_sorted_tardis_file_look_unsorted() -> None:
    options = Options(negative_latency="clamp")

    decoder, arrivals, stopped_by = feed(tardis_rows_of((500, 100), (110, 120), (130, 140)), options)

    assert (arrivals, stopped_by) == ([500, 120, 140], None)
    assert bound_ms(decoder) == 140


def test_a_file_in_any_order_is_read_without_a_check_and_without_a_bound() -> None:
    decoder, arrivals, stopped_by = feed(rows_of((100, 50), (10, -20), (105, 0), (5, 5)), Options(check_order=False))

    assert (arrivals, stopped_by) == ([150, -10, 105, 10], None)
    assert (decoder.order, decoder.bound_ns) == (3, BEFORE_EVERYTHING)


@QUICK
def test_a_latency_below_the_declared_bound_stops_at_its_row() -> None:
    decoder, arrivals, stopped_by = feed(rows_of((0, -2.5), (10, -3)), Options(latency_bound_ns=-2_500_000))

    assert arrivals == [-3]  # -2.5 ms, rounded down
    assert isinstance(stopped_by, LatencyBoundBroken)
    assert stopped_by.line == decoder.line == 3
    assert "latency -3.0 ms" in str(stopped_by)
    assert "bound of -2.5 ms" in str(stopped_by)
    assert "`--min-latency-ms`" in str(stopped_by)


@QUICK
@pytest.mark.parametrize(
    ("options", "arrivals", "bound"),
    [
        (Options(latency_bound_ns=-5 * MS), [5, 30, 35], 25),
        (Options(negative_latency="clamp"), [10, 30, 35], 30),
        (Options(negative_latency="shift", shift_ns=5 * MS), [10, 35, 40], 30),
    ],
    ids=["keep", "clamp", "shift"],
)
def test_negative_latencies_follow_the_policy_and_are_counted(
    options: Options, arrivals: list[int], bound: int
) -> None:
    decoder, actual, _ = feed(rows_of((10, -5), (30, 0), (30, 5)), options)

    assert actual == arrivals
    assert (decoder.negative_latencies, decoder.latency_ns_min, bound_ms(decoder)) == (1, -5 * MS, bound)


@QUICK
@pytest.mark.parametrize("policy", ["keep", "clamp", "shift"])
def test_a_rejection_stands_at_the_arrival_of_the_last_good_row(policy: str) -> None:
    options = Options(negative_latency=policy, latency_bound_ns=-50 * MS, shift_ns=MS)

    _, arrivals, _ = feed(rows_of(None, (100, 20), None, None, (105, -50), None), options)

    shift = options.shift_ns // MS if policy == "shift" else 0
    last = 105 if policy == "clamp" else 55 + shift
    assert arrivals == [None, 120 + shift, 120 + shift, 120 + shift, last, last]


@QUICK
def test_rows_outside_the_window_and_of_other_tickers_are_skipped_but_keep_order_and_place() -> None:
    options = Options(start_time_ns=START_NS + 120 * MS, end_time_ns=START_NS + 200 * MS)

    decoder, arrivals, _ = feed(rows_of(None, (100, 19), None, (101, 19), None, (199, 0), (200, 0), None), options)

    assert arrivals == [120, 120, 199]
    assert decoder.skipped == 5
    assert bound_ms(decoder) == 200

    decoder, arrivals, _ = feed(rows_of((100, 19), None, (101, 19)), Options(only_tickers=["B"]))
    assert (arrivals, decoder.skipped) == ([119], 2)


def test_a_bound_of_a_decoder_that_has_seen_nothing_or_was_resumed() -> None:
    tickers, content = Tickers(), rows_of((0, 1))
    resumed = {"previous_arrival_time_ns": START_NS + 7, "previous_event_time_ns": START_NS + 3}

    assert make_decoder(content, tickers, Options()).bound_ns == BEFORE_EVERYTHING
    assert make_decoder(content, tickers, Options(latency_bound_ns=-2), **resumed).bound_ns == START_NS + 1
    assert make_decoder(content, tickers, Options(), order=1, **resumed).bound_ns == START_NS + 7
    assert (
        make_decoder(
            content, tickers, Options(latency_bound_ns=BEFORE_EVERYTHING), **{**resumed, "previous_event_time_ns": -5}
        ).bound_ns
        == BEFORE_EVERYTHING
    )
    assert make_decoder(content, tickers, Options()).latency_ns_min == AFTER_EVERYTHING


@QUICK
def test_reject_stands_at_the_current_place_and_counts_a_line() -> None:
    tickers, content = Tickers(), rows_of((100, 20))
    decoder, block = make_decoder(content, tickers, Options(source_rank=4)), Block(tickers)
    decoder.reject(block, "too early")
    decoder.feed(content[decoder.offset :], block, row_limit=9)

    decoder.reject(block, "the compressed data ends too early", b"r" * 5000)

    rows = block.to_rows()
    assert rows[0] == ((BEFORE_EVERYTHING, 4, 2), "too early", b"")
    assert rows[2] == ((START_NS + 120 * MS, 4, 4), "the compressed data ends too early", b"r" * 1024)
    assert (decoder.line, decoder.offset) == (5, len(content))
