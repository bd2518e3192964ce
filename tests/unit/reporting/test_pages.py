"""Small parts of the dashboard: numbers, addresses, guards, exports."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.reporting.engine.report import Selection, natural_key
from services.reporting.web.exports.columns import safe
from services.reporting.web.format import clock, day_name, number, signed, unrounded
from services.reporting.web.guard import Guard
from services.reporting.web.http import BadQuery, Request, answer_of, parsed, send_answer
from services.reporting.web.query import Address


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10.2", "10.20"), ("9", "9.00"), ("-0.005", "-0.01"), ("12345.678", "12\u2009345.68"), ("1234.5", "1\u2009234.50"), ("0", "0.00"),
    ],
    ids=["one-digit", "whole", "half-up", "grouped", "thousands", "nothing"],
)  # fmt: skip
def test_numbers_have_exactly_two_digits(value: str, text: str) -> None:
    shown = number(Decimal(value))

    assert (shown.text, shown.exact) == (text, value)


@pytest.mark.parametrize(
    ("value", "text", "direction"),
    [
        ("0.4", "+0.40", "up"),
        ("-3.2", "-3.20", "down"),
        ("0", "0.00", "even"),
        ("0.001", "+<0.01", "up"),
        ("-0.004", "-<0.01", "down"),
        ("-1234567.891", "-1\u2009234\u2009567.89", "down"),
    ],
    ids=["won", "lost", "even", "won-a-little", "lost-a-little", "millions"],
)
def test_a_result_always_shows_its_sign(value: str, text: str, direction: str) -> None:
    shown = signed(Decimal(value))

    assert (shown.text, shown.direction) == (text, direction)


def test_what_a_deal_says_is_shown_with_all_its_digits() -> None:
    assert [unrounded(Decimal(value)) for value in ("3", "3.3", "3.3333", "-0.025", "12000.5")] == [
        "3.00", "3.30", "3.3333", "-0.025", "12\u2009000.50",
    ]  # fmt: skip


def test_times_are_local() -> None:
    assert clock(1_760_000_000_000_000_000) == "10:53:20"
    assert day_name("2025-10-09") == "Thu 9 Oct 2025"


def test_traders_are_in_natural_order() -> None:
    names = ["flex_trader_10", "flex_trader_2", "trader_1", "a", "2", "10", ""]

    assert sorted(names, key=natural_key) == ["", "2", "10", "a", "flex_trader_2", "flex_trader_10", "trader_1"]


def test_an_address_says_what_it_was_read_from() -> None:
    query = (
        b"trader=flex_trader_1&market=EPEX&day=2025-10-09&hours=all&past=shown&quarters=all&show=positions"
        b"&open=2025-10-10.08%3A00-08%3A15"
    )

    address = Address.read(parsed(query))

    assert address.selection == Selection("flex_trader_1", "2025-10-09", all_hours=True, market="EPEX")
    assert (address.past, address.quarters, address.positions) == (True, True, True)
    assert address.text.encode() == query


def test_any_trader_name_survives_the_address() -> None:
    for name in ("<script>", "a&b=c", "\u00fc \u2603", "%2e", "=1+1"):
        text = Address().with_selection(trader=name).text
        assert Address.read(parsed(text.encode())).selection.trader == name


@pytest.mark.parametrize(
    "query",
    [
        b"day=2025-13-01",
        b"day=yesterday",
        b"open=2025-10-09",
        b"open=2025-03-30.02-03",
        b"trader=" + b"x" * 129,
        b"market=" + b"x" * 129,
        b"x" * 3000,
        b"trader=%ff",
    ],
    ids=["month", "word", "no-hour", "skipped-hour", "long-name", "long-market", "long", "no-text"],
)
def test_an_unusable_address_is_refused_with_a_sentence(query: bytes) -> None:
    with pytest.raises(BadQuery) as caught:
        Address.read(parsed(query))

    assert len(str(caught.value)) < 200


def ask(path: str = "/", method: str = "GET", **headers: str) -> Request:
    sent = {"host": "localhost:8081"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, path, b"", {name.encode(): value.encode() for name, value in sent.items()})


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (ask(), None),
        (ask(method="HEAD"), None),
        (ask(host="127.0.0.1:8081"), None),
        (ask(host="[::1]:8081"), None),
        (ask(host="desk.example:8081"), None),
        (ask(method="POST"), 405),
        (ask(method="DELETE"), 405),
        (ask(host="evil.example"), 421),
        (ask(host="localhost.evil.example:8081"), 421),
        (ask(host=""), 421),
        (ask(origin="http://localhost:8081"), None),
        (ask(origin="http://evil.example"), 403),
        (ask(origin="null"), 403),
        (ask(origin="http://localhost:9999"), 403),
        (ask(sec_fetch_site="same-origin"), None),
        (ask(sec_fetch_site="cross-site", sec_fetch_mode="navigate"), None),
        (ask("/board", sec_fetch_site="cross-site", sec_fetch_mode="navigate"), 403),
        (ask("/chart.json", sec_fetch_site="cross-site", sec_fetch_mode="no-cors"), 403),
        (ask("/events", sec_fetch_site="same-site", sec_fetch_mode="cors"), 403),
    ],
)
def test_only_our_own_pages_are_answered(request_: Request, status: int | None) -> None:
    guard = Guard(hosts=("desk.example",), bound_host="127.0.0.1")

    refused = guard.refusal(request_)

    assert (None if refused is None else refused[0]) == status


def test_bound_to_every_address_any_address_is_ours_and_no_foreign_name() -> None:
    guard = Guard(hosts=(), bound_host="0.0.0.0")

    assert guard.refusal(ask(host="192.168.1.5:8081")) is None
    assert guard.refusal(ask(host="[fe80::1]:8081")) is None
    assert guard.refusal(ask(host="evil.example:8081")) is not None


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r=1", "\uff1d1"], ids=repr
)  # fmt: skip
def test_exported_texts_are_no_formulas(text: str) -> None:
    shown = safe(text)

    assert shown.startswith("'")
    assert all(character.isprintable() for character in shown)


def test_exported_control_characters_are_spelled_out() -> None:
    assert safe("a\x1b[31mb\nc") == "a\\x1b[31mb\\x0ac"
    assert safe("flex_trader_1") == "flex_trader_1"


async def test_a_reader_who_has_it_already_gets_no_body() -> None:
    answer = answer_of("hello")
    seen: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        seen.append(message)

    for value in (answer.etag, b'W/"x", W/' + answer.etag, b"*"):
        await send_answer(answer, Request("GET", "/", b"", {b"if-none-match": value}), send)
    await send_answer(answer, Request("GET", "/", b"", {b"if-none-match": b'"other"'}), send)

    assert [(message.get("status"), message.get("body")) for message in seen] == [
        *((304, None), (None, b"")) * 3, (200, None), (None, b"hello"),
    ]  # fmt: skip
