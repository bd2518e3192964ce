"""The provider on a port."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from clients.resilience.ports import Sleep, WallNs
from services.simulators.market_data.provider import ReferencePriceProvider

__all__ = ["make_app"]

INTRODUCTION: Final = """Market data provider (simulator)

  GET /reference-price?delivery_day=2023-05-12&delivery_hour=08-09
  GET /v1/reference-price   the same
"""


def make_app(
    provider: ReferencePriceProvider, *, wall_ns: WallNs = time.time_ns, sleep: Sleep = asyncio.sleep
) -> Starlette:
    """Return the web application of a provider."""

    async def reference_price(request: Request) -> Response:
        answer = provider.answer(dict(request.query_params), wall_ns())
        if answer.delay_s > 0:
            await sleep(answer.delay_s)
        return JSONResponse(dict(answer.body), status_code=answer.status, headers=dict(answer.headers))

    async def introduction(_: Request) -> Response:
        return PlainTextResponse(INTRODUCTION)

    async def missing(request: Request, _: Exception) -> Response:
        return JSONResponse({"error_message": f"no such resource: {request.url.path[:200]}"}, status_code=404)

    return Starlette(
        routes=[
            Route("/", introduction),
            Route("/reference-price", reference_price),
            Route("/v1/reference-price", reference_price),
        ],
        exception_handlers={404: missing},
    )
