"""Every code and signal of the fact sheet's section on errors, and every row of the table."""

from __future__ import annotations

import json
import re
from itertools import product

import pytest

from clients.exchanges.bybit.errors import HEDGE_MODE, NO_CODE, NO_JSON, TABLE, TOO_FREQUENT
from clients.exchanges.error_table import ErrorRow, Signal, classify
from clients.exchanges.errors import ExchangeError, OperatorMustAct, TryLater
from clients.resilience.outcome import Outcome
from tests.support.contracts import SHEETS, recorded
from tests.support.exchange_stage import Reply
from tests.unit.clients.bybit.stage import KEY, envelope, on_stage, refusal

O = Outcome  # noqa: E741  keeps the table below readable

# Codes, what they mean for what changes orders, and for a read.
BY_CODE: list[tuple[tuple[int, ...], Outcome, Outcome]] = [
    ((-1,), O.UNKNOWN, O.CLOCK),
    ((429,), O.UNKNOWN, O.THROTTLED),
    ((5004, 10000, 10016), O.UNKNOWN, O.RETRYABLE),
    ((10001, 10017), O.REJECTED, O.REJECTED),
    ((10002,), O.CLOCK, O.CLOCK),
    ((10003, 10004, 10005, 10007, 10008, 10009, 10010), O.AUTH, O.AUTH),
    ((10006, 10018, 10403, 10429, 20003), O.THROTTLED, O.THROTTLED),
    ((10014,), O.DUPLICATE, O.RETRYABLE),
    ((10019,), O.RETRYABLE, O.RETRYABLE),
    ((10024, 10027, 10028, 10029, 33004, -2015, 170209), O.AUTH, O.AUTH),
    ((10404, 20001, 20006), O.REJECTED, O.REJECTED),
    ((30034, 30035, 130035, 130150), O.THROTTLED, O.THROTTLED),
    ((30208, 30209, 110003, 110120, 110121), O.REJECTED, O.REJECTED),
    ((40004,), O.UNKNOWN, O.REJECTED),
    ((110001, 110008, 110010), O.NOT_FOUND, O.NOT_FOUND),
    ((110004, 110006, 110007, 110012, 110014, 110044, 110045, *range(110051, 110054)), O.REJECTED, O.REJECTED),
    ((110005, 110011, 110040, 110046, 110009, 110020, 170810), O.REJECTED, O.REJECTED),
    ((110013, 110021, 110022, 110023, 110042, 110089, 110090, 110017), O.REJECTED, O.REJECTED),
    ((110018, 110019, 110032), O.REJECTED, O.REJECTED),
    ((110025, 110026, 110027, 110043, 34039, 34040), O.DUPLICATE, O.DUPLICATE),
    ((110030, 110072, 170141, 12141), O.DUPLICATE, O.DUPLICATE),
    ((110049, 110050, 110064), O.REJECTED, O.REJECTED),
    ((110063, 110066, 110074, 110095, 110103), O.MAINTENANCE, O.MAINTENANCE),
    ((110079,), O.UNKNOWN, O.REJECTED),
    ((110094, 170136, 170140), O.REJECTED, O.REJECTED),
    ((170001, 170032, 170234, 170007, 170146, 170147, 170310), O.UNKNOWN, O.RETRYABLE),
    ((170005, 170222), O.THROTTLED, O.THROTTLED),
    ((170035, 170144, 170191, 170212, 170149, 170150, 170311), O.UNKNOWN, O.REJECTED),
    ((170031, 170151, 170157), O.MAINTENANCE, O.MAINTENANCE),
    ((170105, 170115, 170116, 170117, 170121, 170130, 170134, 170137, 170148, 170201), O.REJECTED, O.REJECTED),
    ((170124, 170132, 170133, *range(170192, 170195), 170197, 170198), O.REJECTED, O.REJECTED),
    ((170371, 170372, 170381, 170382, 170341, 170131, 170033), O.REJECTED, O.REJECTED),
    ((170139, 170142, 170190, 170143, 170213), O.NOT_FOUND, O.NOT_FOUND),
    ((170210, 170217, 170218, 170312, 170313), O.REJECTED, O.REJECTED),
    # What nobody has described.
    ((987654,), O.UNKNOWN, O.REJECTED),
]
PLACE, AMEND, QUERY = ("place_order", False), ("amend_order", False), ("query_order", True)
BY_TEXT: list[tuple[tuple[str, bool], int, str, str, Outcome]] = [
    (AMEND, 200, "10001", "order not modified", O.DUPLICATE),
    (AMEND, 200, "10001", "params error: Order Not Modified", O.DUPLICATE),
    (PLACE, 200, "10001", "order not modified", O.REJECTED),
    (AMEND, 200, "10001", "params error: qty err", O.REJECTED),
    (PLACE, 200, "10001", HEDGE_MODE, O.AUTH),
    # The status decides where there is no code.
    (PLACE, 403, NO_JSON, f"<html>{TOO_FREQUENT}</html>", O.UNKNOWN),
    (PLACE, 403, NO_CODE, TOO_FREQUENT, O.THROTTLED),
    (QUERY, 403, NO_JSON, "Access Too Frequent", O.THROTTLED),
    (PLACE, 403, NO_JSON, "the service is not available in your country", O.UNKNOWN),
    (PLACE, 403, NO_CODE, "the service is not available in your country", O.AUTH),
    (QUERY, 403, NO_JSON, "the service is not available in your country", O.AUTH),
    (PLACE, 429, NO_JSON, "", O.UNKNOWN),
    (PLACE, 429, NO_CODE, "", O.THROTTLED),
    (QUERY, 429, NO_JSON, "", O.THROTTLED),
    (PLACE, 401, NO_JSON, "", O.AUTH),
    (QUERY, 401, NO_CODE, "", O.AUTH),
    (PLACE, 400, NO_CODE, "", O.REJECTED),
    (PLACE, 404, NO_JSON, "404 page not found", O.REJECTED),
    (QUERY, 404, NO_JSON, "404 page not found", O.REJECTED),
    (PLACE, 408, NO_JSON, "", O.UNKNOWN),
    (QUERY, 408, NO_JSON, "", O.RETRYABLE),
    *((PLACE, status, NO_JSON, "", O.UNKNOWN) for status in (500, 502, 503, 504)),
    *((QUERY, status, NO_JSON, "", O.RETRYABLE) for status in (500, 502, 503, 504)),
    (PLACE, 302, NO_JSON, "", O.UNKNOWN),
    (QUERY, 302, NO_JSON, "", O.RETRYABLE),
    (PLACE, 200, NO_CODE, "{}", O.UNKNOWN),
    (QUERY, 200, NO_CODE, "{}", O.RETRYABLE),
]


def _signals() -> list[tuple[Signal, Outcome]]:
    found = [
        (Signal("linear", operation, reads, 200, str(code)), read if reads else change)
        for codes, change, read in BY_CODE
        for code, (operation, reads) in product(codes, (PLACE, AMEND, ("cancel_order", False), QUERY))
    ]
    return found + [
        (Signal("spot", operation, reads, status, code, text), outcome)
        for (operation, reads), status, code, text, outcome in BY_TEXT
    ]


def _name(signal: Signal) -> str:
    text = re.sub(r"\W+", "-", signal.text)[:24]
    return f"{signal.operation}-{signal.status}-{signal.code}-{text}".rstrip("-")


@pytest.mark.quick
@pytest.mark.parametrize(("signal", "outcome"), [pytest.param(*one, id=_name(one[0])) for one in _signals()])
def test_every_signal_is_judged_as_the_sheet_says(signal: Signal, outcome: Outcome) -> None:
    assert TABLE.row_of(signal).outcome is outcome


def test_every_row_decides_about_something() -> None:
    decided = {id(TABLE.row_of(signal)) for signal, _ in _signals()}

    assert [row for row in TABLE.rows if id(row) not in decided] == []


@pytest.mark.needs("recordings")
def test_every_code_of_the_sheet_has_a_row_of_its_own() -> None:
    if not (SHEETS / "bybit.md").exists():
        pytest.skip(f"no sheet at {SHEETS}")
    section = (SHEETS / "bybit.md").read_text().split("## 5. Errors")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    codes = {code for cell in cells for code in re.findall(r"-?\d+", cell.replace("–", " ")) if code != "0"}

    ours = {row.code for row in TABLE.rows}

    assert len(codes) > 130
    assert codes - ours == set()


def test_the_last_row_matches_everything() -> None:
    assert TABLE.rows[-1] == ErrorRow(Outcome.UNKNOWN, TABLE.rows[-1].source)


async def _refused(reply: Reply, *, symbol: str = "BTC/USDT") -> ExchangeError:
    client, _ = on_stage(lambda seen: reply)
    with pytest.raises(ExchangeError) as refused:
        await client.get_quote(symbol)
    return refused.value


async def test_a_refusal_with_status_200_is_one() -> None:
    error = await _refused(refusal(10002, "invalid request, please check your server timestamp"))

    assert isinstance(error, OperatorMustAct)
    assert (error.outcome, error.code, error.http_status) == (Outcome.CLOCK, "10002", 200)


async def test_whatever_the_text_the_code_alone_says_success() -> None:
    book = {"s": "BTCUSDT", "b": [["1", "2"]], "a": [["3", "4"]], "ts": 1, "u": 1, "seq": 1}
    texts = ["OK", "success", "SUCCESS", "", "anything"]
    client, transport = on_stage(lambda seen: Reply(envelope(book, text=texts[len(transport.of("/orderbook")) - 1])))

    for _ in texts:
        assert (await client.get_quote("BTC/USDT")).bid_price == 1


async def test_a_refused_signature_never_shows_what_was_signed() -> None:
    said = f"error sign! origin_string[1790000000000{KEY.key_id}5000category=spot]"
    error = await _refused(refusal(10004, said))

    assert error.outcome is Outcome.AUTH
    assert "origin_string" not in error.text
    assert KEY.key_id not in f"{error} {error.raw!r}"


async def test_an_answer_that_is_no_json_is_lost_whatever_its_status_says() -> None:
    error = await _refused(Reply(b"<html>hello</html>"))

    assert isinstance(error, TryLater)
    assert error.outcome is Outcome.RETRYABLE


@pytest.mark.parametrize("body", [[], {}, {"retCode": "0"}, {"retCode": True}, "text", 1], ids=str)
async def test_an_answer_without_a_code_is_no_success(body: object) -> None:
    assert (await _refused(Reply(body))).outcome is Outcome.RETRYABLE


def _captured() -> list[dict[str, object]]:
    path = SHEETS / "recorded" / "bybit" / "rest" / "errors.captured.json"
    found: list[dict[str, object]] = json.loads(path.read_text())["cases"] if path.exists() else []
    return found


CAPTURED = {
    "clock": Outcome.CLOCK,
    "unknown outcome": Outcome.UNKNOWN,
    "throttled": Outcome.THROTTLED,
    "rejected, parameter": Outcome.AUTH,
    "rejected, market order beyond the price band": Outcome.REJECTED,
    "rejected, funds": Outcome.REJECTED,
    "rejected, price limit spot": Outcome.REJECTED,
    "duplicate (old spot code)": Outcome.DUPLICATE,
    "region": Outcome.AUTH,
    "upstream timeout (older code)": Outcome.UNKNOWN,
}
"""The one about the position's index is what an account in hedge mode says: an operator has to act."""


@pytest.mark.needs("recordings")
def test_recorded_errors_are_judged() -> None:
    recorded("bybit/rest/errors.captured.json")
    for case in _captured():
        body = case["body"]
        assert isinstance(body, dict)
        signal = Signal("linear", "place_order", False, 200, str(body["retCode"]), body["retMsg"])
        assert TABLE.row_of(signal).outcome is CAPTURED[str(case["signal"])], case["signal"]


async def test_only_trouble_of_the_server_counts_against_it() -> None:
    verdicts = [classify(await _refused(refusal(code))) for code in (10006, 10016)]

    assert [verdict is not None and verdict.counts_against_server for verdict in verdicts] == [False, True]
