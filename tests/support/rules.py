"""The rules of deploy/monitoring as tests read them: files, alerts, expressions, and the names and labels that these use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml

from tests.support.imports import ROOT

MONITORING: Final = ROOT / "deploy" / "monitoring"
RULE_FILES: Final = tuple(sorted((MONITORING / "rules").glob("*.yml")))
_HISTOGRAM: Final = ("_bucket", "_sum", "_count")


@dataclass(frozen=True)
class Rule:
    """One rule of a file."""

    file: str
    """Its stem: servers, orders, ..."""
    name: str
    expr: str
    alerting: bool
    hold: str = ""
    """For how long it has to be true, as it stands there."""
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Selected:
    """One series selector of an expression."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]
    """Label, operator (Equal, NotEqual, Re, NotRe), value."""

    @property
    def family(self) -> str:
        """Its name without what a histogram's samples add."""
        for suffix in _HISTOGRAM:
            if self.metric.endswith(suffix):
                return self.metric.removesuffix(suffix)
        return self.metric


def read_rules(path: Path) -> list[Rule]:
    """Read one rule file."""
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    return [_rule(path.stem, entry) for group in groups for entry in group["rules"]]


@cache
def all_rules() -> tuple[Rule, ...]:
    """Read every rule file."""
    return tuple(rule for path in RULE_FILES for rule in read_rules(path))


@cache
def alerts() -> tuple[Rule, ...]:
    """Read every alerting rule."""
    return tuple(rule for rule in all_rules() if rule.alerting)


def _rule(file: str, entry: dict[str, Any]) -> Rule:
    alerting = "alert" in entry
    return Rule(
        file=file,
        name=entry["alert"] if alerting else entry["record"],
        expr=entry["expr"],
        alerting=alerting,
        hold=str(entry.get("for", "")),
        labels=entry.get("labels", {}),
        annotations=entry.get("annotations", {}),
    )


def selectors(expr: str) -> list[Selected]:
    """Return what an expression reads; raises ValueError where it is no PromQL of the right types."""
    return [_selected(node) for node in _nodes(promql_parser.parse(expr)) if hasattr(node, "matchers")]


def grouped_labels(expr: str) -> set[str]:
    """Return the labels that an expression groups or joins by."""
    found: set[str] = set()
    for node in _nodes(promql_parser.parse(expr)):
        modifier = getattr(node, "modifier", None)
        for part in (modifier, getattr(modifier, "matching", None)):
            found |= set(getattr(part, "labels", None) or ())
        found |= set(getattr(modifier, "group_labels", None) or ())
    return found


def _selected(node: Any) -> Selected:
    matchers = tuple((each.name, str(each.op).rpartition(".")[2], each.value) for each in node.matchers.matchers)
    return Selected(node.name or "", matchers)


def _nodes(node: Any) -> Iterator[Any]:
    """Walk a parsed expression, whatever its nodes are called."""
    yield node
    for name in ("expr", "lhs", "rhs", "param", "args", "vector_selector"):
        below = getattr(node, name, None)
        if isinstance(below, (list, tuple)):
            for each in below:
                yield from _nodes(each)
        elif below is not None and not isinstance(below, (str, int, float)):
            yield from _nodes(below)
