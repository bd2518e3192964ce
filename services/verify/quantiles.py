"""Tables of quantiles that latencies are drawn from: of a lognormal distribution, and of the latencies that a file has."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal, localcontext
from statistics import NormalDist

OCTAVES = STEPS = 32
LADDER = (0, *((STEPS + step) << 26 + octave for octave in range(OCTAVES) for step in range(STEPS)), 1 << 63)
"""Shares of all draws, in 2^-64, closer towards the end. A table has a quantile for each, and the same mirrored behind the median."""
DIGITS = 50
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
EXACT_BELOW = 2048
"""Latencies up to here are counted each by itself; larger ones by their ten leading bits behind the first."""


@functools.cache
def lognormal(median_ns: int, sigma: Decimal | None, p99_ns: int) -> tuple[int, ...]:
    """Return the table of a median and a standard deviation of the logarithm, or a 99th percentile in its place."""
    with localcontext(prec=DIGITS):
        if sigma is None:
            sigma = (Decimal(p99_ns) / median_ns).ln() / _deviation(Decimal("0.01"))
        # The outermost quantile stands in the middle of what is beyond the one before it.
        shares = [Decimal(rung) / 2**64 for rung in (LADDER[1] // 2, *LADDER[1:-1])]
        factors = [(sigma * _deviation(share)).exp() for share in shares]
        exact = [*(median_ns / factor for factor in factors), *(median_ns * factor for factor in reversed(factors))]
        rounded = [int(value.to_integral_value()) for value in exact]
        return (*rounded[: len(factors)], median_ns, *rounded[len(factors) :])


@functools.cache
def _deviation(share: Decimal) -> Decimal:
    """Return how many standard deviations below the mean a normal distribution has this share (up to a half) below it."""
    # Newton's method, which doubles the digits that the library gives.
    found = Decimal(-NormalDist().inv_cdf(float(share)))
    for _ in range(10):
        density = (-found * found / 2).exp() / (2 * PI).sqrt()
        step = (_beyond(found, density) - share) / density
        found += step
        if abs(step) < Decimal("1e-40"):
            break
    return found


def _beyond(deviation: Decimal, density: Decimal) -> Decimal:
    """Return the share beyond a deviation, by the series of the normal distribution around its mean."""
    term = total = deviation
    odd = 1
    while term > Decimal("1e-48"):
        odd += 2
        term = term * deviation * deviation / odd
        total += term
    return Decimal("0.5") - density * total


def empirical(latencies: Iterable[int]) -> tuple[int, ...]:
    """Return the table of these latencies: within 0.1 % of themselves, exact at both ends. Raises ValueError when there are none."""
    counts: Counter[int] = Counter()
    lowest = highest = None
    for latency_ns in latencies:
        counts[_middle(latency_ns)] += 1
        lowest = latency_ns if lowest is None else min(lowest, latency_ns)
        highest = latency_ns if highest is None else max(highest, latency_ns)
    if lowest is None or highest is None:
        raise ValueError("no row that is drawn from can be used")
    values = sorted(counts)
    total, behind = counts.total(), 0
    # For each value how many latencies are up to it.
    ends = [behind := behind + counts[value] for value in values]
    lower = [rung / 2**64 for rung in LADDER[:-1]]
    shares = [*lower, 0.5, *(1.0 - share for share in reversed(lower))]
    table, at = [], 0
    for share in shares:
        rank = min(total - 1, int(share * total))
        while ends[at] <= rank:
            at += 1
        table.append(min(max(values[at], lowest), highest))
    table[0], table[-1] = lowest, highest
    return tuple(table)


def _middle(latency_ns: int) -> int:
    """Return the middle of the bucket that a latency is counted in."""
    size = abs(latency_ns)
    if size < EXACT_BELOW:
        return latency_ns
    shift = size.bit_length() - 11
    middle = (size >> shift << shift) + (1 << shift) // 2
    return middle if latency_ns > 0 else -middle
