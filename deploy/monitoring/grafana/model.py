"""What a dashboard shows, as plain values: rows of panels, each with its queries, its unit and when to worry."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum, unique


@unique
class Kind(StrEnum):
    """How a panel draws."""

    LINES = "lines"
    STAT = "stat"
    """The newest values, large."""
    STATES = "states"
    """A band for each series, coloured by its value over time."""


@unique
class Colour(StrEnum):
    """Grafana's names."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"
    GREY = "#808080"


@dataclass(frozen=True)
class Query:
    """One expression, and how its series are called: `{{label}}` stands for a label."""

    expr: str
    legend: str


@dataclass(frozen=True)
class State:
    """What one value means, and its colour."""

    value: int
    text: str
    colour: Colour


@dataclass(frozen=True)
class Panel:
    """One panel; `worry` and `alarm` are where its colour turns, upwards, or downwards where `worry` is the larger."""

    title: str
    description: str
    unit: str
    """Grafana's id of the unit; empty for plain numbers."""
    queries: tuple[Query, ...]
    kind: Kind = Kind.LINES
    width: int = 12
    """Of 24 columns."""
    worry: float | None = None
    alarm: float | None = None
    states: tuple[State, ...] = ()
    decimals: int | None = None
    empty: str = ""
    """What it means when there is nothing to draw; shown in its place."""


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Board:
    """One dashboard."""

    name: str
    """Its file and, behind `midstream-`, its address in Grafana."""
    title: str
    description: str
    rows: tuple[Row, ...]
    by_server: bool = field(default=False)
    """Whether one can choose servers: queries then have `$server`."""


def one(expr: str, legend: str) -> tuple[Query, ...]:
    """Return the queries of a panel that has one."""
    return (Query(expr, legend),)


YES_IS_GOOD = (State(0, "no", Colour.RED), State(1, "yes", Colour.GREEN))
NO_IS_GOOD = (State(0, "no", Colour.GREEN), State(1, "yes", Colour.RED))
