"""Writes docs/metrics.md: every metric with its labels, what it means and who exposes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from services.cli.emf_catalogue import emf_catalogue
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
"""


_CLOUDWATCH: Final = """## CloudWatch
With `MIDSTREAM_METRICS_EMF=yes` a server writes the figures below to its standard output once a minute
(`MIDSTREAM_METRICS_EMF_INTERVAL_S`), as lines in CloudWatch's embedded metric format. Where standard output goes to CloudWatch Logs, as
with the log driver `awslogs`, they become metrics of the namespace `Midstream`; nothing runs beside the server, and it needs no right
to write metrics. The log itself goes to standard error and is the same with and without.

- Each metric has exactly the dimensions that the table names; `stage` is `MIDSTREAM_STAGE`, or `-` without it, `server` the name for
  `midstream serve`. Over other labels counters are added up, and of gauges the largest counts.
- Counters are what came since the line before: use the statistic `Sum`. The first line holds everything since the start, the last one,
  at an orderly end, what was left.
- Histograms are `Values` and `Counts`, each observation at the upper bound of its bucket and those above the last bound at that one:
  percentiles are never too small within the bounds. `Sum`, and so the average, is exact.
- "With 0: no" is left out while it is 0; let alarms take missing data as not breaching.
- CloudWatch bills each combination of metric and dimensions by the month: about 25 to 90 per server. The alternative without that price
  is a collector that scrapes `/metrics` and sends OTLP. Use one of the two.

```
MIDSTREAM_METRICS_EMF=yes MIDSTREAM_STAGE=dev midstream serve control 2>control.log | head -n 1
```

| metric | unit | dimensions | with 0 |
|---|---|---|---|
"""


def page(found: Sequence[Series]) -> str:
    """Return the page: what every server has, then what some have, grouped by who they are; last what CloudWatch gets."""
    lines = [_HEAD]
    every = len(own_servers())
    groups = sorted(found, key=lambda each: (-len(each.servers), each.servers, each.name))
    for servers, series in groupby(groups, key=lambda each: each.servers):
        title = "Every server" if len(servers) == every else ", ".join(f"`{server}`" for server in servers)
        lines += [f"## {title}", "| metric | kind | labels | meaning |", "|---|---|---|---|", *_rows(series), ""]
    return "\n".join(lines) + "\n" + _CLOUDWATCH + "".join(f"{row}\n" for row in _cloudwatch_rows())


def _cloudwatch_rows() -> Iterator[str]:
    for each in emf_catalogue():
        dimensions = ", ".join(f"`{name}`" for name in each.dimensions)
        yield f"| `{each.name}` | {each.unit} | {dimensions} | {'yes' if each.zeros else 'no'} |"


def _rows(series: Iterator[Series]) -> Iterator[str]:
    for each in series:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        yield f"| `{each.name}` | {each.kind} | {labels} | {each.help.rstrip('.')} |"


def write_page() -> None:
    """Write the page again."""
    PAGE.write_text(page(catalogue()), encoding="utf-8")


if __name__ == "__main__":
    write_page()
