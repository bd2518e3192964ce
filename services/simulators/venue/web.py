"""A simulated exchange as an ASGI application: HTTP and websockets on one port, broken connections included."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, Protocol

from services.simulators.venue.admin import Admin
from services.simulators.venue.exchange import SimulatedVenue
from services.simulators.venue.messages import Fate, Request, Response
from services.simulators.venue.sockets import Closed, SimSocket

BODY_BYTES_MAX: Final = 1 << 20
REFUSAL_POLL_S: Final = 0.02
"""How late the port may open or close by the clock of the fault plan."""

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Door(Protocol):
    """Lets connections in, or has the system refuse them."""

    def close_door(self) -> None:
        """Refuse new connections and end idle ones; what is under way, and websockets, go on."""

    async def open_door(self) -> None:
        """Let them in again."""


class VenueApp:
    """The application; its lifespan keeps the market moving. Without a door nobody is refused before a request is read."""

    def __init__(self, venue: SimulatedVenue, *, levers_from_anywhere: bool = False) -> None:
        self._venue = venue
        self._admin = Admin(venue, from_anywhere=levers_from_anywhere)
        self.door: Door | None = None
        self._refuses = False

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one request, one websocket, or the whole life of the process."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        tasks = [asyncio.create_task(self._venue.run()), asyncio.create_task(self._mind_the_door())]
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._venue.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _mind_the_door(self) -> None:
        while True:
            await self._set_door()
            await asyncio.sleep(REFUSAL_POLL_S)

    async def _set_door(self) -> None:
        refuses = self._venue.faults.refuses(self._venue.wall_ns())
        if self.door is None or refuses == self._refuses:
            return
        self._refuses = refuses
        if refuses:
            self.door.close_door()
            # Connections end when the loop comes round.
            await asyncio.sleep(0)
        else:
            await self.door.open_door()

    # -- HTTP -----------------------------------------------------------------------------------------------------

    async def _http(self, scope: Any, receive: Receive, send: Send) -> None:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > BODY_BYTES_MAX:
                await _answer(send, Response(413, b"at most 1 MiB"))
                return
            if not message.get("more_body"):
                break
        response = await self._respond(_request(scope, bytes(body)))
        if self._refuses:
            response = replace(response, headers={**response.headers, "connection": "close"})
        if response.fate is Fate.WHOLE:
            await _answer(send, response)
        elif response.fate is Fate.NEVER:
            await _gone(receive)
        else:
            if response.fate is Fate.TRUNCATED:
                await _answer(send, response, part=max(1, len(response.body) // 2))
            if _hang_up(send):
                # The server has to see that the client is gone, or it complains about a missing answer.
                await _gone(receive)

    async def _respond(self, request: Request) -> Response:
        if request.path == "/sim" or request.path.startswith("/sim/"):
            answer = self._admin.handle(request)
            # Before it is answered: who has planned a refusal meets it with the next request.
            await self._set_door()
            return answer
        if request.path == "/" and request.method == "GET":
            base = f"http://{request.headers.get('host', '127.0.0.1')}"
            return Response(200, self._venue.welcome(base).encode(), {"content-type": "text/plain; charset=utf-8"})
        return await self._venue.handle(request)

    # -- websockets -----------------------------------------------------------------------------------------------

    async def _websocket(self, scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        request = _request(scope, b"")
        opened = self._venue.connect(request.path, request.query, request.headers)
        if isinstance(opened, Response):
            await _refuse(scope, send, opened)
            return
        opened.address = request.address
        await send({"type": "websocket.accept"})
        reading = asyncio.create_task(self._read(opened, receive))
        try:
            await _write(opened, send)
        finally:
            opened.left()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, socket: SimSocket, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                socket.left()
                return
            text = message.get("text")
            await self._venue.receive(socket, text if text is not None else message["bytes"].decode("utf-8", "replace"))


async def _write(socket: SimSocket, send: Send) -> None:
    with contextlib.suppress(RuntimeError, OSError):
        # The server raises one of these when the client left first.
        while True:
            frame = await socket.next()
            if not isinstance(frame, Closed):
                await send({"type": "websocket.send", "text": frame})
            elif frame.code is None:
                _hang_up(send)
                return
            else:
                await send({"type": "websocket.close", "code": frame.code, "reason": frame.reason})
                return


async def _refuse(scope: Any, send: Send, response: Response) -> None:
    if response.fate is not Fate.WHOLE:
        _hang_up(send)
    elif "websocket.http.response" in scope.get("extensions", {}):
        await _answer(send, response, kind="websocket.http.response")
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": ""})


def _request(scope: Any, body: bytes) -> Request:
    raw = scope.get("raw_path") or scope["path"].encode()
    return Request(
        method=scope.get("method", "WS"),
        path=raw.decode("ascii", "replace").partition("?")[0],
        query=scope["query_string"].decode("latin-1"),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
        body=body,
        address=scope["client"][0] if scope.get("client") else "127.0.0.1",
    )


async def _answer(send: Send, response: Response, *, part: int | None = None, kind: str = "http.response") -> None:
    headers = {**response.headers, "content-length": str(len(response.body))}
    names = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": f"{kind}.start", "status": response.status, "headers": names})
    await send({"type": f"{kind}.body", "body": response.body[:part], "more_body": part is not None})


async def _gone(receive: Receive) -> None:
    """Wait until the connection is over."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _hang_up(send: Send) -> bool:
    """Break the connection as a dying exchange does: ASGI knows no such thing, the server's transport does."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        return False
    transport.abort()
    return True
