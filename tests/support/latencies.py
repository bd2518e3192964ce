"""Latency models for tests: the reference's, and the kernel's that should be the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastpath.latency import LatencyModel
from services.replay.sources import HistoricalOptions
from services.replay.sources.latency_kernels import lognormal_quantiles
from services.replay.sources.latency_models import Lognormal, parse_entry
from tests.reference.history import HistoryOptions
from tests.reference.latency import AS_RECORDED, SHARES, Model

MS = 10**6

SPREAD = tuple(int(-2_000_000 + 30_000_000 * share**3) for share in SHARES)
"""Quantiles from -2 ms to 28 ms."""


def kernel_model(model: Model, *, rank: int = 0) -> LatencyModel:
    """Return the kernel's model for a model of the reference."""
    if model.quantiles:
        return LatencyModel.drawn(model.quantiles, seed=model.seed, source_rank=rank)
    if not model.follows_file:
        return LatencyModel.constant(model.offset_ns)
    return LatencyModel.scaled(factor=model.factor, offset_ns=model.offset_ns) if model.changes else LatencyModel()


def reference_model(text: str, rank: int) -> Model:
    """Return the reference's model for what is written."""
    name, _, rest = text.partition(":")
    if name == "file":
        return AS_RECORDED
    if name == "lognormal":
        form = parse_entry(text).form
        assert isinstance(form, Lognormal)
        return Model(quantiles=lognormal_quantiles(form), seed=form.seed, rank=rank, follows_file=False)
    if name == "constant":
        return Model(factor=0.0, offset_ns=int(rest.removesuffix("ms")) * MS, follows_file=False)
    if name == "offset":
        return Model(offset_ns=int(rest.removesuffix("ms")) * MS)
    factor, _, offset = rest.partition(",offset=")
    return Model(factor=float(factor), offset_ns=int(offset.removesuffix("ms") or 0) * MS)


def chosen_options(
    paths: Sequence[str], texts: Sequence[str], **chosen: Any
) -> tuple[HistoricalOptions, HistoryOptions]:
    """Return the same options for the product and for the reference; each source has the model at its place."""
    entries = tuple(f"{path}={text}" for path, text in zip(paths, texts, strict=True))
    models = tuple(reference_model(text, rank) for rank, text in enumerate(texts))
    return HistoricalOptions(latency=entries, **chosen), HistoryOptions(latencies=models, **chosen)
