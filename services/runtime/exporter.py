"""The HTTP endpoint that Prometheus scrapes: a web face like any other, with the same limits."""

from __future__ import annotations

import ssl
from collections.abc import Collection
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import gzip_accepted
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from services.runtime.access.http import HttpAccess, metrics_behind
from services.runtime.descriptors import descriptor_budget
from services.runtime.exposition import Exposition
from services.runtime.web import WebFace, WebLimits
from services.runtime.web.face import AsgiApplication

__all__ = ["Exporter", "start_exporter"]

NOT_HERE: Final = "the figures are at /metrics; health is grpc.health.v1.Health on the server's gRPC port\n"


class Exporter:
    """Answers scrapes until it is closed."""

    def __init__(self, face: WebFace, port: int) -> None:
        self._face = face
        self.port = port

    async def close(self) -> None:
        """Stop answering; scrapes in progress finish."""
        await self._face.stop()


async def start_exporter(
    registry: CollectorRegistry,
    *,
    host: str,
    port: int,
    setting: str,
    limits: WebLimits | None = None,
    hosts: Collection[str] = (),
    tls: ssl.SSLContext | None = None,
    access: HttpAccess | None = None,
) -> Exporter:
    """Serve the metrics on `host`; port 0 takes a free one. Raise StartRefused when the port cannot be had.

    `access` says who may scrape; without it everybody may, as whoever starts it by hand wants.
    """
    limits = WebLimits.standard(descriptor_budget().metrics) if limits is None else limits
    app: AsgiApplication = metrics_app(registry)
    if access is not None:
        app = metrics_behind(access, app)
    face = WebFace(app, host=host, port=port, setting=setting, limits=limits, hosts=hosts, tls=tls)
    return Exporter(face, await face.start())


def metrics_app(registry: CollectorRegistry) -> Starlette:
    """Return the application. A probe of `/healthz` must not find figures and take them for a yes: `/` says where they are."""
    exposition = Exposition(registry)

    async def metrics(request: Request) -> Response:
        compressed = gzip_accepted(request.headers.get("accept-encoding", ""))
        names = request.query_params.getlist("name[]")
        text, content_type = await exposition.text(request.headers.get("accept", ""), names, compressed=compressed)
        encoding = {"content-encoding": "gzip"} if compressed else {}
        return Response(text, headers={"content-type": content_type, **encoding})

    async def index(_: Request) -> Response:
        return PlainTextResponse(NOT_HERE)

    async def missing(_: Request, __: Exception) -> Response:
        return PlainTextResponse(NOT_HERE, status_code=404)

    return Starlette(routes=[Route("/metrics", metrics), Route("/", index)], exception_handlers={404: missing})
