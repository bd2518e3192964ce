"""Which metrics alarms and dashboard ask for, and what is wrong with them: CloudWatch says nothing of a metric that does not exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.cli.emf_catalogue import emf_catalogue
from services.orders.engine.outcomes import Fate
from tests.deployment.aws.shapes import DEPLOYED
from tests.support.cloudformation import STAGES, Stack

NAMESPACE: Final = "Midstream"
GRID: Final = 24
STATISTICS: Final = {"Sum", "Maximum", "Minimum", "Average"}

_NODE: Final = frozenset({"CacheClusterId"})
_DATABASE: Final = frozenset({"DBInstanceIdentifier"})
_BALANCER: Final = frozenset({"LoadBalancer"})
_TASKS: Final = frozenset({"ClusterName", "ServiceName"})
OF_AWS: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count"): _BALANCER,
    ("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count"): _BALANCER,
    ("AWS/ElastiCache", "DatabaseMemoryUsagePercentage"): _NODE,
    ("AWS/ElastiCache", "EngineCPUUtilization"): _NODE,
    ("AWS/RDS", "CPUUtilization"): _DATABASE,
    ("AWS/RDS", "DatabaseConnections"): _DATABASE,
    ("AWS/RDS", "FreeStorageSpace"): _DATABASE,
    ("ECS/ContainerInsights", "MemoryUtilized"): _TASKS,
    ("ECS/ContainerInsights", "RunningTaskCount"): _TASKS,
}
"""What AWS's own pages list, with the dimensions that they have."""
VALUES: Final = {
    "outcome": {"accepted", *(fate.name.lower() for fate in Fate)},
    "state": {"open"},
    "stage": set(STAGES),
    "server": set(DEPLOYED),
    "exchange": {"binance", "bybit"},
}

_QUERY: Final = re.compile(
    r"SELECT (?:MIN|MAX|SUM|AVG)\((?P<name>\w+)\) FROM SCHEMA\(\"(?P<namespace>[\w/]+)\", (?P<dimensions>[^)]+)\)"
    r" WHERE (?P<where>.+?)(?: GROUP BY (?P<by>\"?\w+\"?))?"
)
_RESERVED: Final = {"group", "limit"}
"""Words of the query language, which have to stand in quotes."""


@dataclass(frozen=True)
class Asked:
    """One metric that something asks for."""

    at: str
    namespace: str
    name: str
    dimensions: frozenset[str]
    values: tuple[tuple[str, str], ...] = ()


class NoQuery(ValueError):
    """A query that is none."""


def asked_by_query(at: str, text: str) -> Asked:
    """Read a query of Metrics Insights. Raises NoQuery."""
    match = _QUERY.fullmatch(text.strip())
    if match is None:
        raise NoQuery(f"{at}: this is no query: {text}")
    words = [word.strip() for word in match["dimensions"].split(",")]
    for word in [*words, *filter(None, [match["by"]])]:
        if word in _RESERVED:
            raise NoQuery(f"{at}: {word} is a word of the language and needs quotes")
    dimensions = frozenset(word.strip('"') for word in words)
    if match["by"] and match["by"].strip('"') not in dimensions:
        raise NoQuery(f"{at}: grouped by {match['by']}, which it has not")
    values = tuple((name, value) for name, value in re.findall(r"(\w+) = '([^']*)'(?: AND |$)", match["where"]))
    return Asked(at, match["namespace"], match["name"], dimensions, values)


def asked_by_alarms(stack: Stack) -> Iterator[Asked]:
    """Return what every alarm asks for."""
    for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items():
        if "MetricName" in alarm:
            yield _plain(name, alarm)
        for each in alarm.get("Metrics", []):
            if "MetricStat" in each:
                yield _plain(f"{name}.{each['Id']}", each["MetricStat"]["Metric"])
            elif each["Expression"].startswith("SELECT"):
                yield asked_by_query(name, each["Expression"])


def _plain(at: str, metric: Mapping[str, Any]) -> Asked:
    pairs = tuple((each["Name"], str(each["Value"])) for each in metric["Dimensions"])
    return Asked(at, metric["Namespace"], metric["MetricName"], frozenset(name for name, _ in pairs), pairs)


def body_of(stack: Stack) -> dict[str, Any]:
    """Return what the dashboard shows. Raises ValueError where it is no JSON."""
    (board,) = stack.of_type("AWS::CloudWatch::Dashboard").values()
    return dict(json.loads(board["DashboardBody"]))


def asked_by_dashboard(body: Mapping[str, Any]) -> Iterator[Asked]:
    """Return what every widget asks for."""
    for widget in body["widgets"]:
        title = widget["properties"].get("title", "")
        above: list[str] = []
        for row in widget["properties"].get("metrics", []):
            if isinstance(row[0], dict):
                yield asked_by_query(title, row[0]["expression"])
                continue
            above = [above[index] if cell == "." else cell for index, cell in enumerate(row)]
            pairs = tuple(zip(above[2::2], above[3::2], strict=True))
            yield Asked(title, above[0], above[1], frozenset(name for name, _ in pairs), pairs)


def unknown(asked: Asked) -> str:
    """Return what is wrong with a metric that is asked for; empty where it exists."""
    if asked.namespace != NAMESPACE:
        dimensions = OF_AWS.get((asked.namespace, asked.name))
        if dimensions is None:
            return f"{asked.at}: there is no {asked.namespace} {asked.name}"
        return "" if dimensions == asked.dimensions else f"{asked.at}: {asked.name} has {sorted(dimensions)}"
    series = {each.name: each for each in emf_catalogue()}.get(asked.name)
    if series is None:
        return f"{asked.at}: there is no {asked.name}"
    if asked.dimensions != set(series.dimensions):
        return f"{asked.at}: {asked.name} has {sorted(series.dimensions)}, not {sorted(asked.dimensions)}"
    for name, value in asked.values:
        if name in VALUES and value not in VALUES[name]:
            return f"{asked.at}: {name} is never {value}"
        if name == "server" and value not in series.servers:
            return f"{asked.at}: {value} has no {asked.name}"
    return ""


def crooked(body: Mapping[str, Any]) -> Iterator[str]:
    """Say which widgets are outside of the grid, or on top of each other."""
    taken: dict[tuple[int, int], str] = {}
    for number, widget in enumerate(body["widgets"]):
        title = widget["properties"].get("title", f"widget {number}")
        x, y, width, height = (widget[name] for name in ("x", "y", "width", "height"))
        if x < 0 or y < 0 or width < 1 or height < 1 or x + width > GRID:
            yield f"{title}: outside of the grid"
        cells = [(column, row) for column in range(x, x + width) for row in range(y, y + height)]
        yield from {f"{title}: on top of {taken[cell]}" for cell in cells if cell in taken}
        taken.update(dict.fromkeys(cells, title))
        if widget["type"] not in ("metric", "text"):
            yield f"{title}: there is no {widget['type']}"
        if widget["type"] == "metric" and not {"metrics", "region", "title"} <= widget["properties"].keys():
            yield f"{title}: shows nothing"
        queries = [row for row in widget["properties"].get("metrics", []) if isinstance(row[0], dict)]
        if len(queries) > 1:
            yield f"{title}: one query a widget"
