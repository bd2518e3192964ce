"""Of tests with many cases that take seconds each, some run by default and all at night."""

from __future__ import annotations

import pytest


def leave_to_the_night(items: list[pytest.Item]) -> None:
    """Mark as `nightly` what is beyond `@pytest.mark.cases(n)`: n of each such test's cases stay, evenly spread from the first to the last.

    Of a test with long cases, and others, that goes for both apart. A case that is asked for by its id, alone, stays.
    """
    tests: dict[tuple[str, bool], list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("cases") and not item.get_closest_marker("nightly"):
            tests.setdefault((test_of(item), item.get_closest_marker("long") is not None), []).append(item)
    for cases in tests.values():
        marker = cases[0].get_closest_marker("cases")
        assert marker is not None
        (count,) = marker.args
        stay = spread(len(cases), count)
        for number, item in enumerate(cases):
            if number not in stay:
                item.add_marker(pytest.mark.nightly)


def test_of(item: pytest.Item) -> str:
    """Return the id of a test without that of its case."""
    return item.nodeid.partition("[")[0]


def spread(count: int, chosen: int) -> frozenset[int]:
    """Return `chosen` of the numbers below `count`, evenly spread, with the first and the last; all where there are no more."""
    if chosen >= count:
        return frozenset(range(count))
    if chosen == 1:
        return frozenset({0})
    return frozenset(number * (count - 1) // (chosen - 1) for number in range(chosen))
