"""Figures for Prometheus about a sink: reported by the engine, exposed by its server."""

from __future__ import annotations

from typing import Final

from services.runtime.figures import Figure
from services.runtime.session_figures import chosen, session_figures

__all__ = ["CREATED_FIGURES", "PRICE_FIGURES", "SESSION_FIGURES"]

PRICE_FIGURES: Final = (
    Figure("midstream_price_sequence", "gauge", "Sequence of the last record committed to the logs", born=False),
    Figure("midstream_lag_records", "gauge", "Records between the newest one and this sink's position", born=False),
    Figure("midstream_lag_seconds", "gauge", "Data time between the newest record and this sink's position", born=False),
    Figure("midstream_price_mids_total", "counter", "Mid prices written"),
    Figure("midstream_price_latency_filtered_total", "counter", "Ticks whose latency was above the threshold"),
    Figure("midstream_price_missing_side_total", "counter", "Ticks without bid or ask"),
    Figure("midstream_price_rejected_total", "counter", "Rejections written"),
    Figure("midstream_price_commit_seconds_total", "counter", "Time spent in making the logs durable"),
    Figure("midstream_price_commits_total", "counter", "Commits of the logs"),
)  # fmt: skip

CREATED_FIGURES: Final = chosen(PRICE_FIGURES, {"midstream_lag_seconds", "midstream_price_mids_total"})
"""What is shown of the sink of each created session."""
SESSION_FIGURES: Final = session_figures(CREATED_FIGURES)
