"""One object per fixed name, and never more than so many."""

from __future__ import annotations

import re
from collections.abc import Callable
from threading import Lock
from typing import Final, Generic, TypeVar

T = TypeVar("T")

NAMES_MAX: Final = 128
"""Targets times endpoint groups of everything that exists is well below this."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.:/-]{0,63}")


class Keyed(Generic[T]):
    """Makes the object of a name when it is first asked for, and keeps it.

    Names come from fixed sets. One that looks otherwise, or one too many, raises ValueError: somebody uses input as a name, and
    memory would grow with it.
    """

    def __init__(self, what: str, make: Callable[[str], T], *, names_max: int = NAMES_MAX) -> None:
        self._what = what
        self._make = make
        self._names_max = names_max
        self._lock = Lock()
        self._objects: dict[str, T] = {}

    def get(self, *names: str) -> T:
        """Return the object of this name; several names are joined by a slash."""
        name = names[0] if len(names) == 1 else "/".join(names)
        found = self._objects.get(name)
        return self._add(name) if found is None else found

    def all(self) -> dict[str, T]:
        """Return what has been made so far."""
        return dict(self._objects)

    def _add(self, name: str) -> T:
        if _NAME.fullmatch(name) is None:
            raise ValueError(
                f"{self._what} name {name[:80]!r} is not from a fixed set; use lower case letters, digits and _.:/-"
            )
        with self._lock:
            if name not in self._objects:
                if len(self._objects) >= self._names_max:
                    raise ValueError(
                        f"`{name}` would be {self._what} number {self._names_max + 1}; names are from a fixed set, never from input"
                    )
                self._objects[name] = self._make(name)
            return self._objects[name]
