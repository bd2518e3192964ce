"""The SQL behind every figure: one definition, for SQLite and Postgres, exact to the last digit."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Row, Select, and_, case, func, literal_column, or_, select

from clients.power.calendar import HOUR_MINUTES, QUARTER_MINUTES, is_quarter
from clients.power.store.reference_tables import reference_standing
from clients.power.store.schema import (
    ACTIVE,
    CANCELED,
    FILLED,
    FINAL,
    deals,
    feed_cursor,
    feed_gaps,
    listener_standing,
    ranking_ns,
    reference_prices,
)
from services.reporting.engine.figures import Side, Sums
from services.reporting.engine.listener_standing import FEED

DEALS_PAGE_MAX: Final = 1_001
"""A page of the largest size, and one more that tells whether there is another."""

_PART: Final = 10**5
"""Prices are split by this before they are multiplied. A legal price times a legal quantity needs 67 bits: where it does not fit,
SQLite goes on in floating point without a word, and Postgres fails. Either half times the quantity is at most 10^15, so that 64
bits hold the sum of nine thousand of the largest deals there can be, in each hour and each read."""


class Slice(NamedTuple):
    """What sums are kept by, within a delivery day."""

    hour: str
    """Hour or quarter."""
    trader: str
    market: str = ""


@dataclass(frozen=True)
class DealSums:
    """The sums of one slice of a delivery day."""

    delivery_day: str
    slice: Slice
    sums: Sums


def deal_sums(*, after: int = 0, upto: int, days: Collection[str] | None = None) -> Select[*tuple[Any, ...]]:
    """Sum up what the deals with `after < position <= upto` add: of each deal the newest revision up to there.

    Together with `outdated_sums` of the same range, sums of adjoining ranges add up to the sum of the whole range, so nobody has to
    read a deal twice. `days` narrows them down.
    """
    newest = or_(deals.c.superseded_by.is_(None), deals.c.superseded_by > upto)
    return _sums(and_(deals.c.position > after, deals.c.position <= upto, newest), days)


def outdated_sums(*, after: int, upto: int, days: Collection[str]) -> Select[*tuple[Any, ...]]:
    """Sum up what counted up to `after` and was corrected or canceled up to `upto`: it has to be taken away."""
    since = and_(deals.c.superseded_by > after, deals.c.superseded_by <= upto)
    return _sums(and_(deals.c.position <= after, since), days)


def _sums(chosen: ColumnElement[bool], days: Collection[str] | None) -> Select[*tuple[Any, ...]]:
    key = (deals.c.delivery_day, deals.c.delivery_hour, deals.c.trader_id, deals.c.market)
    if days is not None:
        chosen = and_(chosen, deals.c.delivery_day.in_(sorted(days)))
    active = deals.c.status == ACTIVE
    revised = (_count(and_(active, deals.c.revision > 1)), _count(deals.c.status == CANCELED))
    return select(*key, *revised, *_side("buy"), *_side("sell")).where(chosen).group_by(*key)


def read_deal_sums(row: Row[*tuple[Any, ...]]) -> DealSums:
    """Put the integers of a row together."""
    day, hour, trader, market, corrected, canceled, *numbers = row
    minutes = QUARTER_MINUTES if is_quarter(hour) else HOUR_MINUTES
    # Postgres adds up 64-bit integers as decimals.
    bought, sold = (
        Side.of(int(count), int(quantity), int(high) * _PART + int(low), minutes)
        for count, quantity, high, low in (numbers[:4], numbers[4:])
    )
    return DealSums(day, Slice(hour, trader, market), Sums(bought, sold, int(corrected), int(canceled)))


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
    counts = and_(deals.c.direction == direction, deals.c.status == ACTIVE)
    return tuple(func.sum(case((counts, term), else_=literal_column("0", BigInteger))) for term in terms)


def _count(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.sum(case((condition, literal_column("1", BigInteger)), else_=literal_column("0", BigInteger)))


def latest_references(days: Collection[str]) -> Select[*tuple[Any, ...]]:
    """Select the newest price of every hour of these days: by the provider's stamp unless that lies in the future, then by when we saw it.

    A price whose stamp came late stays in the table but does not replace a newer one.
    """
    stamp = ranking_ns()
    rank = func.row_number().over(
        partition_by=(reference_prices.c.delivery_day, reference_prices.c.delivery_hour),
        order_by=(stamp.desc(), reference_prices.c.id.desc()),
    )
    final = func.max(case((reference_prices.c.state == FINAL, 1), else_=0)).over(
        partition_by=(reference_prices.c.delivery_day, reference_prices.c.delivery_hour)
    )
    ranked = (
        select(
            reference_prices.c.delivery_day,
            reference_prices.c.delivery_hour,
            reference_prices.c.value_e4,
            stamp.label("update_ns"),
            reference_prices.c.observed_time_ns,
            rank.label("place"),
            final.label("final"),
        )
        .where(reference_prices.c.delivery_day.in_(sorted(days)), reference_prices.c.value_e4.is_not(None))
        .subquery()
    )
    columns = ("delivery_day", "delivery_hour", "value_e4", "update_ns", "observed_time_ns", "final")
    return select(*(ranked.c[name] for name in columns)).where(ranked.c.place == 1)


def reference_points(day: str, hours: Collection[str]) -> Select[*tuple[Any, ...]]:
    """Select every price that was seen of some periods of a day, oldest first."""
    since = ranking_ns().label("since_ns")
    return (
        select(
            reference_prices.c.delivery_hour, reference_prices.c.value_e4, since, reference_prices.c.observed_time_ns
        )
        .where(
            reference_prices.c.delivery_day == day,
            reference_prices.c.delivery_hour.in_(sorted(hours)),
            reference_prices.c.value_e4.is_not(None),
        )
        .order_by(since, reference_prices.c.id)
    )


def change_marks(source: str, days: Collection[str]) -> Select[*tuple[Any, ...]]:
    """Select, in one row, what tells whether anything has changed, and what listener and price process say of themselves.

    A price that is confirmed as final is no new one: of these days they are counted.
    """
    filled = case((feed_cursor.c.feed == FEED + FILLED, feed_cursor.c.last_deal_id))
    finals = select(func.count()).where(
        reference_prices.c.state == FINAL, reference_prices.c.delivery_day.in_(sorted(days))
    )
    return select(
        select(func.coalesce(func.max(deals.c.position), 0)).scalar_subquery(),
        select(func.coalesce(func.max(reference_prices.c.id), 0)).scalar_subquery(),
        select(func.coalesce(func.max(feed_gaps.c.until_ns), 0)).scalar_subquery(),
        finals.scalar_subquery(),
        select(func.coalesce(func.max(filled), "")).scalar_subquery(),
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
    *,
    day: str = "",
    hour: str = "",
    trader: str = "",
    market: str = "",
    superseded: bool = False,
    before: int | None = None,
    limit: int,
) -> Select[*tuple[Any, ...]]:
    """Select deals, newest first, below a position: of each the newest revision, or all of them."""
    # A cancellation of a deal that has not come yet says nothing that could be shown.
    known = deals.c.delivery_day != ""
    statement = select(deals).where(known).order_by(deals.c.position.desc()).limit(min(limit, DEALS_PAGE_MAX))
    if not superseded:
        statement = statement.where(deals.c.superseded_by.is_(None))
    if market:
        statement = statement.where(deals.c.market == market)
    if day:
        statement = statement.where(deals.c.delivery_day == day)
    if hour:
        statement = statement.where(deals.c.delivery_hour == hour)
    if trader:
        statement = statement.where(deals.c.trader_id == trader)
    if before is not None:
        statement = statement.where(deals.c.position < before)
    return statement


def latest_standing(feed: str) -> Select[*tuple[Any, ...]]:
    """Select what the listener of a feed says of itself; no row before the first one ran."""
    columns = [column for column in listener_standing.c if column.name != "feed"]
    return select(*columns).where(listener_standing.c.feed == feed)


def executed_deals(*, day: str, hour: str, trader: str, market: str, limit: int) -> Select[*tuple[Any, ...]]:
    """Select the deals of a period that count, the last executed first."""
    statement = select(deals).where(
        deals.c.delivery_day == day,
        deals.c.delivery_hour == hour,
        deals.c.superseded_by.is_(None),
        deals.c.status == ACTIVE,
    )
    if trader:
        statement = statement.where(deals.c.trader_id == trader)
    if market:
        statement = statement.where(deals.c.market == market)
    return statement.order_by(deals.c.execution_time_ns.desc(), deals.c.position.desc()).limit(limit)
