"""The SQL behind every figure: one definition, for SQLite and Postgres, exact to the last digit."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Row, Select, and_, case, func, literal_column, select

from clients.power.store.reference_tables import reference_standing
from clients.power.store.schema import deals, feed_gaps, ranking_ns, reference_prices
from services.reporting.engine.figures import Side, Sums

DEALS_PAGE_MAX: Final = 1_001
"""A page of the largest size, and one more that tells whether there is another."""

_PART: Final = 10**5
"""Prices are split by this before they are multiplied. A legal price times a legal quantity needs 67 bits: where it does not fit,
SQLite goes on in floating point without a word, and Postgres fails. Either half times the quantity is at most 10^15, so that 64
bits hold the sum of nine thousand of the largest deals there can be, in each hour and each read."""


@dataclass(frozen=True)
class DealSums:
    """The sums of one trader's deals in one delivery hour."""

    delivery_day: str
    delivery_hour: str
    trader_id: str
    sums: Sums


def deal_sums(*, after: int = 0, upto: int, days: Collection[str] | None = None) -> Select[*tuple[Any, ...]]:
    """Sum up the deals with `after < position <= upto` by delivery hour and trader; `days` narrows them down.

    Sums of adjoining ranges add up to the sum of the whole range, so nobody has to read a deal twice.
    """
    key = (deals.c.delivery_day, deals.c.delivery_hour, deals.c.trader_id)
    chosen = and_(deals.c.position > after, deals.c.position <= upto)
    if days is not None:
        chosen = and_(chosen, deals.c.delivery_day.in_(sorted(days)))
    return select(*key, *_side("buy"), *_side("sell")).where(chosen).group_by(*key)


def read_deal_sums(row: Row[*tuple[Any, ...]]) -> DealSums:
    """Put the integers of a row together."""
    day, hour, trader, *numbers = row
    # Postgres adds up 64-bit integers as decimals.
    bought, sold = (
        Side(int(count), int(quantity), int(high) * _PART + int(low))
        for count, quantity, high, low in (numbers[:4], numbers[4:])
    )
    return DealSums(day, hour, trader, Sums(bought, sold))


def _side(direction: str) -> tuple[ColumnElement[Any], ...]:
    part = literal_column(str(_PART), BigInteger)
    # Both databases cut towards zero, and the rest has the sign of the price: the two always add up.
    high = deals.c.price_e4.op("/", return_type=BigInteger())(part)
    low = deals.c.price_e4.op("%", return_type=BigInteger())(part)
    terms = (
        literal_column("1", BigInteger),
        deals.c.quantity_e4,
        high * deals.c.quantity_e4,
        low * deals.c.quantity_e4,
    )
    return tuple(
        func.sum(case((deals.c.direction == direction, term), else_=literal_column("0", BigInteger))) for term in terms
    )


def latest_references(days: Collection[str]) -> Select[*tuple[Any, ...]]:
    """Select the newest price of every hour of these days: by the provider's stamp unless that lies in the future, then by when we saw it.

    A price whose stamp came late stays in the table but does not replace a newer one.
    """
    stamp = ranking_ns()
    rank = func.row_number().over(
        partition_by=(reference_prices.c.delivery_day, reference_prices.c.delivery_hour),
        order_by=(stamp.desc(), reference_prices.c.id.desc()),
    )
    ranked = (
        select(
            reference_prices.c.delivery_day,
            reference_prices.c.delivery_hour,
            reference_prices.c.value_e4,
            stamp.label("update_ns"),
            reference_prices.c.observed_time_ns,
            rank.label("place"),
        )
        .where(reference_prices.c.delivery_day.in_(sorted(days)), reference_prices.c.value_e4.is_not(None))
        .subquery()
    )
    return select(
        ranked.c.delivery_day, ranked.c.delivery_hour, ranked.c.value_e4, ranked.c.update_ns, ranked.c.observed_time_ns
    ).where(ranked.c.place == 1)


def change_marks(source: str) -> Select[*tuple[Any, ...]]:
    """Select, in one row, what tells whether anything has changed, and the status of the price process."""
    return select(
        select(func.coalesce(func.max(deals.c.position), 0)).scalar_subquery(),
        select(func.coalesce(func.max(reference_prices.c.id), 0)).scalar_subquery(),
        select(func.coalesce(func.max(feed_gaps.c.until_ns), 0)).scalar_subquery(),
        *(
            select(column).where(reference_standing.c.source == source).scalar_subquery()
            for column in (
                reference_standing.c.next_due_ns,
                reference_standing.c.last_answer_ns,
                reference_standing.c.trouble,
                reference_standing.c.schedule,
            )
        ),
    )


def newest_times(*, after: int, upto: int) -> Select[*tuple[Any, ...]]:
    """Select the latest execution and receive times among new deals, and their number, for figures about lag."""
    return select(func.max(deals.c.execution_time_ns), func.max(deals.c.received_time_ns), func.count()).where(
        deals.c.position > after, deals.c.position <= upto
    )


def deals_page(
    *, day: str = "", hour: str = "", trader: str = "", before: int | None = None, limit: int
) -> Select[*tuple[Any, ...]]:
    """Select deals, newest first, below a position."""
    statement = select(deals).order_by(deals.c.position.desc()).limit(min(limit, DEALS_PAGE_MAX))
    if day:
        statement = statement.where(deals.c.delivery_day == day)
    if hour:
        statement = statement.where(deals.c.delivery_hour == hour)
    if trader:
        statement = statement.where(deals.c.trader_id == trader)
    if before is not None:
        statement = statement.where(deals.c.position < before)
    return statement
