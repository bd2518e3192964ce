"""Writes docs/metrics.md: every metric with its labels, what it means and who exposes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from services.cli.metrics_catalogue import Series, catalogue, own_servers

__all__ = ["PAGE", "page", "write_page"]

_ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = _ROOT / "docs" / "metrics.md"

_HEAD: Final = """# Metrics

This page is written by `make metrics` from what the servers declare; a test holds the declarations against a scrape of every server.
Each server answers `GET /metrics` on its own port, in Prometheus' text format or, when asked, as OpenMetrics; nothing else is on that
port. The order service's REST face gives the same figures under `/metrics`.

- A name means one thing, with one set of labels, on every server that has it.
- Counters and histograms are there at 0 from the start, with every value of a label that is known beforehand (methods and codes,
  routes, exchanges with their operations and outcomes), so that `increase(...) > 0` sees the first event. What cannot be known
  beforehand appears with its first: a rare HTTP status, a consumer group, a session.
- A gauge that nobody knows yet has no series. 0 would be a lie: no lag, no backlog, a kill switch that is off. Use `absent()` where
  missing is a trouble of its own.
- Counters begin again at 0 with their process, as `rate` and `increase` expect. Those that an engine reports go on over a restart of
  the engine alone; its CPU time begins again with it.
- `grpc_server_...` has the names and codes of go-grpc-prometheus (`InvalidArgument`, `Canceled`), so that its dashboards fit.
- The Prometheus client adds a `..._created` beside counters and histograms: when the series began, as Unix time.
"""


def page(found: Sequence[Series]) -> str:
    """Return the page: what every server has, then what some have, grouped by who they are."""
    lines = [_HEAD]
    every = len(own_servers())
    groups = sorted(found, key=lambda each: (-len(each.servers), each.servers, each.name))
    for servers, series in groupby(groups, key=lambda each: each.servers):
        title = "Every server" if len(servers) == every else ", ".join(f"`{server}`" for server in servers)
        lines += [f"## {title}", "| metric | kind | labels | meaning |", "|---|---|---|---|", *_rows(series), ""]
    return "\n".join(lines)


def _rows(series: Iterator[Series]) -> Iterator[str]:
    for each in series:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        yield f"| `{each.name}` | {each.kind} | {labels} | {each.help.rstrip('.')} |"


def write_page() -> None:
    """Write the page again."""
    PAGE.write_text(page(catalogue()), encoding="utf-8")


if __name__ == "__main__":
    write_page()
