"""One HTTP/1.1 connection: a protocol of asyncio that feeds h11, with one timer per exchange and nothing between.

Whether a request was sent is no guess: everything before `write` is NotSent, everything from there on is ResponseLost. Nothing is
sent twice.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

import h11

from clients.http.bodies import Body
from clients.http.outgoing import Outgoing
from clients.http.timeouts import Patience, Timeouts
from clients.http.transport import NotSent, ResponseLost, TransportError

HEAD_BYTES_MAX: Final = 100 * 1024
"""Of an answer's head, or of the line before a chunk."""


@dataclass(frozen=True)
class Received:
    """A complete answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Exchange:
    """The request that is under way, and what has come of its answer."""

    def __init__(self, done: asyncio.Future[Received], bytes_max: int, now_s: float) -> None:
        self.done = done
        self.bytes_max = bytes_max
        self.moved_s = now_s
        """When something was last written or read."""
        self.head: h11.Response | None = None
        self.headers: dict[str, str] = {}
        self.body: Body | None = None


class Connection(asyncio.Protocol):
    """Make one exchange after another. Whoever opened it gives it its transport (`opened`) and aborts it in the end."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._transport: asyncio.Transport | None = None
        self._exchange: _Exchange | None = None
        self._writing = False
        self._spoilt = False
        self._watched = select.poll()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Done when the socket is closed."""
        self.idle_since_s = 0.0
        """By the loop's clock."""

    def opened(self, transport: asyncio.Transport) -> None:
        """Go on over this transport: the one below TLS was there before."""
        # Hardly anything is kept above what the system takes: "written" means handed over.
        transport.set_write_buffer_limits(high=1, low=0)
        self._transport = transport

    def usable(self) -> bool:
        """Tell whether a request may go out: the other side has neither closed nor said anything since the last answer."""
        transport = self._transport
        if transport is None or self._spoilt or self.ended.done() or transport.is_closing():
            return False
        # What the loop has not got round to reading yet can only be the end, or something that nobody asked for.
        return not self._watched.poll(0)

    async def exchange(
        self, request: Outgoing, *, bytes_max: int, limits: Timeouts, patience: Patience, on_write: Callable[[], None]
    ) -> Received:
        """Send the request and return its answer; `on_write` is called right before its first byte may leave.

        After anything but an answer the connection is gone, and so it is when the answer does not end cleanly: see `usable`.
        Raises NotSent and ResponseLost, both without saying where.
        """
        transport = self._transport
        assert transport is not None
        assert self._exchange is None
        made = _Exchange(self._loop.create_future(), bytes_max, self._loop.time())
        if made.moved_s >= patience.ends_s:
            raise NotSent(patience.text)
        try:
            sent = [self._http.send(part) for part in (request.head, *_data(request.body), h11.EndOfMessage())]
        except h11.LocalProtocolError as exc:
            self.abort()
            raise NotSent(type(exc).__name__) from None
        self._exchange = made
        timer = _Timer(self._loop, lambda: self._overdue(made, limits, patience))
        on_write()
        try:
            transport.write(b"".join(part for part in sent if part))
            timer.again()
            received = await made.done
        except TransportError:
            self.abort()
            raise
        except BaseException as exc:
            self.abort()
            if isinstance(exc, Exception):
                # Whatever it is, bytes may have left.
                raise ResponseLost(type(exc).__name__) from exc
            raise
        finally:
            self._exchange = None
            timer.cancel()
        self._end_cleanly(transport)
        return received

    def abort(self) -> None:
        """Close at once; what has not been written never will be."""
        self._spoilt = True
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._watched.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self.opened(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        made = self._exchange
        if made is None or made.done.done():
            # An answer to no request would be taken for that of the next one.
            self.abort()
            return
        made.moved_s = self._loop.time()
        self._feed(made, data)

    def eof_received(self) -> None:
        self._spoilt = True
        if self._exchange is not None and not self._exchange.done.done():
            # Ends an answer that has no length of its own; any other one is cut off.
            self._feed(self._exchange, b"")

    def pause_writing(self) -> None:
        self._writing = True

    def resume_writing(self) -> None:
        self._writing = False
        if self._exchange is not None:
            self._exchange.moved_s = self._loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._spoilt = True
        if self._exchange is not None:
            self._fail(self._exchange, ResponseLost(type(exc).__name__ if exc else "the connection was closed"))
        if not self.ended.done():
            self.ended.set_result(None)

    # Answers.

    def _feed(self, made: _Exchange, data: bytes) -> None:
        try:
            self._http.receive_data(data)
            while True:
                event = self._http.next_event()
                if isinstance(event, h11.Response):
                    made.head, made.headers = event, _headers(event)
                    made.body = Body(made.headers.get("content-encoding", ""), made.bytes_max)
                elif isinstance(event, h11.Data):
                    assert made.body is not None
                    made.body.feed(bytes(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    assert made.head is not None
                    assert made.body is not None
                    made.done.set_result(Received(made.head.status_code, made.headers, made.body.finish()))
                    return
                elif event is h11.NEED_DATA:
                    return
                elif not isinstance(event, h11.InformationalResponse):
                    self._fail(made, ResponseLost("the other side has ended the connection"))
                    return
        except h11.RemoteProtocolError as exc:
            self._fail(made, ResponseLost(type(exc).__name__))
        except ResponseLost as exc:
            self._fail(made, exc)

    def _fail(self, made: _Exchange, error: ResponseLost) -> None:
        if not made.done.done():
            made.done.set_exception(error)
            # Whoever waited may have been cancelled in the same moment: then nobody looks, and that is no mistake.
            made.done.exception()

    def _overdue(self, made: _Exchange, limits: Timeouts, patience: Patience) -> float:
        """Return when to look again; fails the exchange once a limit has passed."""
        quiet_s = limits.write_s if self._writing else limits.read_s
        due_s = min(patience.ends_s, made.moved_s + quiet_s)
        if self._loop.time() >= due_s:
            kind = patience.text if due_s == patience.ends_s else f"nothing moved for {quiet_s:g} s"
            self._fail(made, ResponseLost(kind))
        return due_s

    def _end_cleanly(self, transport: asyncio.Transport) -> None:
        """Make ready for the next request; where this one or its answer leaves anything behind, there is none."""
        http = self._http
        clean = http.our_state is h11.DONE and http.their_state is h11.DONE and not http.trailing_data[0]
        if not clean or self._writing or self._spoilt:
            self.abort()
            return
        http.start_next_cycle()
        self.idle_since_s = self._loop.time()


class _Timer:
    """One timer that is moved on when it goes off, instead of being set anew for each piece."""

    def __init__(self, loop: asyncio.AbstractEventLoop, due_s: Callable[[], float]) -> None:
        self._loop = loop
        self._due_s = due_s
        self._handle: asyncio.TimerHandle | None = None

    def again(self) -> None:
        due_s = self._due_s()
        # At least a little later: the clock may show the same instant again.
        self._handle = self._loop.call_at(max(due_s, self._loop.time() + 0.001), self.again)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()


def _data(body: bytes) -> tuple[h11.Data, ...]:
    return (h11.Data(data=body),) if body else ()


def _headers(response: h11.Response) -> dict[str, str]:
    """Return the headers by their lower case names; what comes several times is one list."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
