"""Latency models as the kernel wants them: quantiles of what is drawn, the same on every machine."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from statistics import NormalDist
from typing import Final

from fastpath.columns import Block, Tickers
from fastpath.latency import QUANTILES, LatencyModel
from fastpath.survey import Survey
from services.replay.sources.errors import UnusableInput
from services.replay.sources.inputs import open_inputs
from services.replay.sources.latency_models import (
    LATENCY_NS_MAX,
    AsRecorded,
    Constant,
    Empirical,
    LatencyEntry,
    LatencyForm,
    Lognormal,
    Scaled,
    assign,
    parse_entry,
)
from services.replay.sources.options import HistoricalOptions
from services.replay.sources.row_reader import LATENCY_BOUND_MIN, Reading

READ_ROWS: Final = 8192
EXACT: Final = Context(prec=40)
"""Of decimals: the processor's own exponential function differs from machine to machine in its last bit."""


@dataclass(frozen=True)
class SourceLatency:
    """The model of one source."""

    text: str
    """As it was written."""
    kernel: LatencyModel
    digest: str
    """Of everything that decides about its arrivals beside the file; empty: they are the file's."""


def source_latencies(options: HistoricalOptions, names: Sequence[str]) -> tuple[SourceLatency, ...]:
    """Return the model of each source, by rank. Raises UnusableInput with the fix; reads the files that are drawn from."""
    entries = [parse_entry(text) for text in options.latency]
    tables: dict[LatencyForm, tuple[int, ...]] = {}
    return tuple(_source_latency(entry, rank, tables) for rank, entry in enumerate(assign(entries, names)))


def _source_latency(entry: LatencyEntry, rank: int, tables: dict[LatencyForm, tuple[int, ...]]) -> SourceLatency:
    form = entry.form
    if isinstance(form, AsRecorded):
        return SourceLatency(entry.text, LatencyModel(), "")
    if isinstance(form, Constant):
        return SourceLatency(entry.text, LatencyModel.constant(form.latency_ns), _digest(form))
    if isinstance(form, Scaled):
        kernel = LatencyModel.scaled(factor=form.factor, offset_ns=form.offset_ns)
        return SourceLatency(entry.text, kernel, _digest(form))
    if form not in tables:
        tables[form] = lognormal_quantiles(form) if isinstance(form, Lognormal) else empirical_quantiles(form)
    table = tables[form]
    kernel = LatencyModel.drawn(table, seed=form.seed, source_rank=rank)
    return SourceLatency(entry.text, kernel, _digest(("drawn", form.seed, table)))


def _digest(what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:32]


def lower_shares() -> list[Decimal]:
    """Return the shares of the draws that are below each of the lower quantiles; the upper ones mirror them."""
    steps = [
        EXACT.divide(Decimal(32 + step), Decimal(2 ** (38 - octave))) for octave in range(32) for step in range(32)
    ]
    return [Decimal(0), *steps]


@functools.lru_cache(maxsize=32)
def lognormal_quantiles(form: Lognormal) -> tuple[int, ...]:
    """Return the quantiles of a lognormal distribution; the lowest and the highest stand for 1 in 2^34 draws each."""
    sigma = form.sigma
    if sigma is None:
        assert form.p99_ns is not None
        ratio = EXACT.divide(Decimal(form.p99_ns), Decimal(form.median_ns))
        sigma = EXACT.divide(ratio.ln(EXACT), normal_deviation(Decimal("0.01")))
    factors = [EXACT.multiply(sigma, deviation).exp(EXACT) for deviation in _deviations()]
    median = Decimal(form.median_ns)
    lower = [EXACT.divide(median, factor) for factor in factors]
    upper = [EXACT.multiply(median, factor) for factor in reversed(factors)]
    if upper[-1] > LATENCY_NS_MAX:
        raise UnusableInput(
            "MIDSTREAM_LATENCY: draws of this lognormal model would be longer than 285 years; give a smaller sigma or p99"
        )
    quantiles = tuple(int(value.to_integral_value(context=EXACT)) for value in (*lower, median, *upper))
    assert len(quantiles) == QUANTILES
    return quantiles


@functools.cache
def _deviations() -> tuple[Decimal, ...]:
    shares = lower_shares()
    # What lies between 0 and the first share is drawn as evenly as between any two.
    shares[0] = shares[1] / 2
    return tuple(normal_deviation(share) for share in shares)


def normal_deviation(share: Decimal) -> Decimal:
    """Return how many standard deviations below the mean a normal distribution has `share` (up to a half) below it."""
    # One step of Newton's method makes 30 digits of the library's 15, which are not the same on every machine.
    deviation = Decimal(-NormalDist().inv_cdf(float(share)))
    density = EXACT.divide((-deviation * deviation / 2).exp(EXACT), _SQRT_TWO_PI)
    term = total = deviation
    odd = 1
    while term > _NEGLIGIBLE:
        odd += 2
        term = EXACT.divide(EXACT.multiply(term, deviation * deviation), Decimal(odd))
        total += term
    beyond = EXACT.subtract(Decimal("0.5"), EXACT.multiply(density, total))
    return deviation + EXACT.divide(beyond - share, density)


_SQRT_TWO_PI: Final = (2 * Decimal("3.1415926535897932384626433832795028841972")).sqrt(EXACT)
_NEGLIGIBLE: Final = Decimal("1e-40")


def empirical_quantiles(form: Empirical) -> tuple[int, ...]:
    """Return the quantiles of the latencies of a file, within 0.1 % of themselves; the ends are exact."""
    survey = _survey(form.path)
    spans = survey.spans()
    if spans is None:
        raise UnusableInput(
            f"MIDSTREAM_LATENCY: no row of {form.path} can be used, so there are no latencies to draw from; name another file"
        )
    (lowest, highest), shares = spans[2], [float(share) for share in lower_shares()]
    lower = [survey.latency_quantile(share) for share in (*shares, 0.5)]
    upper = [survey.latency_quantile(1.0 - share) for share in reversed(shares)]
    lower[0], upper[-1] = lowest, highest
    return (*lower, *upper)


def _survey(path: str) -> Survey:
    tickers = Tickers()
    block, survey = Block(tickers), Survey(latency_threshold_ns=0)
    [opened] = open_inputs([path])
    try:
        content = opened.content
        rows = content.read(
            Reading(
                tickers,
                HistoricalOptions(),
                content.beginning,
                latency_bound_ns=LATENCY_BOUND_MIN,
                check_order=False,
            )
        )
        while not rows.finished:
            rows.feed(block, READ_ROWS)
            survey.add(block)
            block.clear()
    finally:
        opened.close()
    if rows.damage:
        raise UnusableInput(f"MIDSTREAM_LATENCY: {path}: {rows.damage}; get the file again")
    return survey
