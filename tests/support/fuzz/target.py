"""What a campaign needs to know about one reader of bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple


class Outcome(NamedTuple):
    """What became of one input. Neither: it held nothing to read."""

    records: int
    refused: int


READ = Outcome(1, 0)
REFUSED = Outcome(0, 1)


@dataclass(frozen=True)
class Target:
    """One reader. `run` lets through every exception that the reader does not promise: that is a finding."""

    name: str
    corpus: Sequence[bytes]
    run: Callable[[bytes, Random], Outcome]
    tokens: Sequence[bytes] = ()
    share: int = 1
    """Of the inputs of a campaign, against the other targets."""
