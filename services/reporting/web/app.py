"""The dashboard: addresses and their answers."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import orjson

from clients.resilience.errors import ResilienceError
from clients.resilience.single_flight import SingleFlight
from services.reporting.engine.deals import DealFilter, DealReader, DealRow
from services.reporting.engine.history import HistoryReader
from services.reporting.engine.positions import Matrix
from services.reporting.engine.read_model import ReadModel, View
from services.reporting.engine.report import Report
from services.reporting.web.assets import Assets
from services.reporting.web.chart import chart_of, history_of
from services.reporting.web.drill import DRILL_MAX, drill_of
from services.reporting.web.events import EventStreams
from services.reporting.web.exports.csv_text import GERMAN, MACHINE
from services.reporting.web.exports.sending import (
    CSV,
    DEALS_PATHS,
    XLSX,
    DealExports,
    attachment,
    performance_csv,
    performance_xlsx,
)
from services.reporting.web.guard import Guard
from services.reporting.web.http import (
    Answer,
    BadQuery,
    Receive,
    Request,
    Scope,
    Send,
    answer_of,
    parsed,
    send_answer,
)
from services.reporting.web.pages import Pages
from services.reporting.web.query import Address, check_exact
from services.runtime.access.http import ANYONE, LOGIN, HttpAccess, Routes
from services.runtime.errors import NotFound, PermissionDenied, ResourceExhausted, Unauthenticated, Unavailable

__all__ = ["Dashboard", "dashboard"]

logger = logging.getLogger(__name__)

RENDERED_MAX: Final = 512
"""Answers that are kept; a page in use is a few of them."""
HTML: Final = b"text/html; charset=utf-8"
JSON: Final = b"application/json"

_SERVICE: Final = "midstream.reporting.v1.ReportingService"
ROUTES: Final = Routes(
    {
        ("GET", "/"): f"{_SERVICE}/GetPerformance",
        ("GET", "/board"): f"{_SERVICE}/GetPerformance",
        ("GET", "/deals"): f"{_SERVICE}/ListDeals",
        ("GET", "/chart.json"): f"{_SERVICE}/GetPerformance",
        ("GET", "/history.json"): f"{_SERVICE}/GetHistory",
        ("GET", "/performance.csv"): f"{_SERVICE}/GetPerformance",
        ("GET", "/performance.de.csv"): f"{_SERVICE}/GetPerformance",
        ("GET", "/performance.xlsx"): f"{_SERVICE}/GetPerformance",
        ("GET", "/deals.csv"): f"{_SERVICE}/ListDeals",
        ("GET", "/deals.de.csv"): f"{_SERVICE}/ListDeals",
        ("GET", "/deals.xlsx"): f"{_SERVICE}/ListDeals",
        ("GET", "/events"): f"{_SERVICE}/WatchPerformance",
        # Scripts and styles, the same for everybody; the page that needs them has been admitted.
        ("GET", "/assets/{name:path}"): ANYONE,
    }
)
"""The method whose content a route gives, and whose role it needs."""
_EXTRA: Final[dict[int, tuple[tuple[bytes, bytes], ...]]] = {
    401: (LOGIN,),
    405: ((b"allow", b"GET, HEAD"),),
    429: ((b"retry-after", b"60"),),
}

Render = Callable[[View, Report, Address], Awaitable[str | bytes]]


class Dashboard:
    """An ASGI application. A page is rendered once per change of what it shows, however many people look at it."""

    def __init__(
        self,
        model: ReadModel,
        deals: DealReader,
        history: HistoryReader,
        *,
        access: HttpAccess,
        guard: Guard,
        assets: Assets,
        events: EventStreams,
    ) -> None:
        self._model = model
        self._deals = deals
        self._history = history
        self._access = access
        self._guard = guard
        self._assets = assets
        self._events = events
        self._exports = DealExports(deals)
        self._pages = Pages(assets.path)
        self._rendered: OrderedDict[tuple[str, str], tuple[int, Answer]] = OrderedDict()
        self._flight: SingleFlight[tuple[str, str, str], Answer] = SingleFlight(timeout_s=10.0, keys_max=RENDERED_MAX)
        self._kinds: dict[str, tuple[Render, bytes]] = {
            "/": (self._page, HTML),
            "/board": (self._fragment, HTML),
            "/deals": (self._drill_fragment, HTML),
            "/chart.json": (self._chart, JSON),
            "/history.json": (self._history_series, JSON),
            "/performance.csv": (_spelt(performance_csv(MACHINE)), CSV),
            "/performance.de.csv": (_spelt(performance_csv(GERMAN)), CSV),
            "/performance.xlsx": (_spelt(performance_xlsx), XLSX),
        }

    @property
    def pages_open(self) -> int:
        """Event streams being served."""
        return self._events.open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            # Nothing here speaks websocket.
            await send({"type": "websocket.close", "code": 1008})
            return
        request = Request.of(scope)
        try:
            await self._admit(request, scope, receive, send)
        except BadQuery as exc:
            await self._say(400, str(exc), request, send)
        except Unauthenticated as exc:
            await self._say(401, str(exc), request, send)
        except PermissionDenied as exc:
            await self._say(403, str(exc), request, send)
        except NotFound:
            await self._say(404, "There is nothing at this address.", request, send)
        except ResourceExhausted as exc:
            await self._say(429, str(exc), request, send)
        except (Unavailable, ResilienceError) as exc:
            await self._say(503, f"Not available right now: {exc}.", request, send, again=True)

    async def _admit(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        refused = self._guard.refusal(request)
        if refused is not None:
            await self._say(*refused, request, send)
            return
        identity = await self._access.admit(scope, ROUTES.find(request.method, request.path)[1])

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            await self._answer(request, scope, receive, send)

        await self._access.serve(identity, answer, scope, receive, send)

    async def _answer(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        if request.query_string and (request.path in DEALS_PATHS or request.path.startswith("/performance.")):
            check_exact(request.query_string)
        if (kind := self._kinds.get(request.path)) is not None:
            await send_answer(await self._kept(request, *kind), request, send)
        elif request.path == "/events":
            if request.method == "HEAD":
                await self._say(405, "an event stream has to be read: use GET", request, send)
            else:
                await self._events.serve(scope, receive, send)
        elif request.path in DEALS_PATHS:
            await self._exports.answer(_address(request.query_string), request, send)
        elif (asset := self._assets.get(request.path)) is not None:
            await send_answer(asset, request, send)
        else:
            raise NotFound(request.path)

    async def _kept(self, request: Request, render: Render, content_type: bytes) -> Answer:
        """Return the answer of an address: from memory while nothing has changed, else rendered once for all who ask."""
        address = _address(request.query_string)
        # Addresses that mean the same share one answer, whatever else they carry.
        key = (request.path, address.text)
        view = self._model.require()
        kept = self._rendered.get(key)
        if kept is not None and kept[0] == view.revision:
            return kept[1]
        view, report = await self._model.report(address.selection)
        return await self._flight.run(
            (*key, view.version), lambda: self._render(key, view, report, address, render, content_type)
        )

    async def _render(
        self,
        key: tuple[str, str],
        view: View,
        report: Report,
        address: Address,
        render: Render,
        content_type: bytes,
    ) -> Answer:
        answer = answer_of(await render(view, report, address), content_type=content_type)
        if content_type in (CSV, XLSX):
            answer = replace(answer, extra=(attachment("performance", address, key[0]),))
        if _is_kept_up_to_date(view, address):
            self._rendered[key] = (view.revision, answer)
            self._rendered.move_to_end(key)
        while len(self._rendered) > RENDERED_MAX:
            self._rendered.popitem(last=False)
        return answer

    async def _page(self, view: View, report: Report, address: Address) -> str:
        return self._pages.page(view, report, address, await self._drill(address), await self._matrix(address))

    async def _fragment(self, view: View, report: Report, address: Address) -> str:
        return self._pages.board(view, report, address, await self._matrix(address))

    async def _matrix(self, address: Address) -> Matrix | None:
        if not address.positions:
            return None
        _, matrix = await self._model.positions(address.selection.day, address.selection.market)
        return matrix

    async def _drill_fragment(self, view: View, report: Report, address: Address) -> str:
        drill = await self._drill(address)
        return "" if drill is None else self._pages.deals(drill)

    async def _drill(self, address: Address) -> dict[str, Any] | None:
        hour = address.opened
        if hour is None:
            return None
        chosen = address.selection
        # The open period may be on a day that the table does not show.
        view, report = await self._model.report(replace(chosen, day=hour.day_text, all_hours=False))
        row = next((row for day in report.days for row in day.rows if row.hour == hour), None)
        if row is None:
            _, report = await self._model.report(replace(chosen, day=hour.day_text, all_hours=True))
            row = next((row for day in report.days for row in day.rows if row.hour == hour), None)
        wanted = DealFilter(hour.day_text, hour.label, chosen.trader, chosen.market, superseded=True)
        rows: list[DealRow] = await self._deals.page(wanted, before=None, limit=DRILL_MAX + 1)
        history = await self._history.read(hour, trader=chosen.trader, market=chosen.market)
        more, now_ns = len(rows) > DRILL_MAX, view.snapshot.as_of_ns
        return drill_of(row, hour, address, rows[:DRILL_MAX], history, more=more, now_ns=now_ns)

    async def _history_series(self, view: View, report: Report, address: Address) -> bytes:
        if address.opened is None:
            raise BadQuery("name the period whose history is asked for: `open=2023-02-21.15-16`")
        chosen = address.selection
        history = await self._history.read(address.opened, trader=chosen.trader, market=chosen.market)
        return orjson.dumps(history_of(history))

    async def _chart(self, view: View, report: Report, address: Address) -> bytes:
        return orjson.dumps(chart_of(report))

    async def _say(self, status: int, text: str, request: Request, send: Send, *, again: bool = False) -> None:
        body = self._pages.message(text, again=again).encode()
        extra = ((b"retry-after", b"5"),) if again else _EXTRA.get(status, ())
        await send_answer(Answer(status=status, body=body, extra=extra), request, send)


def dashboard(
    model: ReadModel,
    deals: DealReader,
    history: HistoryReader,
    *,
    access: HttpAccess,
    hosts: Collection[str],
    bound_host: str,
    heartbeat_s: float,
    wall_ns: Callable[[], int],
) -> Dashboard:
    """Return the application around a read model."""
    guard = Guard(hosts=hosts, bound_host=bound_host)
    events = EventStreams(model, heartbeat_s=heartbeat_s, now_ms=lambda: wall_ns() // 1_000_000)
    return Dashboard(model, deals, history, access=access, guard=guard, assets=Assets(), events=events)


@lru_cache(maxsize=1024)
def _address(query_string: bytes) -> Address:
    return Address.read(parsed(query_string))


def _is_kept_up_to_date(view: View, address: Address) -> bool:
    """Whether everything that the address shows changes with the view's revision, and with nothing else."""
    days = {address.selection.day, "" if address.opened is None else address.opened.day_text} - {""}
    return days <= view.snapshot.days.keys()


def _spelt(spell: Callable[[Report], str | bytes]) -> Render:
    """Return what renders a report off the event loop, which others wait for."""

    async def render(view: View, report: Report, address: Address) -> str | bytes:
        return await asyncio.to_thread(spell, report)

    return render


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
