"""Markers that wait for their record, as they lie in the checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from fastpath.frame import MARKER_DISCONNECTED, MARKER_DISCONTINUITY, MARKER_SEAM
from fastpath.records import Marker

if TYPE_CHECKING:
    from fastpath.columns import Key

_AHEAD: Final = (MARKER_DISCONNECTED, MARKER_DISCONTINUITY)


def seam(
    *, previous_mode: int, mode: int, last_key: Key | None, time_ns: int, revision: int = 0, reason: str = ""
) -> Marker:
    """Return the marker of a switch."""
    return Marker(
        kind=MARKER_SEAM,
        previous_mode=previous_mode,
        mode=mode,
        last_key=last_key,
        time_ns=time_ns,
        revision=revision,
        reason=reason,
    )


def to_json(markers: Iterable[Marker]) -> tuple[dict[str, Any], ...]:
    """Return the markers as JSON values; fields at their default are left out."""
    # A discontinuity never waits, so there is no state among them.
    return tuple({name: value for name, value in asdict(marker).items() if value} for marker in markers)


def from_json(stored: Iterable[Mapping[str, Any]]) -> list[Marker]:
    """Return the markers of a checkpoint; fields of a newer version are ignored."""
    known = Marker.__dataclass_fields__
    restored: list[Marker] = []
    for fields in stored:
        values: dict[str, Any] = {name: value for name, value in fields.items() if name in known}
        for name in ("last_key", "first_key"):
            values[name] = _key(values.get(name))
        restored.append(Marker(**values))
    return restored


def addressed(markers: Iterable[Marker], first_key: Key | None) -> list[Marker]:
    """Return the markers with the key of the record that follows them, where they do not go out ahead of it."""
    return [marker if marker.kind in _AHEAD else replace(marker, first_key=first_key) for marker in markers]


def _key(stored: Any) -> Key | None:
    return None if stored is None else (int(stored[0]), int(stored[1]), int(stored[2]))
