"""What an exchange may be asked, by groups that fail together: known from the start, for breakers as for figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

MARKET: Final = "market"
"""The group of everything that needs no key: prices, instruments, the time."""


@dataclass(frozen=True)
class Endpoints:
    """The operations of an exchange, by group, and the targets that have them."""

    targets: tuple[str, ...]
    """Sides with breakers of their own: `binance:spot`, `bitmex`."""
    groups: Mapping[str, tuple[str, ...]]
    _group_of: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = {operation: group for group, operations in self.groups.items() for operation in operations}
        object.__setattr__(self, "_group_of", found)

    def group_of(self, operation: str) -> str:
        """Return the group of an operation; one that is in none is a KeyError."""
        return self._group_of[operation]

    def known(self, *, trading: bool) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Yield target, group and operations of everything that may be asked, or of what prices need alone."""
        for target in self.targets:
            for group, operations in self.groups.items():
                if trading or group == MARKET:
                    yield target, group, operations
