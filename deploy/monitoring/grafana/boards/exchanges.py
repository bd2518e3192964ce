"""The ways to exchanges: breakers, headroom of limits, what becomes of requests, clocks and streams."""

# A sentence and an expression are read whole.
# ruff: noqa: E501

from __future__ import annotations

from typing import Final

from deploy.monitoring.grafana.model import Board, Colour, Kind, Panel, Query, Row, State, one

_BREAKER = (
    State(0, "closed", Colour.GREEN), State(1, "half open", Colour.YELLOW), State(2, "open", Colour.RED),
    State(3, "opened by hand", Colour.GREY),
)  # fmt: skip

EXCHANGES: Final = Board(
    name="exchanges",
    title="Midstream / Exchanges",
    description="Breakers over time, headroom of every limit, requests by outcome, clocks and streams.",
    rows=(
        Row(
            "Protection",
            (
                Panel(
                    "Breakers", "By target and endpoint group, the worst of all processes. Runbook: BreakerOpen.", "",
                    one('max by (target, group) (midstream_exchange_breaker_state{state="half_open"}'
                        ' or 2 * midstream_exchange_breaker_state{state="open"} or 3 * midstream_exchange_breaker_state{state="forced_open"}'
                        ' or 0 * midstream_exchange_breaker_state{state="closed"})',
                        "{{target}} {{group}}"),
                    Kind.STATES, width=24, states=_BREAKER,
                ),
                Panel(
                    "Headroom of limits", "Share of each limit that is left; cancels may use the last tenth. Runbook: LimitNearlyUsed.",
                    "percentunit",
                    one("1 - max by (limit) (midstream_exchange_limiter_fill)", "{{limit}}"), worry=0.3, alarm=0.1,
                ),
                Panel(
                    "Calls that were not let out", "Per second, by what refused them: breaker, limiter, bulkhead, deadline.", "cps",
                    one("sum by (target, by) (rate(midstream_exchange_refusals_total[$__rate_interval])) > 0", "{{target}} {{by}}"),
                    worry=0.1, alarm=1, empty="nothing is refused",
                ),
                Panel(
                    "Throttled", "Answers 429 and 418 within 5 minutes. Runbook: ExchangeThrottles.", "",
                    one("sum by (target) (increase(midstream_exchange_throttles_total[5m]))", "{{target}}"), worry=1, decimals=0,
                ),
                Panel(
                    "Repetitions", "Per second, by reason; a tenth of the requests at most. Runbook: RetriesUsedUp.", "cps",
                    one("sum by (target, reason) (rate(midstream_exchange_retries_total[$__rate_interval])) > 0", "{{target}} {{reason}}"),
                    empty="nothing is repeated",
                ),
            ),
        ),
        Row(
            "Requests",
            (
                Panel(
                    "Rate", "Attempts per second by target and endpoint group.", "reqps",
                    one("target_group:midstream_exchange_attempts:rate5m", "{{target}} {{group}}"), width=8,
                ),
                Panel(
                    "Without a usable answer", "Share of the attempts. Runbook: ExchangeFails.", "percentunit",
                    one("target_group:midstream_exchange_failures:ratio_rate5m", "{{target}} {{group}}"), width=8,
                    worry=0.05, alarm=0.2,
                ),
                Panel(
                    "Duration, 99th percentile", "Of single attempts. Runbook: ExchangeSlow.", "s",
                    one("target_group:midstream_exchange_attempt_seconds:p99", "{{target}} {{group}}"), width=8, worry=1, alarm=2.5,
                ),
                Panel(
                    "Outcomes", "Attempts per second that did not succeed, by what is known of them. Runbooks: KeyRefused, ClockRefused.",
                    "cps",
                    one('sum by (target, outcome) (rate(midstream_exchange_attempts_total{outcome!="success"}[$__rate_interval])) > 0',
                        "{{target}} {{outcome}}"),
                    empty="every attempt succeeds",
                ),
                Panel(
                    "How calls end", "With all their repetitions, per second.", "cps",
                    one("sum by (target, ended) (rate(midstream_exchange_calls_total[$__rate_interval])) > 0", "{{target}} {{ended}}"),
                    empty="no call",
                ),
            ),
        ),
        Row(
            "Clocks and streams",
            (
                Panel(
                    "Clock offset", "The exchange's clock minus ours. Runbook: ClockSkew.", "s",
                    one("max by (target) (midstream_exchange_clock_offset_seconds)", "{{target}}"),
                ),
                Panel(
                    "Age of the newest streamed message", "Runbook: ExchangeStreamSilent.", "s",
                    (Query("max by (target) (midstream_exchange_stream_age_seconds)", "{{target}}"),), worry=10, alarm=60,
                    empty="no stream is open",
                ),
            ),
        ),
    ),
)  # fmt: skip
