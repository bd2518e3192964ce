"""A list of advisories in the tree, in the form of OSV, and what it says about a version."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from packaging.version import InvalidVersion, Version

from supply.locks import ROOT, canonical

FILE: Final = ROOT / "supply" / "advisories.json"


class NoVerdict(Exception):
    """The list cannot be relied on; says why and what to do."""


@dataclass(frozen=True)
class Listed:
    """The list."""

    as_of: date
    origin: str
    covers: frozenset[tuple[str, str]]
    """(ecosystem, name) of every package of which it knows all that its origin knew."""
    advisories: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Hit:
    """One version that an advisory names."""

    name: str
    version: str
    identifier: str
    aliases: tuple[str, ...]
    fixed: tuple[str, ...]
    where: str


def read_list(path: Path = FILE) -> Listed:
    """Return the list. Raises NoVerdict where it is missing or not what it should be."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        listed = Listed(
            date.fromisoformat(found["as_of"]),
            str(found["origin"]),
            frozenset(
                (str(ecosystem), canonical(name)) for ecosystem, names in found["covers"].items() for name in names
            ),
            tuple(found["advisories"]),
        )
        for each in listed.advisories:
            _check(each)
    except FileNotFoundError:
        raise NoVerdict(
            f"there is no list of advisories at {path}: nothing is known; run `make audit-refresh`"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise NoVerdict(
            f"the list of advisories at {path} cannot be read ({type(exc).__name__}: {exc}); restore it, or run `make audit-refresh`"
        ) from exc
    return listed


def age_days(listed: Listed, now: datetime) -> int:
    """Return how old the list is; a list from the future is no list."""
    days = (now.astimezone(UTC).date() - listed.as_of).days
    if days < 0:
        raise NoVerdict(
            f"the list of advisories is of {listed.as_of}, which is {-days} days ahead: check this machine's clock"
        )
    return days


def hits(listed: Listed, ecosystem: str, name: str, version: str, where: str) -> list[Hit]:
    """Return the advisories that name this version."""
    found = []
    for each in listed.advisories:
        if each.get("withdrawn"):
            continue
        about = [
            one for one in each["affected"]
            if one["package"]["ecosystem"] == ecosystem and canonical(one["package"]["name"]) == canonical(name)
        ]  # fmt: skip
        if any(_affects(one, version) for one in about):
            fixed = [
                event["fixed"]
                for one in about
                for spans in one.get("ranges", ())
                for event in spans["events"]
                if "fixed" in event
            ]
            found.append(Hit(name, version, each["id"], tuple(each.get("aliases", ())), tuple(fixed), where))
    return found


def _affects(affected: dict[str, Any], version: str) -> bool:
    if version in affected.get("versions", ()):
        return True
    mine = Version(version)
    return any(_inside(spans["events"], mine) for spans in affected.get("ranges", ()) if spans["type"] != "GIT")


def _inside(events: Sequence[dict[str, str]], mine: Version) -> bool:
    """Walk the events in order of their versions: the last one at or below ours decides."""
    inside = False
    for version, kind in sorted((_version(text), kind) for event in events for kind, text in event.items()):
        if kind == "introduced" and mine >= version:
            inside = True
        elif (kind == "fixed" and mine >= version) or (kind == "last_affected" and mine > version):
            inside = False
    return inside


def _version(text: str) -> Version:
    # OSV's word for "from the beginning".
    return Version("0.dev0") if text == "0" else Version(text)


def _check(advisory: dict[str, Any]) -> None:
    if not isinstance(advisory["id"], str) or not advisory["affected"]:
        raise ValueError("an advisory without id or without packages")
    for affected in advisory["affected"]:
        str(affected["package"]["ecosystem"]), str(affected["package"]["name"])
        if not affected.get("ranges") and not affected.get("versions"):
            raise ValueError(f"{advisory['id']} names no versions")
        for spans in affected.get("ranges", ()):
            for event in spans["events"]:
                for text in event.values() if spans["type"] != "GIT" else ():
                    try:
                        _version(text)
                    except InvalidVersion as exc:
                        raise ValueError(f"{advisory['id']}: {exc}") from exc
