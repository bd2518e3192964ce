"""docs/metrics.md is what the servers declare, and one name means one thing."""

from __future__ import annotations

import pytest

from services.cli import metrics_catalogue
from services.cli.metrics_catalogue import catalogue, own_servers
from services.cli.metrics_page import PAGE, page
from services.cli.servers import DEFAULT_PORTS
from services.runtime.figures import Figure


def test_the_page_is_what_the_servers_declare() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(catalogue()), "run `make metrics`"


def test_every_server_with_figures_is_one_that_can_be_started() -> None:
    assert list(own_servers()) == list(DEFAULT_PORTS)


def test_every_name_stands_once_in_the_catalogue() -> None:
    names = [series.name for series in catalogue()]

    assert len(set(names)) == len(names)
    assert len({sample for series in catalogue() for sample in series.samples}) >= len(names)


@pytest.mark.parametrize(
    "other",
    [
        Figure("midstream_lag_records", "gauge", "Something else", born=False),
        Figure("midstream_lag_records", "counter", "Records between the newest one and this sink's position"),
        Figure("midstream_lag_records", "gauge", "Records between the newest one and this sink's position", ("group",)),
    ],
    ids=["help", "kind", "labels"],
)
def test_a_name_that_means_two_things_is_refused(monkeypatch: pytest.MonkeyPatch, other: Figure) -> None:
    own = dict(metrics_catalogue._OWN)
    monkeypatch.setattr(metrics_catalogue, "_OWN", own | {"health": (*own["health"], (other,))})

    with pytest.raises(ValueError, match="midstream_lag_records is one thing on price and another on health"):
        catalogue()
