"""How the alerts about exchanges, orders and the power desk come and go."""

from __future__ import annotations

from typing import Final

from tests.deployment.monitoring.alert_case import Case, counted, flat, once, rising, state, steady

_AT = 'job="midstream",server="orders",instance="c:9155"'
_GROUP = f'{_AT},target="binance:spot",group="orders"'
_EXCHANGE = f'{_AT},exchange="binance"'
_LISTENER = 'job="midstream",server="power-listener",instance="e:9157"'
_ETL = 'job="midstream",server="power-etl",instance="f:9158"'
_REPORTING = 'job="midstream",server="reporting",instance="g:9156"'


def _outcome(outcome: str) -> str:
    return f'midstream_exchange_attempts_total{{{_GROUP},operation="place",outcome="{outcome}"}}'


def _slow(name: str, labels: str, bound: str, above: str) -> dict[str, str]:
    """A histogram whose observations all lie between two bounds, for ten minutes."""
    return {
        f'{name}_bucket{{{labels},le="{bound}"}}': "0+0x400",
        f'{name}_bucket{{{labels},le="{above}"}}': rising(3, 40),
        f'{name}_bucket{{{labels},le="+Inf"}}': rising(3, 40),
    }


EXCHANGES: Final = (
    Case("BreakerOpen", {f'midstream_exchange_breaker_state{{{_GROUP},state="open"}}': state(1, 20)}, "4m", "8m"),
    Case(
        "BreakerForcedOpen",
        {f'midstream_exchange_breaker_state{{{_GROUP},state="forced_open"}}': state(1, 60)},
        fires="14m",
        ends="18m",
    ),
    Case("ExchangeThrottles", {f"midstream_exchange_throttles_total{{{_GROUP}}}": once()}, "3m", "9m"),
    Case(
        "LimitNearlyUsed",
        {f'midstream_exchange_limiter_fill{{{_AT},limit="binance:spot:weight-1m"}}': state(0.95, 20)},
        fires="5m",
        ends="8m",
    ),
    Case(
        "ClockSkew",
        {f'midstream_exchange_clock_offset_seconds{{{_AT},target="binance:spot"}}': state(-2, 20)},
        "4m",
        "8m",
    ),
    Case("ClockRefused", {_outcome("clock"): counted(4)}, "3m", "9m"),
    Case("KeyRefused", {_outcome("auth"): once()}, "3m", "9m"),
    Case("ExchangeFails", {_outcome("success"): steady(3), _outcome("retryable"): rising(3, 40)}, "10m", "19m"),
    Case("ExchangeSlow", _slow("midstream_exchange_attempt_seconds", _GROUP, "2.5", "5"), "11m", "18m"),
    Case(
        "ExchangeStreamSilent",
        {
            'midstream_exchange_stream_age_seconds{server="price",instance="b:9153",target="binance"}': state(
                120, 20, rest=1
            )
        },
        fires="4m",
        ends="8m",
    ),
    Case(
        "RetriesUsedUp",
        {
            _outcome("success"): steady(9),
            f'midstream_exchange_retries_total{{{_GROUP},reason="retryable"}}': rising(3, 40),
        },
        fires="10m",
        ends="19m",
    ),
)

ORDERS: Final = (
    Case("OrdersUnknownTooLong", {f"midstream_orders_unknown_age_seconds{{{_EXCHANGE}}}": state(120, 20)}, "4m", "8m"),
    Case("OrderCameBack", {f"midstream_orders_returned_total{{{_EXCHANGE}}}": once()}, "3m", "14m"),
    Case("OrderHalted", {f"midstream_orders_halted_total{{{_EXCHANGE}}}": once()}, "3m", "14m"),
    Case("JournalUnavailable", {f"midstream_orders_journal_trouble{{{_AT}}}": state(1, 20)}, "4m", "8m"),
    Case("KillSwitchEngaged", {f"midstream_orders_kill_switch{{{_AT}}}": state(1, 20)}, "3m", "8m"),
    Case(
        "DeadManNotRefreshed",
        {f'midstream_orders_dead_man_refreshes_total{{{_EXCHANGE},result="failed"}}': counted(3)},
        fires="150s",
        ends="5m",
    ),
    Case(
        "ExchangeBlocked",
        {
            f"midstream_orders_blocked{{{_EXCHANGE}}}": state(1, 20),
            f"midstream_orders_kill_switch{{{_AT}}}": flat(0),
        },
        fires="5m",
        ends="8m",
    ),
    Case(
        "ReconciliationFails",
        {f'midstream_orders_reconciliations_total{{{_EXCHANGE},result="failed"}}': counted(4)},
        fires="3m",
        ends="9m",
    ),
    Case(
        "PositionsDiffer",
        {f'midstream_orders_reconciliation_differences_total{{{_EXCHANGE},kind="position"}}': once()},
        fires="3m",
        ends="14m",
    ),
    Case("StrangersOrders", {f"midstream_orders_external_total{{{_EXCHANGE}}}": once()}, "3m", "14m"),
    Case(
        "OrdersFail",
        {
            f'midstream_orders_placements_total{{{_EXCHANGE},outcome="accepted"}}': steady(3),
            f'midstream_orders_placements_total{{{_EXCHANGE},outcome="lost"}}': rising(3, 40),
            f'midstream_orders_placements_total{{{_EXCHANGE},outcome="refused"}}': steady(3),
        },
        fires="10m",
        ends="18m",
    ),
    Case(
        "OrdersDenied",
        {f'midstream_orders_denied_total{{{_AT},operation="place",reason="price-stale"}}': counted(9)},
        fires="3m",
        ends="9m",
    ),
    Case("SlowAcknowledgements", _slow("midstream_orders_ack_seconds", _EXCHANGE, "2.5", "5"), "11m", "18m"),
)


def _alerted(kind: str, lasts: int) -> dict[str, str]:
    return {f'midstream_reporting_alerts{{{_REPORTING},kind="{kind}"}}': state(1, lasts)}


POWER: Final = (
    Case("DealsDoNotCome", _alerted("silent_feed", 20) | {f"up{{{_LISTENER}}}": flat(1)}, "4m", "8m"),
    Case("DealsFeedDown", {f"midstream_deals_connected{{{_LISTENER}}}": state(0, 20, rest=1)}, "5m", "8m"),
    Case("DealsWaitForTheDatabase", _alerted("spooled_deals", 20), "5m", "8m"),
    Case("DealsWaitForTheDatabase", {f"midstream_deals_spool_records{{{_LISTENER}}}": state(3, 20)}, "5m", "8m"),
    Case("DealsCommittedLate", {f"midstream_deals_commit_lag_seconds{{{_LISTENER}}}": state(30, 20)}, "5m", "8m"),
    Case("DatabaseWentAway", {f"midstream_deals_database_outages_total{{{_LISTENER}}}": once()}, "3m", "64m"),
    Case("MessagesUnusable", {f"midstream_deals_unusable_total{{{_LISTENER}}}": once()}, "3m", "14m"),
    Case("DealsMissedForGood", {f"midstream_deals_gaps_total{{{_LISTENER}}}": once()}, "3m", "64m"),
    Case("ReferencePricesLate", _alerted("late_price", 40), "10m", "14m"),
    Case("ReferencePricesLate", {f"midstream_reference_late{{{_ETL}}}": state(1, 40)}, "10m", "14m"),
    Case(
        "ReferencePriceOld",
        {f"midstream_reporting_price_age_seconds{{{_REPORTING}}}": state(3600, 40, rest=300)},
        fires="10m",
        ends="14m",
    ),
    Case("NobodyPollsPrices", {f"midstream_reference_polling{{{_ETL}}}": state(0, 20, rest=1)}, "5m", "8m"),
    Case(
        "ReferenceRequestsFail",
        {
            f"midstream_reference_requests_total{{{_ETL}}}": steady(3),
            f"midstream_reference_failures_total{{{_ETL}}}": rising(2, 60),
        },
        fires="14m",
        ends="28m",
    ),
    Case("QuotaNearlyUsed", {f"midstream_reference_quota_used_hour{{{_ETL}}}": state(980, 60)}, "14m", "18m"),
    Case("QuotaExceeded", {f"midstream_reference_throttled_total{{{_ETL}}}": once()}, "3m", "14m"),
    Case("LossLimit", _alerted("loss_limit", 20), "3m", "8m"),
    Case("FiguresLate", {f"midstream_reporting_receive_lag_seconds{{{_REPORTING}}}": state(60, 20)}, "5m", "8m"),
)
