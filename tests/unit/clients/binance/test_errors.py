"""Every code and signal of the fact sheet's section on errors, and every row of the table."""

from __future__ import annotations

import re

import pytest

from clients.exchanges.binance.errors import TABLE, ban_end_ms
from clients.exchanges.error_table import ErrorRow, Signal
from clients.resilience.outcome import Outcome
from tests.support.contracts import SHEETS, made

O = Outcome  # noqa: E741  keeps the table below readable

GET, POST, DELETE = ("GET", "query_order"), ("POST", "place_order"), ("DELETE", "cancel_order")
FUTURES = ("usdm", "coinm")
ALL = ("spot", "usdm", "coinm")

CASES: list[tuple[tuple[str, ...], tuple[str, str], int, int | None, str, Outcome]] = [
    # Unknown outcome: sheet 6, first row.
    *[(("spot",), POST, status, None, "", O.UNKNOWN) for status in (500, 502, 503, 504, 599)],
    *[(("spot",), DELETE, status, None, "", O.UNKNOWN) for status in (500, 503)],
    *[(("spot",), GET, status, None, "", O.RETRYABLE) for status in (500, 502, 503, 504)],
    (("spot",), POST, 503, -1008, "Server is currently overloaded", O.UNKNOWN),
    (("spot",), POST, 400, -1008, "Server is currently overloaded", O.UNKNOWN),
    (("spot",), GET, 503, -1008, "Server is currently overloaded", O.THROTTLED),
    (FUTURES, POST, 503, -1008, "Request throttled by system-level protection.", O.THROTTLED),
    *[(ALL, POST, 400, code, "", O.UNKNOWN) for code in (-1006, -1007)],
    *[(ALL, GET, 400, code, "", O.RETRYABLE) for code in (-1006, -1007)],
    (ALL, POST, 408, None, "", O.UNKNOWN),
    (ALL, GET, 408, None, "", O.RETRYABLE),
    # The three texts of the futures' 503.
    (FUTURES, POST, 503, None, "Unknown error, please check your request or try again later.", O.UNKNOWN),
    (FUTURES, DELETE, 503, None, "Unknown error, please check your request or try again later.", O.UNKNOWN),
    (FUTURES, GET, 503, None, "Unknown error, please check your request or try again later.", O.RETRYABLE),
    (FUTURES, POST, 503, None, "Service Unavailable.", O.UNKNOWN),
    (FUTURES, DELETE, 503, None, "Service Unavailable.", O.MAINTENANCE),
    (FUTURES, GET, 503, None, "Service Unavailable.", O.MAINTENANCE),
    (FUTURES, POST, 503, None, "Internal error; unable to process your request. Please try again.", O.UNKNOWN),
    (FUTURES, DELETE, 503, None, "Internal error; unable to process your request. Please try again.", O.RETRYABLE),
    (FUTURES, GET, 503, None, "Internal error; unable to process your request. Please try again.", O.RETRYABLE),
    (FUTURES, POST, 503, None, "something new", O.UNKNOWN),
    (FUTURES, POST, 502, None, "", O.UNKNOWN),
    (FUTURES, GET, 502, None, "", O.RETRYABLE),
    # -1001: safe to re-send on futures, unknown on spot.
    (FUTURES, POST, 503, -1001, "Internal error; unable to process your request. Please try again.", O.RETRYABLE),
    (("spot",), POST, 500, -1001, "Internal error; unable to process your request. Please try again.", O.UNKNOWN),
    (("spot",), POST, 400, -1001, "Internal error; unable to process your request. Please try again.", O.UNKNOWN),
    (("spot",), GET, 500, -1001, "Internal error; unable to process your request. Please try again.", O.RETRYABLE),
    (("spot",), GET, 400, -1001, "Internal error; unable to process your request. Please try again.", O.RETRYABLE),
    # Limits.
    *[(ALL, action, status, None, "", O.THROTTLED) for action in (GET, POST, DELETE) for status in (418, 429, 403)],
    *[(ALL, POST, 429, code, "", O.THROTTLED) for code in (-1003, -1015)],
    *[(ALL, POST, 400, code, "", O.THROTTLED) for code in (-1003, -1015, -1034)],
    (ALL, GET, 418, -1003, "Way too many requests; IP banned until 1760000060000.", O.THROTTLED),
    # Clock.
    (ALL, POST, 400, -1021, "Timestamp for this request is outside of the recvWindow.", O.CLOCK),
    (ALL, GET, 400, -1021, "Timestamp for this request was 1000ms ahead of the server's time.", O.CLOCK),
    (FUTURES, POST, 400, -5028, "", O.CLOCK),
    # Keys and permissions.
    *[(ALL, POST, status, code, "", O.AUTH) for code in (-1002, -1022, -2014, -2015) for status in (400, 401)],
    (ALL, GET, 401, None, "", O.AUTH),
    (ALL, GET, 451, None, "", O.AUTH),
    # Requests that are wrong for good.
    *[(ALL, POST, 400, code, "", O.REJECTED) for code in range(-1130, -1099) if code != -1125],
    (ALL, POST, 400, -1013, "Filter failure: LOT_SIZE", O.REJECTED),
    *[(FUTURES, POST, 400, code, "", O.REJECTED) for code in (-4003, -4004, -4005, -4014, -4164)],
    # Refused by the engine.
    (("spot",), POST, 400, -2010, "Account has insufficient balance for requested action.", O.REJECTED),
    (("spot",), POST, 400, -2010, "Order would immediately match and take.", O.REJECTED),
    (("spot",), POST, 400, -2010, "Market is closed.", O.REJECTED),
    *[(FUTURES, POST, 400, code, "", O.REJECTED) for code in (-2019, -2021, -2022, -5021, -5022)],
    (("spot",), POST, 400, -2022, "Order cancel-replace failed.", O.REJECTED),
    (("spot",), POST, 409, -2021, "Order cancel-replace partially failed.", O.UNKNOWN),
    (ALL, POST, 409, None, "", O.UNKNOWN),
    # Duplicates.
    (("spot",), POST, 400, -2010, "Duplicate order sent.", O.DUPLICATE),
    (FUTURES, POST, 400, -4116, "ClientOrderId is duplicated", O.DUPLICATE),
    # Not found.
    *[(ALL, GET, 400, code, "", O.NOT_FOUND) for code in (-2013, -2026, -2039)],
    (ALL, DELETE, 400, -2011, "Unknown order sent.", O.NOT_FOUND),
    (FUTURES, ("PUT", "keep_listen_key"), 400, -1125, "This listenKey does not exist.", O.NOT_FOUND),
    # Amends.
    (
        ("spot",),
        ("PUT", "amend_order"),
        400,
        -2038,
        "The requested action would change no state; rejecting.",
        O.DUPLICATE,
    ),
    (("spot",), ("PUT", "amend_order"), 400, -2038, "Order quantity increase not supported.", O.REJECTED),
    (FUTURES, ("PUT", "amend_order"), 400, -5027, "No need to modify the order.", O.DUPLICATE),
    *[(FUTURES, ("PUT", "amend_order"), 400, code, "", O.REJECTED) for code in (-5024, -5025, -5026, -4120)],
    # What nobody has described.
    (ALL, POST, 400, -9999, "something new", O.REJECTED),
    (ALL, GET, 404, None, "", O.REJECTED),
    (ALL, POST, 302, None, "", O.UNKNOWN),
    (ALL, GET, 302, None, "", O.RETRYABLE),
    (ALL, POST, 200, -9999, "", O.UNKNOWN),
]


def _signals() -> list[tuple[Signal, Outcome]]:
    return [
        (
            Signal(market, operation, method == "GET", status, "" if code is None else str(code), text),
            outcome,
        )
        for markets, (method, operation), status, code, text, outcome in CASES
        for market in markets
    ]


def _name(signal: Signal) -> str:
    text = re.sub(r"\W+", "-", signal.text)[:24]
    return f"{signal.market}-{signal.operation}-{signal.status}{signal.code}-{text}".rstrip("-")


@pytest.mark.quick
@pytest.mark.parametrize(("signal", "outcome"), _signals(), ids=[_name(signal) for signal, _ in _signals()])
def test_every_signal_of_the_sheet_has_its_outcome(signal: Signal, outcome: Outcome) -> None:
    row = TABLE.row_of(signal)

    assert row.outcome is outcome, row.source


def test_every_row_decides_about_something() -> None:
    """A row that nothing reaches is either wrong or hidden by one above it."""
    used = [TABLE.row_of(signal) for signal, _ in _signals()]

    unused = [row for row in TABLE.rows if not any(row is found for found in used)]

    assert unused == []


@pytest.mark.parametrize("row", TABLE.rows, ids=lambda row: f"{row.code}{row.statuses or ''}-{row.outcome.value}")
def test_every_row_names_its_source(row: ErrorRow) -> None:
    assert re.match(r"sheet \d|RFC \d+|exchange's|a read|whatever", row.source)


KNOWN = {int(row.code) for row in TABLE.rows if row.code}
SHEET = SHEETS / "binance.md"


def _codes() -> set[int]:
    rows = made("binance/error_codes").plain
    return {code for first, last in rows for code in range(last, first + 1)}


def test_every_code_that_the_exchange_documents_is_in_the_table() -> None:
    assert len(_codes()) > 60
    assert _codes() - KNOWN == set()


if SHEET.exists():

    def test_the_codes_are_those_of_section_6_of_the_sheet() -> None:
        section = SHEET.read_text().split("## 6. Errors")[1].split("## 7.")[0]
        # The example of an error's body is an example of -1121, which stands in the table as well.
        codes = {int(code) for code in re.findall(r"(?<![\d.…])(-\d{4})(?!\d)", section)}
        for first, last in re.findall(r"(-\d{4})…(-\d{4})", section):
            codes |= set(range(int(last), int(first) + 1))

        assert codes == _codes()


def test_an_order_is_never_taken_for_undone_because_of_a_server_error() -> None:
    """Whatever a 5xx says about an order, it is unknown; only what the sheet documents as not executed may be repeated."""
    documented = {(market, code) for market in FUTURES for code in ("-1001", "-1008")}
    for market in ALL:
        for status in range(500, 600):
            for code in ("", "-1000", "-1001", "-1008", "-9999"):
                outcome = TABLE.row_of(Signal(market, "place_order", False, status, code)).outcome
                assert outcome is O.UNKNOWN or (market, code) in documented, (market, status, code, outcome)


@pytest.mark.parametrize(
    ("text", "end_ms"),
    [
        ("Way too much request weight used; IP banned until 1760000060000. Please use WebSocket", 1760000060000),
        ("Way too many requests; IP banned until 17600000.", None),
        ("Too many requests.", None),
    ],
)
def test_the_end_of_a_ban_is_read_from_its_text(text: str, end_ms: int | None) -> None:
    assert ban_end_ms(text) == end_ms
