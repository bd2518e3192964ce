"""The dashboards of deploy/monitoring as tests read them: from their JSON, as Grafana does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.rules import MONITORING

DASHBOARDS: Final = tuple(sorted((MONITORING / "grafana" / "dashboards").glob("*.json")))
# What Grafana puts in before it asks.
_VARIABLES: Final = {"$__rate_interval": "1m", "$__range": "3h", "$server": ".*"}


@dataclass(frozen=True)
class Asked:
    """One query of one panel."""

    dashboard: str
    panel: str
    expr: str
    """With Grafana's variables filled in."""
    legend: str

    @property
    def title(self) -> str:
        return f"{self.dashboard}: {self.panel}"


def read_dashboard(path: Path) -> dict[str, Any]:
    """Read one file."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def panels(path: Path) -> list[dict[str, Any]]:
    """Return the panels of a dashboard that draw something."""
    return [panel for panel in read_dashboard(path)["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Asked]:
    """Return every query of every panel."""
    for path in DASHBOARDS:
        for panel in panels(path):
            for target in panel["targets"]:
                yield Asked(path.stem, panel["title"], filled(target["expr"]), target["legendFormat"])


def filled(expr: str) -> str:
    """Put in what Grafana would."""
    for name, value in _VARIABLES.items():
        expr = expr.replace(name, value)
    return expr
