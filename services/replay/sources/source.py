"""The interface between the engine and a source of ticks, recorded or live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastpath.columns import Block
from fastpath.records import Marker


@dataclass(frozen=True)
class Poll:
    """What one poll brought.

    No rows without `ended` means: nothing to hand over yet, ask again (a filter may leave out millions of rows).
    `markers` precede the rows; `urgent` markers go out at once, without waiting for a row.
    """

    rows: int = 0
    ended: bool = False
    markers: tuple[Marker, ...] = ()
    urgent: bool = False


@dataclass(frozen=True)
class Complaints:
    """What is wrong with recorded files, for people."""

    damage: tuple[str, ...] = ()
    """Per damaged file: name, row and what happened there."""
    unusable: tuple[str, ...] = ()
    """Per file of which no row could be used: the first one, its reason, and what rows should look like."""
    remarks: tuple[str, ...] = ()
    """Per file that may not be whole: name and why."""
    unmatched_tickers: tuple[str, ...] = ()
    """Tickers that were asked for and that no row has."""


class TickSource(Protocol):
    """Rows in final order, from files or from a feed. One thread polls."""

    @property
    def mode(self) -> int:
        """Return MODE_HISTORICAL or MODE_LIVE."""

    @property
    def names(self) -> Sequence[str]:
        """Return the names of the sources, by rank."""

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to deliver; calling it again changes nothing. `wake` may be called from other threads."""

    def poll(self, into: Block, limit: int) -> Poll:
        """Append at most about `limit` rows to `into`, in final order."""

    def stop(self) -> None:
        """Let go of files, threads and connections."""
