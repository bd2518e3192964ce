"""Latency models, readably: what a row's latency is, and when the row arrives behind the one before it.

A model is one of three: the latency of the file times a factor plus an offset; a constant, which is the same with a factor
of zero; or a draw from quantiles. It imports nothing of the project and knows nothing of files.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction

GOLDEN = 0x9E3779B97F4A7C15
MASK = 2**64 - 1
BEFORE_EVERYTHING = -(2**63)
LIMIT_NS = 9.2e18
OCTAVES, STEPS = 32, 32


def shares() -> list[Fraction]:
    """Return the shares of the draws that are below each quantile: closer and closer towards both ends."""
    lower = [Fraction(0)]
    for octave in range(OCTAVES):
        lower += [Fraction(STEPS + step, STEPS) / 2 ** (OCTAVES + 1 - octave) for step in range(STEPS)]
    return [*lower, Fraction(1, 2), *(1 - share for share in reversed(lower))]


SHARES = shares()


def mixed(value: int) -> int:
    """Return a hash of 64 bits: the finaliser of splitmix64."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & MASK
    return value ^ (value >> 31)


def draw(seed: int, rank: int, row: int) -> int:
    """Return 64 random bits that depend on these three numbers and on nothing else."""
    key = mixed((mixed(seed) + GOLDEN * (rank + 1)) & MASK)
    return mixed((key + GOLDEN * row) & MASK)


def quantile(quantiles: tuple[int, ...], bits: int) -> int:
    """Return the latency that a share `bits` / 2^64 of all draws is below: on a line between two quantiles."""
    # The upper half is the lower one seen from its end, so that both ends are alike.
    from_top = bits >= 2**63
    ladder = quantiles[::-1] if from_top else quantiles
    share = Fraction(MASK - bits if from_top else bits, 2**64)
    step = bisect_right(SHARES, share, hi=OCTAVES * STEPS + 1) - 1
    part = (share - SHARES[step]) / (SHARES[step + 1] - SHARES[step])
    return ladder[step] + int((ladder[step + 1] - ladder[step]) * part // 1)


@dataclass(frozen=True)
class Model:
    """What becomes of the latencies of one source."""

    factor: float = 1.0
    offset_ns: int = 0
    quantiles: tuple[int, ...] = ()
    seed: int = 0
    rank: int = 0
    follows_file: bool = True
    """A row that overtakes the row before it in the file may do so under the model."""

    @property
    def changes(self) -> bool:
        """Tell whether rows arrive otherwise than their file says."""
        return self != AS_RECORDED

    def latency_ns(self, of_file_ns: int, row: int) -> int | None:
        """Return the latency of one row, alone in its channel; None: it is too large."""
        if self.quantiles:
            return quantile(self.quantiles, draw(self.seed, self.rank, row))
        scaled_ns = of_file_ns
        if self.factor != 1.0:
            product = of_file_ns * self.factor
            if not abs(product) < LIMIT_NS:
                return None
            scaled_ns = round(product)
        latency_ns = scaled_ns + self.offset_ns
        return latency_ns if -(2**63) <= latency_ns < 2**63 else None

    def lowest_ns(self, of_file_ns: int) -> int:
        """Return what no latency is below when none of the file is below `of_file_ns`."""
        if self.quantiles:
            return self.quantiles[0]
        lowest = self.latency_ns(of_file_ns, 0)
        assert lowest is not None
        return lowest


AS_RECORDED = Model()


def arrivals(rows: list[tuple[int, int]], model: Model, *, first_row: int = 2) -> list[int]:
    """Return when rows arrive, each given as (event, latency in the file), in the order of the file; None of them is too large."""
    if not model.changes:
        return [event_ns + latency_ns for event_ns, latency_ns in rows]
    found: list[int] = []
    previous_ns = previous_in_file_ns = BEFORE_EVERYTHING
    for row, (event_ns, of_file_ns) in enumerate(rows, start=first_row):
        latency_ns = model.latency_ns(of_file_ns, row)
        assert latency_ns is not None
        arrival_ns = event_ns + latency_ns
        overtakes_in_file = event_ns + of_file_ns < previous_in_file_ns
        if not (overtakes_in_file and model.follows_file):
            arrival_ns = max(arrival_ns, previous_ns)
        previous_ns, previous_in_file_ns = arrival_ns, event_ns + of_file_ns
        found.append(arrival_ns)
    return found
