"""Simulated exchanges without sockets: an HTTP transport and websockets that call a simulator in process, in virtual time if wanted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from urllib.parse import urlsplit

from clients.http.transport import HttpRequest, HttpResponse, NotSent, ResponseLost
from services.simulators.venue.exchange import SimulatedVenue
from services.simulators.venue.messages import Fate, Request, Response
from services.simulators.venue.sockets import Closed, SimSocket


class SimulatedTransport:
    """Implements clients.http.transport.HttpTransport on one or more simulators, chosen by the URL's host and port.

    A caller that stops waiting does not stop the exchange: what was sent is processed to its end.
    """

    def __init__(
        self,
        venues: SimulatedVenue | Mapping[str, SimulatedVenue],
        *,
        monotonic_ns: Callable[[], int],
        wall_ns: Callable[[], int],
        address: str = "127.0.0.1",
    ) -> None:
        self._venues = venues
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._address = address
        self._under_way: set[asyncio.Task[Response]] = set()
        self.sent = 0
        """Requests that reached a simulator."""
        self.closed = False

    async def send(self, request: HttpRequest, *, timeout_s: float) -> HttpResponse:
        """Return the answer, or raise as a real transport does."""
        if self.closed:
            raise NotSent("the transport is closed")
        url = urlsplit(request.url)
        venue = self._venues if isinstance(self._venues, SimulatedVenue) else self._venues.get(url.netloc)
        if venue is None:
            raise NotSent(f"nobody listens at {url.netloc}")
        incoming = Request(
            method=request.method,
            path=url.path or "/",
            query=url.query,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=request.body,
            address=self._address,
        )
        sent_ns = self._monotonic_ns()
        self.sent += 1
        response = await self._answered(venue, incoming, timeout_s)
        if response.fate is Fate.REFUSED:
            raise NotSent("connection refused")
        if response.fate is Fate.NEVER:
            await asyncio.sleep(max(0.0, timeout_s - (self._monotonic_ns() - sent_ns) / 1e9))
            raise ResponseLost("no answer in time")
        if response.fate is not Fate.WHOLE:
            raise ResponseLost(f"the connection ended: {response.fate.value}")
        return HttpResponse(
            status=response.status,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=response.body,
            sent_ns=sent_ns,
            received_ns=self._monotonic_ns(),
            received_wall_ns=self._wall_ns(),
        )

    async def aclose(self) -> None:
        """Refuse further requests."""
        self.closed = True

    async def _answered(self, venue: SimulatedVenue, request: Request, timeout_s: float) -> Response:
        task = asyncio.create_task(venue.handle(request))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
        if not done:
            raise ResponseLost("no answer in time")
        return task.result()


class SimulatedSocket:
    """A client's end of a simulator's websocket."""

    def __init__(self, venue: SimulatedVenue, socket: SimSocket) -> None:
        self._venue = venue
        self._socket = socket

    async def send(self, text: str) -> None:
        """Send a frame."""
        await self._venue.receive(self._socket, text)

    async def recv(self) -> str:
        """Return the next frame; raise ConnectionError at the end."""
        frame = await self._socket.next()
        if isinstance(frame, Closed):
            raise ConnectionError(f"closed with {frame.code}: {frame.reason}")
        return frame

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be received."""
        return self._socket.waiting == 0

    async def close(self) -> None:
        """Leave."""
        self._socket.left()


def connect(
    venue: SimulatedVenue, path: str, query: str = "", headers: Mapping[str, str] | None = None
) -> SimulatedSocket:
    """Open a websocket; raise ConnectionError when the handshake is refused."""
    opened = venue.connect(path, query, headers or {})
    if isinstance(opened, Response):
        raise ConnectionError(f"handshake refused: HTTP {opened.status}")
    return SimulatedSocket(venue, opened)


@contextlib.asynccontextmanager
async def moving(venue: SimulatedVenue) -> AsyncIterator[SimulatedVenue]:
    """Keep a simulator's market and streams going while the block runs."""
    task = asyncio.create_task(venue.run())
    try:
        yield venue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await venue.close()
