"""Messages of the feed: every style that is understood, everything that is not."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clients.power.deals import Deal, Flag, Unusable, parse_message
from clients.power.deals.messages import message_key
from clients.power.deals.model import RAW_BYTES_MAX, REVISION_LAST
from tests.support.power_messages import EXAMPLE, EXECUTED_NS, RECEIVED_NS, confirmation

HOUR_NS = 3_600 * 10**9


def deal(message: str | bytes, received_ns: int = RECEIVED_NS, **options: Any) -> Deal:
    found = parse_message(message, received_ns, **options)
    assert isinstance(found, Deal), found
    return found


def refusal(message: str | bytes, **options: Any) -> str:
    found = parse_message(message, RECEIVED_NS, **options)
    assert isinstance(found, Unusable), found
    assert found.received_time_ns == RECEIVED_NS
    assert len(found.raw.encode()) <= RAW_BYTES_MAX
    assert found.raw.isprintable()
    assert found.reason.isprintable()
    return found.reason


@pytest.mark.quick
def test_the_documented_example_is_understood() -> None:
    assert deal(confirmation()) == Deal(
        id="3624e95119f04b7bb054b2f91a980a83",
        price_e4=206_400,
        quantity_e4=12_000,
        direction="sell",
        delivery_day="2023-02-21",
        delivery_hour="15-16",
        trader_id="flex_trader_4",
        execution_time_ns=EXECUTED_NS,
        received_time_ns=RECEIVED_NS,
        flags="",
        raw_kind="deal_confirmation",
    )


def test_the_other_kind_of_confirmation_is_the_same() -> None:
    found = deal(confirmation("trade_confirmation"))

    assert found.raw_kind == "trade_confirmation"
    assert found.id == EXAMPLE["id"]


@pytest.mark.parametrize(
    ("field", "value", "attribute", "expected"),
    [
        ("id", "123", "id", "123"),
        ("trader_id", "trader_1", "trader_id", "trader_1"),
        ("trader_id", "<script>alert(1)</script>", "trader_id", "<script>alert(1)</script>"),
        ("trader_id", "Jörg Żak 東京", "trader_id", "Jörg Żak 東京"),
        ("direction", "SELL", "direction", "sell"),
        ("direction", " Buy ", "direction", "buy"),
        ("delivery_hour", "8-9", "delivery_hour", "08-09"),
        ("delivery_hour", "23-00", "delivery_hour", "23-24"),
        ("execution_time", "2023-02-21T06:13:43Z", "execution_time_ns", EXECUTED_NS),
        ("execution_time", "2023-02-21T07:13:43+01:00", "execution_time_ns", EXECUTED_NS),
        ("execution_time", "2023-02-21T01:43:43-0430", "execution_time_ns", EXECUTED_NS),
        ("execution_time", "2023-02-21 06:13:43.25+00", "execution_time_ns", EXECUTED_NS + 250_000_000),
        ("execution_time", "2023-02-21T06:13:43.000000001Z", "execution_time_ns", EXECUTED_NS + 1),
        ("price", 0, "price_e4", 0),
        ("price", -500, "price_e4", -5_000_000),
        ("price", -0.0001, "price_e4", -1),
        ("quantity", 5, "quantity_e4", 50_000),
    ],
)
def test_styles_are_understood(field: str, value: object, attribute: str, expected: object) -> None:
    assert getattr(deal(confirmation(**{field: value})), attribute) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20.64", 206_400),
        ("20.6400000", 206_400),
        ("2.064e1", 206_400),
        ("2064E-2", 206_400),
        ("-0", 0),
        ("-0.0", 0),
        ("0.1", 1_000),
        ("999999.9999", 9_999_999_999),
        ("1e6", 10_000_000_000),
    ],
)
def test_prices_are_exact(text: str, expected: int) -> None:
    assert deal(confirmation().replace("20.64", text)).price_e4 == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20.640000000000001", 206_400),
        ("3.3000000000000003", 33_000),
        ("-0.30000000000000004", -3_000),
        ("119999.99999999999", 1_200_000_000),
        ("1e-10", 0),
    ],
)
def test_the_noise_of_a_float_is_rounded_away_and_flagged(text: str, expected: int) -> None:
    found = deal(confirmation().replace("20.64", text))

    assert found.price_e4 == expected
    assert Flag.ROUNDED in found.flags.split(",")


def test_a_quantity_is_rounded_and_flagged_too() -> None:
    found = deal(confirmation(quantity=0.1 + 0.2))

    assert found.quantity_e4 == 3_000
    assert Flag.ROUNDED in found.flags.split(",")


def test_exact_numbers_are_not_flagged_whatever_their_spelling() -> None:
    for text in ("20.64", "20.6400000", "2.064e1", "2064E-2"):
        assert Flag.ROUNDED not in deal(confirmation().replace("20.64", text)).flags


def test_further_keys_beside_the_kind_are_ignored() -> None:
    message = json.loads(confirmation())

    assert deal(json.dumps(message | {"version": 2})) == deal(confirmation())
    assert message_key(json.dumps({"version": 2} | message)) == deal(confirmation()).id


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("20.64001", "`price` 20.64001 has more than 4 decimals"),
        ("20.640000002", "`price` 20.640000002 has more than 4 decimals"),
        ("20.64005", "`price` 20.64005 has more than 4 decimals"),
        ("1e-5", "`price` 1e-5 has more than 4 decimals"),
        ("1000000.0001", "`price` 1000000.0001 is not between"),
        ("1e999999999", "`price` 1e999999999 is out of range"),
        ("1e-999999999", "`price` 1e-999999999 is out of range"),
        ("9" * 5_000, "has more than 40 characters"),
        ("NaN", "no JSON: NaN is no number"),
        ("Infinity", "no JSON: Infinity is no number"),
        ("-Infinity", "no JSON: -Infinity is no number"),
        ("+20.64", "no JSON"),
        ("020.64", "no JSON"),
        ("0x14", "no JSON"),
        ("1_000", "no JSON"),
        ('"20.64"', "`price` is text, not a number"),
        ("true", "`price` is true or false, not a number"),
        ("null", "`price` is null, not a number"),
        ("[20.64]", "`price` is an array, not a number"),
        ("{}", "`price` is an object, not a number"),
    ],
)
def test_prices_that_cannot_be_kept_exactly_are_refused(text: str, reason: str) -> None:
    assert reason in refusal(confirmation().replace("20.64", text))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("id", 123, "`id` is a number, not text"),
        ("id", "", "`id` is empty"),
        ("id", "a b", "visible ASCII"),
        ("id", "x" * 129, "longer than 128"),
        ("id", "a\x00b", "visible ASCII"),
        ("quantity", 0, "`quantity` 0 is not above 0"),
        ("quantity", -1.2, "`quantity` -1.2 is not above 0"),
        ("quantity", 2e6, "`quantity` 2000000.0 is not above 0 and up to"),
        ("direction", "hold", "`direction` 'hold' is not buy or sell"),
        ("direction", 1, "`direction` is a number"),
        ("direction", None, "`direction` is null"),
        ("trader_id", "a\x00b", "cannot be printed"),
        ("trader_id", "a\ud800b", "cannot be printed"),
        ("trader_id", "a\x1b[31mb", "cannot be printed"),
        ("trader_id", "  ", "is empty"),
        ("delivery_day", "2023-02-30", "not in the calendar"),
        ("delivery_day", 20230221, "`delivery_day` is not text"),
        ("delivery_hour", "15-17", "no delivery hour"),
        ("execution_time", "yesterday", "no time"),
        ("execution_time", 1676960023, "`execution_time` is a number"),
        ("execution_time", "2023-02-21T24:13:43Z", "not on the clock"),
        ("execution_time", "2023-02-21T06:13:43+99:00", "further from UTC"),
        ("execution_time", "9999-12-31T23:59:59Z", "not in this century"),
    ],
)
def test_values_of_the_wrong_kind_or_range_are_refused(field: str, value: object, reason: str) -> None:
    assert reason in refusal(confirmation(**{field: value}))


@pytest.mark.parametrize("field", sorted(EXAMPLE))
def test_a_missing_field_is_named(field: str) -> None:
    assert refusal(confirmation(**{field: ...})) == f"`{field}` is missing"


def test_fields_that_nobody_knows_are_left_alone() -> None:
    assert deal(confirmation(comment="new since spring", unit="euro/mwh")).id == EXAMPLE["id"]


def test_a_deal_for_the_hour_that_summer_time_skips_is_refused() -> None:
    assert "skips it" in refusal(confirmation(delivery_day="2023-03-26", delivery_hour="02-03"))


def test_a_deal_for_the_hour_that_happens_twice_is_kept_and_says_so() -> None:
    found = deal(confirmation(delivery_day="2023-10-29", delivery_hour="02-03"))

    assert found.flags == Flag.AMBIGUOUS_HOUR


@pytest.mark.quick
@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("", "no JSON"),
        ("not json", "no JSON"),
        ('{"deal_confirmation": {"id": "1", "price": 20.64', "no JSON"),
        ("[]", "not an object"),
        ("null", "not an object"),
        ("7", "not an object"),
        ("{}", "holds nothing"),
        ('{"heartbeat": {}}', "holds 'heartbeat'"),
        ('{"deal_confirmation": null}', "`deal_confirmation` is not an object"),
        ('{"deal_confirmation": []}', "`deal_confirmation` is not an object"),
        ('{"deal_confirmation": {}, "trade_confirmation": {}}', "holds 'deal_confirmation', 'trade_confirmation'"),
        (confirmation() + " x", "no JSON: more text"),
        (confirmation() * 2, "no JSON: more text"),
        (confirmation().replace('"price"', '"id": "2", "price"'), "a key stands twice"),
        ("[" * 60_000, "nested too deeply"),
        ('{"a":' * 10_000, "nested too deeply"),
        (confirmation(comment="x" * 70_000), "a confirmation has at most"),
        ("\ufeff" + confirmation(), "no JSON"),
        (b"\xff\xfe", "no UTF-8 at byte 0"),
        (confirmation().encode("utf-16"), "no UTF-8"),
        (confirmation().encode()[:-3] + b"\x80\x81\x82", "no UTF-8"),
        (b"\x00" * 100, "no JSON"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_confirmation_is_refused_with_its_reason(message: str | bytes, reason: str) -> None:
    assert reason in refusal(message)


def test_a_binary_frame_is_refused() -> None:
    assert "binary" in refusal(confirmation().encode(), binary=True)


def test_what_is_kept_of_an_unusable_message_is_capped_and_storable() -> None:
    found = parse_message(b"\x00\xff\n" * 5_000, RECEIVED_NS)

    assert isinstance(found, Unusable)
    assert len(found.raw.encode()) <= RAW_BYTES_MAX
    assert found.raw.startswith(r"\x00\xff\n")


@pytest.mark.parametrize(
    ("age_ns", "flags"),
    [
        (250_000_000, []),
        (-4 * 10**9, []),
        (-6 * 10**9, [Flag.FUTURE]),
        (601 * 10**9, [Flag.OLD]),
        (HOUR_NS + 10**9, [Flag.HOURS_OFF, Flag.OLD]),
        (2 * HOUR_NS - 10**9, [Flag.HOURS_OFF, Flag.OLD]),
        (-HOUR_NS, [Flag.HOURS_OFF, Flag.FUTURE]),
        (-2 * HOUR_NS, [Flag.HOURS_OFF, Flag.FUTURE]),
        (24 * HOUR_NS, [Flag.OLD]),
        (-24 * HOUR_NS, [Flag.FUTURE]),
    ],
    ids=["now", "skew", "ahead", "old", "hour ago", "two ago", "hour ahead", "two ahead", "day ago", "day ahead"],
)
def test_times_that_cannot_be_right_are_kept_and_flagged(age_ns: int, flags: list[Flag]) -> None:
    found = deal(confirmation(delivery_day="2023-02-23"), EXECUTED_NS + age_ns)

    assert found.execution_time_ns == EXECUTED_NS
    assert found.flags == ",".join(flags)


def test_a_time_without_a_zone_is_read_as_utc_and_flagged() -> None:
    found = deal(confirmation(execution_time="2023-02-21T06:13:43"))

    assert (found.execution_time_ns, found.flags) == (EXECUTED_NS, Flag.NO_ZONE)


def test_a_deal_that_was_fetched_later_is_not_called_old() -> None:
    found = deal(confirmation(), EXECUTED_NS + HOUR_NS, backfilled=True)

    assert found.flags == Flag.BACKFILLED


def test_a_deal_after_its_gate_closed_is_flagged() -> None:
    found = deal(confirmation(delivery_hour="07-08"))

    assert found.flags == Flag.AFTER_GATE


# Values that are near the right ones find more than values from nowhere.
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**30), max_value=10**30)
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from([*EXAMPLE.values(), "02-03", "2023-03-26", "2023-10-29", -0.0, 1e300, "\x00", "\ud800"])
)
_FIELDS = st.dictionaries(st.sampled_from(sorted(EXAMPLE)) | st.text(max_size=8), _SCALARS, max_size=10)
_CONFIRMATIONS = st.builds(
    lambda kind, fields: json.dumps({kind: {**EXAMPLE, **fields}}),
    st.sampled_from(["deal_confirmation", "trade_confirmation", "x"]),
    _FIELDS,
)
_DAMAGED = st.builds(
    lambda text, at, junk, cut: (
        text.encode("utf-8", "surrogatepass")[: at % 300]
        + junk
        + text.encode("utf-8", "surrogatepass")[at % 300 + cut :]
    ),
    _CONFIRMATIONS,
    st.integers(0, 300),
    st.binary(max_size=6),
    st.integers(0, 6),
)


@given(st.binary(max_size=300) | st.text(max_size=300) | _CONFIRMATIONS | _DAMAGED, st.booleans())
@example("[" * 100_000, False)
@example(b'{"deal_confirmation":' * 3_000, True)
def test_nothing_that_arrives_can_raise(message: bytes | str, backfilled: bool) -> None:
    found = parse_message(message, RECEIVED_NS, backfilled=backfilled)

    check(found)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@settings(max_examples=20_000)
@given(st.binary(max_size=300) | st.text(max_size=300) | _CONFIRMATIONS | _DAMAGED, st.booleans())
def test_nothing_that_arrives_can_raise_in_many_cases(message: bytes | str, backfilled: bool) -> None:
    found = parse_message(message, RECEIVED_NS, backfilled=backfilled)

    check(found)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_damaged_messages_are_each_a_deal_or_a_reason() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    source = random.Random(seed)
    usable = 0
    for _ in range(100_000):
        message = bytearray(confirmation(id=f"{source.getrandbits(128):032x}").encode())
        for _ in range(source.randint(0, 4)):
            at = source.randrange(len(message))
            damage = source.randrange(4)
            if damage == 0:
                message[at] = source.randrange(256)
            elif damage == 1:
                del message[at : at + source.randint(1, 20)]
            elif damage == 2:
                message[at:at] = source.choice((b"\x00", b'"', b"{", b"[" * 50, b"NaN", b"9" * 5_000, b"\xff", b"1e9"))
            else:
                message[at : at + 10] = message[at // 2 : at // 2 + 10]
            if not message:
                break

        found = parse_message(bytes(message), RECEIVED_NS)

        check(found)
        usable += isinstance(found, Deal)
    assert 0 < usable < 100_000


def check(found: Deal | Unusable) -> None:
    """Whatever comes out can be stored as it is, in every database."""
    if isinstance(found, Unusable):
        assert found.reason
        assert len(found.raw.encode()) <= RAW_BYTES_MAX
        assert found.raw.isprintable()
    else:
        assert all(isinstance(value, int) and abs(value) < 2**63 for value in (found.price_e4, found.quantity_e4))
        assert found.quantity_e4 > 0
        assert found.direction in ("buy", "sell")
        assert 0 < found.execution_time_ns < 2**63
        for text in (found.id, found.trader_id, found.flags, found.delivery_day, found.delivery_hour):
            assert "\x00" not in text
            text.encode()


@pytest.mark.parametrize("kind", ["deal_correction", "trade_correction"])
def test_a_correction_is_the_deal_again_with_a_higher_revision(kind: str) -> None:
    first = deal(confirmation())
    found = deal(confirmation(kind, revision=2, price=21))

    assert (found.id, found.revision, found.canceled, found.price_e4) == (first.id, 2, False, 210_000)
    assert (first.key, found.key) == (first.id, f"{first.id}#2")
    assert found.raw_kind == kind


@pytest.mark.parametrize(
    ("fields", "revision", "key"),
    [({"id": "a", "revision": 3}, 3, "a#3"), ({"id": "a"}, REVISION_LAST, "a#canceled")],
    ids=["numbered", "final"],
)
def test_a_cancellation_needs_nothing_but_its_deal(fields: dict[str, object], revision: int, key: str) -> None:
    found = deal(json.dumps({"deal_cancellation": fields}))

    assert (found.canceled, found.complete, found.revision, found.key) == (True, False, revision, key)
    assert found.flags == "no_values"
    assert message_key(json.dumps({"deal_cancellation": fields})) == key


def test_a_cancellation_may_have_the_values_of_its_deal() -> None:
    found = deal(confirmation("deal_cancellation", revision=2))

    assert (found.canceled, found.complete, found.quantity_e4) == (True, True, 12_000)


def test_a_confirmation_may_name_its_revision() -> None:
    assert deal(confirmation(revision=1)) == deal(confirmation())
    assert deal(confirmation(revision="2")).revision == 2


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (confirmation("deal_correction"), "`revision` is missing"),
        (confirmation("deal_correction", revision=1), "which is the confirmation"),
        (confirmation("deal_cancellation", revision=1), "which is the confirmation"),
        (confirmation(revision=0), "from 1 up"),
        (confirmation(revision=-2), "from 1 up"),
        (confirmation(revision=1.5), "from 1 up"),
        (confirmation(revision=10**9), "from 1 up"),
        (confirmation(revision=None), "null, not a whole number"),
        (json.dumps({"deal_cancellation": {"revision": 2}}), "`id` is missing"),
    ],
)
def test_a_revision_that_cannot_be_is_refused(message: str, reason: str) -> None:
    found = parse_message(message, RECEIVED_NS)

    assert isinstance(found, Unusable)
    assert reason in found.reason


def test_a_revision_is_not_old_because_its_deal_is() -> None:
    message = confirmation("deal_correction", revision=2)

    found = parse_message(message, RECEIVED_NS + 3_600 * 10**9)

    assert isinstance(found, Deal)
    assert found.flags == ""


@pytest.mark.parametrize(
    ("market", "expected"),
    [("DE-LU", "DE-LU"), (" AT ", "AT"), ("x" * 33, ""), (7, ""), (None, ""), ("a\nb", "")],
)
def test_a_market_is_kept_where_it_is_a_name_and_loses_no_deal_where_it_is_none(market: object, expected: str) -> None:
    assert deal(confirmation(market=market)).market == expected


@pytest.mark.parametrize(
    ("hour", "label"),
    [("15:00-15:15", "15:00-15:15"), ("22:15 - 22:30", "22:15-22:30"), ("23:45-00:00", "23:45-24:00")],
)
def test_quarters_are_delivery_periods(hour: str, label: str) -> None:
    assert deal(confirmation(delivery_hour=hour)).delivery_hour == label


@pytest.mark.parametrize(("hour", "reason"), [("22:00-22:30", "half an hour"), ("08-20", "a block of 12 hours")])
def test_other_periods_are_unusable_and_named(hour: str, reason: str) -> None:
    found = parse_message(confirmation(delivery_hour=hour), RECEIVED_NS)

    assert isinstance(found, Unusable)
    assert reason in found.reason
    assert "hours (08-09) and quarters (08:00-08:15) are traded" in found.reason


def test_a_deal_for_a_quarter_is_late_from_the_quarters_own_beginning() -> None:
    def flags(executed: str) -> str:
        found = parse_message(
            confirmation(delivery_hour="15:30-15:45", execution_time=executed), RECEIVED_NS, backfilled=True
        )
        assert isinstance(found, Deal)
        return found.flags

    assert Flag.AFTER_GATE not in flags("2023-02-21T15:29:59+01:00")
    assert Flag.AFTER_GATE in flags("2023-02-21T15:30:00+01:00")
