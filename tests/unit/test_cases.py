"""Of tests with many slow cases some run by default, and all of them at night."""

from __future__ import annotations

import pytest

from tests.support.cases import spread

pytest_plugins = ["pytester"]

SUITE = """
import pytest

@pytest.mark.cases(2)
@pytest.mark.parametrize("number", range(5))
def test_slow(number): pass

@pytest.mark.cases(1)
@pytest.mark.parametrize("number", [0, 1, *(pytest.param(2 + more, marks=pytest.mark.long) for more in range(2))])
def test_slower(number): pass

@pytest.mark.long
@pytest.mark.cases(1)
@pytest.mark.parametrize("number", range(2))
def test_long(number): pass

@pytest.mark.parametrize("number", range(2))
def test_quick(number): pass
"""
CONFTEST = """
import pytest
from tests.support.cases import leave_to_the_night
def pytest_configure(config):
    for marker in ("cases(n): x", "long: x", "nightly: x"):
        config.addinivalue_line("markers", marker)
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items): leave_to_the_night(items)
"""


@pytest.mark.parametrize(
    ("count", "chosen", "expected"),
    [(5, 2, {0, 4}), (5, 3, {0, 2, 4}), (5, 1, {0}), (2, 2, {0, 1}), (2, 3, {0, 1}), (1, 1, {0}), (8, 3, {0, 3, 7})],
)
def test_cases_are_spread_from_the_first_to_the_last(count: int, chosen: int, expected: set[int]) -> None:
    assert spread(count, chosen) == expected


@pytest.mark.parametrize(
    ("chosen", "ran"),
    [
        (("-m", "not nightly and not long"), ["slow[0]", "slow[4]", "slower[0]", "quick[0]", "quick[1]"]),
        (("-m", "nightly"), ["slow[1]", "slow[2]", "slow[3]", "slower[1]", "slower[3]", "long[1]"]),
        (("-m", "long and not nightly"), ["slower[2]", "long[0]"]),
        (("-m", "not nightly", "test_it.py::test_slow[2]"), ["slow[2]"]),
    ],
    ids=["by default", "at night", "long", "one by its id"],
)
def test_every_case_is_in_one_tier(pytester: pytest.Pytester, chosen: tuple[str, ...], ran: list[str]) -> None:
    pytester.makepyfile(test_it=SUITE)
    pytester.makeconftest(CONFTEST)

    result = pytester.runpytest_inprocess("-v", "-p", "no:asyncio", "-p", "no:xdist", "-p", "no:cacheprovider", *chosen)

    result.assert_outcomes(passed=len(ran), deselected=result.parseoutcomes().get("deselected", 0))
    result.stdout.fnmatch_lines([f"*::test_{name.replace('[', '[[]')} PASSED*" for name in ran])
