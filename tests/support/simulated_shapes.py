"""Compare the shapes of payloads."""

from __future__ import annotations

from typing import Any


def lacking(ours: Any, theirs: Any, *, without: frozenset[str] = frozenset()) -> list[str]:
    """Return what a recorded payload has and ours has not, or has as another kind of value; lists are compared by their first row."""
    problems: list[str] = []
    _compare(ours, theirs, "", without, problems)
    return problems


def _compare(ours: Any, theirs: Any, place: str, without: frozenset[str], problems: list[str]) -> None:
    if isinstance(theirs, dict):
        if not isinstance(ours, dict):
            problems.append(f"{place}: not an object")
            return
        for name, value in theirs.items():
            if name in without:
                continue
            if name not in ours:
                problems.append(f"{place}.{name} is missing")
            else:
                _compare(ours[name], value, f"{place}.{name}", without, problems)
    elif isinstance(theirs, list):
        if not isinstance(ours, list):
            problems.append(f"{place}: not a list")
        elif ours and theirs:
            _compare(ours[0], theirs[0], f"{place}[0]", without, problems)
    elif theirs is not None and ours is not None and _kind(ours) != _kind(theirs):
        problems.append(f"{place}: {ours!r} where {theirs!r} was recorded")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "truth"
    return "text" if isinstance(value, str) else "number"
