"""The fault plan: its text, and when a rule strikes."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.simulators.venue.faults import Fault, VenueFaults, parse_faults, read_faults

SECOND = 1_000_000_000


def plan(text: str, *, now_ns: int = 0) -> VenueFaults:
    made = VenueFaults(random=Random(1))
    made.replace(parse_faults(text, errors=("unavailable",)), now_ns)
    return made


@pytest.mark.parametrize(
    "text",
    [
        "latency=0.05..0.3",
        "lose@POST /api/v3/order,count=3",
        "error=unavailable@* /fapi/*,chance=0.5,executed=yes",
        "error=502",
        "flap=30/10",
        "queue=4@POST *,after=10,for=60",
        "skew=-2.5",
        "gap@USER,count=2",
        "refuse,for=2.5",
    ],
)
def test_rule_reads_back_as_it_was_typed(text: str) -> None:
    assert [rule.spelled() for rule in parse_faults(text, errors=("unavailable",))] == [text]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("explode", "is no fault"),
        ("latency=fast", "needs seconds"),
        ("latency=-1", "needs seconds"),
        ("latency=nan", "needs seconds"),
        ("lose=3", "takes no value"),
        ("lose,count=many", "is no option"),
        ("error=teapot", "one of unavailable"),
        ("error=200", "status from 400 to 599"),
        ("flap=0/0", "UP/DOWN"),
        ("refuse@POST /api/v3/order,for=1", "`drop` for one route"),
        ("refuse,count=1", "`for=SECONDS` only"),
        ("refuse,after=1", "`for=SECONDS` only"),
        ("refuse,chance=0.5", "`for=SECONDS` only"),
        ("[{", "is not JSON"),
        ("lose;" * 101, "at most 100"),
    ],
)
def test_what_is_wrong_with_a_plan_is_named(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_faults(text, errors=("unavailable",))


def test_json_objects_and_lists_mean_the_same_as_text() -> None:
    as_json = read_faults([{"fault": "lose", "route": "POST *", "count": 3}, "queue=4"])

    assert [rule.spelled() for rule in as_json] == ["lose@POST *,count=3", "queue=4"]


@pytest.mark.quick
def test_after_and_count_say_which_ones_are_struck() -> None:
    made = plan("lose@POST *,after=2,count=2")

    struck = [made.take(Fault.LOSE, "POST /x", 0) is not None for _ in range(6)]

    assert struck == [False, False, True, True, False, False]
    assert made.take(Fault.LOSE, "GET /x", 0) is None


def test_rule_with_a_lifetime_ends() -> None:
    made = plan("drop,for=10", now_ns=5 * SECOND)

    assert made.take(Fault.DROP, "GET /", 15 * SECOND)
    assert not made.take(Fault.DROP, "GET /", 16 * SECOND)


def test_refusal_ends_by_itself_because_nobody_can_end_it() -> None:
    made = plan("refuse", now_ns=100 * SECOND)

    assert [made.refuses((100 + at) * SECOND) for at in (0, 10, 11)] == [True, True, False]
    assert made.rules[0].spelled() == "refuse,for=10"


def test_flapping_goes_up_and_down_in_turn() -> None:
    made = plan("flap=3/2", now_ns=100 * SECOND)

    down = [made.is_down("GET /", (100 + second) * SECOND) for second in range(10)]

    assert down == [False, False, False, True, True] * 2


@given(chance=st.floats(0, 1), seed=st.integers(0, 100))
def test_chance_is_respected_and_repeatable(chance: float, seed: int) -> None:
    def strikes() -> list[bool]:
        made = VenueFaults(random=Random(seed))
        made.replace(parse_faults(f"drop,chance={chance:g}"), 0)
        return [made.take(Fault.DROP, "GET /", 0) is not None for _ in range(200)]

    struck = strikes()

    assert struck == strikes()
    assert abs(sum(struck) / 200 - chance) < 0.2


def test_added_rules_keep_what_is_in_force() -> None:
    made = plan("drop,for=10")

    made.add(parse_faults("lose"), 8 * SECOND)

    assert made.take(Fault.DROP, "GET /", 9 * SECOND)
    assert not made.take(Fault.DROP, "GET /", 11 * SECOND)
    assert made.take(Fault.LOSE, "GET /", 11 * SECOND)
