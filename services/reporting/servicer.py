"""Translate reporting calls into questions to the read model and the reader of deals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, Protocol

import grpc

from clients.power.calendar import DeliveryHour, InvalidDelivery, delivery_hour
from clients.power.deals.model import MARKET_CHARACTERS_MAX
from protos.reporting.v1 import reporting_pb2 as pb
from protos.reporting.v1.reporting_pb2_grpc import ReportingServiceServicer
from services.reporting.engine.deals import DealFilter, DealRow
from services.reporting.engine.history import History
from services.reporting.engine.read_model import ReadModel
from services.reporting.engine.report import Selection
from services.reporting.messages import deal_message, history_message, performance_message, positions_message
from services.runtime.errors import InvalidRequest, ResourceExhausted, Unavailable

__all__ = ["ReportingServicer"]

PAGE_DEFAULT: Final = 100
PAGE_MAX: Final = 1_000
TRADER_CHARACTERS_MAX: Final = 128
WATCHERS_MAX: Final = 1_000

Context = grpc.aio.ServicerContext[Any, Any]


class Deals(Protocol):
    """The list of deals."""

    async def page(self, chosen: DealFilter, *, before: int | None, limit: int) -> list[DealRow]: ...


class Histories(Protocol):
    """How periods came about."""

    async def read(self, period: DeliveryHour, *, trader: str = "", market: str = "") -> History: ...


class ReportingServicer(ReportingServiceServicer):
    """The reporting methods; all of them only read."""

    def __init__(self, model: ReadModel, deals: Deals, histories: Histories) -> None:
        self._model = model
        self._deals = deals
        self._histories = histories
        self._watchers = 0

    async def ListDeals(self, request: pb.ListDealsRequest, context: Context) -> pb.ListDealsResponse:
        chosen = DealFilter(
            day=_day(request.delivery_day),
            hour=_hour(request),
            trader=_trader(request.trader_id),
            market=_market(request.market),
            superseded=request.include_superseded,
        )
        if request.page_size < 0:
            raise InvalidRequest("page_size", f"must not be negative, got {request.page_size}")
        limit = min(request.page_size, PAGE_MAX) or PAGE_DEFAULT
        rows = await self._deals.page(chosen, before=_position(request.page_token), limit=limit + 1)
        token = str(rows[limit - 1].position) if len(rows) > limit else ""
        return pb.ListDealsResponse(deals=[deal_message(row) for row in rows[:limit]], next_page_token=token)

    async def GetPerformance(self, request: pb.GetPerformanceRequest, context: Context) -> pb.GetPerformanceResponse:
        return pb.GetPerformanceResponse(performance=await self._performance(_selection(request)))

    async def WatchPerformance(
        self, request: pb.WatchPerformanceRequest, context: Context
    ) -> AsyncIterator[pb.WatchPerformanceResponse]:
        selection = _selection(request)
        if self._watchers >= WATCHERS_MAX:
            raise ResourceExhausted(f"{WATCHERS_MAX} watchers are connected already; try again when one has left")
        self._watchers += 1
        try:
            self._model.require()
            sent, revision = None, -1
            while (view := await self._model.changed(revision)) is not None:
                revision = view.revision
                performance = await self._performance(selection)
                if sent is None or _differ(sent, performance):
                    yield pb.WatchPerformanceResponse(performance=performance)
                    sent = performance
            raise Unavailable("the server is shutting down; watch again")
        finally:
            self._watchers -= 1

    async def GetPositions(self, request: pb.GetPositionsRequest, context: Context) -> pb.GetPositionsResponse:
        day, market = _day(request.delivery_day), _market(request.market)
        return positions_message(*await self._model.positions(day, market))

    async def GetHistory(self, request: pb.GetHistoryRequest, context: Context) -> pb.GetHistoryResponse:
        if not request.delivery_day or not request.delivery_hour:
            raise InvalidRequest("delivery_day" if not request.delivery_day else "delivery_hour", "must be set")
        period = delivery_hour(_day(request.delivery_day), _hour(request))
        trader, market = _trader(request.trader_id), _market(request.market)
        history = await self._histories.read(period, trader=trader, market=market)
        return history_message(history, gate_closure_ns=period.gate_closure_ns(self._model.lead_ns))

    async def _performance(self, selection: Selection) -> pb.Performance:
        view, report = await self._model.report(selection)
        return performance_message(view, report)


def _differ(before: pb.Performance, after: pb.Performance) -> bool:
    quiet = pb.Performance()
    quiet.CopyFrom(after)
    # Changes elsewhere, and how often we looked, are no news for this watcher.
    quiet.version, quiet.as_of_time_ns = before.version, before.as_of_time_ns
    quiet.reference.last_answer_time_ns = before.reference.last_answer_time_ns
    for name in ("last_message_time_ns", "last_deal_time_ns", "updated_time_ns"):
        setattr(quiet.listener, name, getattr(before.listener, name))
    return quiet != before


def _selection(request: pb.GetPerformanceRequest | pb.WatchPerformanceRequest) -> Selection:
    return Selection(
        trader=_trader(request.trader_id),
        day=_day(request.delivery_day),
        all_hours=request.include_empty_hours,
        market=_market(request.market),
    )


def _trader(text: str) -> str:
    if len(text) > TRADER_CHARACTERS_MAX:
        raise InvalidRequest("trader_id", f"must have at most {TRADER_CHARACTERS_MAX} characters, got {len(text)}")
    return text


def _market(text: str) -> str:
    if len(text) > MARKET_CHARACTERS_MAX:
        raise InvalidRequest("market", f"must have at most {MARKET_CHARACTERS_MAX} characters, got {len(text)}")
    return text


def _day(text: str) -> str:
    if not text:
        return ""
    try:
        # Every day has a first hour.
        return delivery_hour(text, "00-01").day_text
    except InvalidDelivery as exc:
        raise InvalidRequest("delivery_day", f"must be a date like 2023-02-21: {exc}") from exc


def _hour(request: pb.ListDealsRequest | pb.GetHistoryRequest) -> str:
    if not request.delivery_hour:
        return ""
    if not request.delivery_day:
        raise InvalidRequest("delivery_day", "must be set where `delivery_hour` is")
    try:
        return delivery_hour(request.delivery_day, request.delivery_hour).label
    except InvalidDelivery as exc:
        raise InvalidRequest("delivery_hour", f"must be like 08-09 or 08:00-08:15: {exc}") from exc


def _position(token: str) -> int | None:
    if not token:
        return None
    if not (token.isascii() and token.isdecimal() and len(token) <= 18):
        raise InvalidRequest("page_token", "must be the `next_page_token` of an earlier answer")
    return int(token)
