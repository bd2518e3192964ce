"""Inside the orders server imports go one way, from the desk down to the domain, so that each layer is read without those above it."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

from tests.support.imports import ROOT, import_graph

PREFIX = "services.orders."
LAYERS = ("domain", "journal", "guards", "engine", "reconciliation", "desk")
"""From the bottom; what stands beside them (errors, ports, venues, auth) only has to be free of circles."""


def reached_from() -> dict[str, set[str]]:
    """Say of each folder or file of the server which others it needs, straight or through others."""
    needs: defaultdict[str, set[str]] = defaultdict(set)
    for module, imported in import_graph(ROOT, ("services/orders",)).items():
        for name in [module, *imported]:
            needs[name.removeprefix(PREFIX).split(".")[0]].add(module.removeprefix(PREFIX).split(".")[0])
    # So far: by whom each is needed; what follows turns it round and goes all the way.
    found: dict[str, set[str]] = {part: set() for part in needs}
    for _ in needs:
        for part, users in needs.items():
            for user in users - {part}:
                found[user] |= {part} | found[part]
    return found


def test_no_part_needs_itself_through_others() -> None:
    found = reached_from()

    assert len(found) > 15
    assert [part for part, needed in found.items() if part in needed] == []


def test_no_layer_needs_one_above_it() -> None:
    found = reached_from()

    assert [(lower, upper) for lower, upper in combinations(LAYERS, 2) if upper in found[lower]] == []
    assert set(LAYERS[:-1]) <= found["desk"]
