"""Surround every call: correlation id, error mapping, metrics, and an end when the server drains."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Final, TypeVar, cast

import grpc

import clients.tracing as tracing
from services.runtime import errors
from services.runtime.access.roles import OPEN_SERVICES
from services.runtime.admission import CallAdmission, check_metadata
from services.runtime.call_figures import KINDS, UNKNOWN, CallFigures
from services.runtime.call_limits import CallLimits
from services.runtime.logs import (
    CORRELATION_ID_KEY,
    accept_correlation_id,
    current_correlation_id,
    set_correlation_id,
)
from services.runtime.metrics import Metrics
from services.runtime.refusal_pace import RefusalPace
from services.runtime.requests import Requests
from services.runtime.room import Refuser, Room, arrived
from services.runtime.statuses import Context, abort, code_of, code_set, trailing

_ATTRIBUTES: Final = {
    (False, False): "unary_unary",
    (True, False): "stream_unary",
    (False, True): "unary_stream",
    (True, True): "stream_stream",
}
_STREAMING: Final = ("server_stream", "bidi_stream")
_BEGINS_ITSELF: Final = "begins_itself"
_COUNTS_AS: Final = "counts_as"

_Method = TypeVar("_Method", bound=Callable[..., Any])

BeginChange = Callable[[str], Callable[[str], None] | None]


CallMetadata = Iterable[tuple[str, str | bytes]]


def _begins_none(_path: str) -> None:
    return None


def _knows_nobody(_metadata: CallMetadata, _path: str) -> bool:
    return False


_LATE_S: Final = 0.05
"""A wait that ends this much later than it should says nothing about what has arrived meanwhile."""
_NO_ROOMS: Final[Mapping[str, Room]] = {}
WRAPPED_MAX: Final = 1_000
"""Methods whose wrapped handler is kept; a server has some dozens."""

TRACEPARENT_KEY: Final = "traceparent"
"""gRPC metadata key and HTTP header of W3C Trace Context."""

SHUTTING_DOWN: Final = "the server is shutting down; connect again"


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler of a server; one instance per server.

    Servicers raise errors of `services.runtime.errors` and never see codes. Anything else that they raise is logged
    with its traceback, and the caller gets a request id instead of a text.
    """

    def __init__(
        self,
        metrics: Metrics,
        limits: CallLimits | None = None,
        *,
        begin_change: BeginChange = _begins_none,
        rooms: Mapping[str, Room] = _NO_ROOMS,
        knows: Callable[[CallMetadata, str], bool] = _knows_nobody,
        pace: RefusalPace | None = None,
    ) -> None:
        """`begin_change` is told of each call, by its path; what it returns is told the code with which that ended.

        `rooms` has the methods with a bounded line, by path. What has no room there is refused at once if `knows` says that whoever sent
        it was admitted a moment ago; others find out who they are first, and nothing more. `pace` is that of these refusals.
        """
        self._metrics = metrics
        self._begin_change = begin_change
        self._limits = limits or CallLimits()
        self._admission = CallAdmission(self._limits, clock_s=time.monotonic)
        self._memory = self._limits.request_memory()
        self._reserved_memory = {path: self._limits.reserved_memory() for path in self._limits.always_admitted}
        self._calls: dict[asyncio.Task[Any], bool] = {}
        self._ended: dict[asyncio.Task[Any], errors.MidstreamError] = {}
        self._draining = False
        self._begun = 0
        self._wrapped_by_path: dict[str, tuple[Any, grpc.RpcMethodHandler[Any, Any]]] = {}
        self._knows = knows
        self._pace = pace or RefusalPace()
        if rooms:
            self._pace.count_in(metrics, "grpc")
        self._refusers = {path: self._refuser(path, room) for path, room in rooms.items()}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        path = handler_call_details.method
        refuser = self._refusers.get(path)
        if (
            refuser is not None
            and not self._draining
            and self._knows(handler_call_details.invocation_metadata or (), path)
            and refuser.refuses()
        ):
            self._begun += 1
            return refuser.handler
        handler = await continuation(handler_call_details)
        if handler is None:
            figures = CallFigures(self._metrics, UNKNOWN)
            figures.end(grpc.StatusCode.UNIMPLEMENTED, figures.begin())
            return None
        of, wrapped = self._wrapped_by_path.get(path, (None, None))
        if of is not handler or wrapped is None:
            wrapped = self._wrapped(handler, path)
            # Refusals are handlers of their own, and whoever calls what is not there thinks of any number of names.
            if len(self._wrapped_by_path) < WRAPPED_MAX:
                self._wrapped_by_path[path] = handler, wrapped
        return wrapped

    def _refuser(self, path: str, room: Room) -> Refuser:
        service, _, method = path.lstrip("/").partition("/")
        figures = CallFigures(self._metrics, (KINDS[False, False], service, method))
        return Refuser(room, figures, self._pace, lambda error: self._admission.refused(path, error.message))

    async def refuse_new_calls(self, *, quiet_s: float, at_most_s: float) -> None:
        """End calls that begin from now on with UNAVAILABLE; return once none has begun for `quiet_s`, or after `at_most_s`.

        What has arrived at a server that stops, and has not begun, would be told CANCELLED by the library.
        """
        self._draining = True
        self._pace.end()
        now, half_s = asyncio.get_running_loop().time, quiet_s / 2
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                quiet, begun = 0, self._begun
                # Twice: behind a pause of the whole process the first one is over before anything that waited has begun.
                while quiet < 2:
                    since = now()
                    await asyncio.sleep(half_s)
                    # One that ends late was such a pause, or one of a machine that is too busy to tell.
                    is_quiet = begun == self._begun and now() - since <= half_s + _LATE_S
                    quiet, begun = (quiet + 1 if is_quiet else 0), self._begun

    def end_streams(self) -> None:
        """End every call that streams responses with UNAVAILABLE; new ones end at once. Unary calls go on."""
        self._draining = True
        self._end(streams_only=True)

    def end_calls(self) -> None:
        """End every call that is still there with UNAVAILABLE."""
        self._draining = True
        self._pace.end()
        self._end(streams_only=False)

    def end_call(self, task: asyncio.Task[Any], error: errors.MidstreamError) -> None:
        """End the call that `task` handles with `error`; one that has ended, or was told to, is left alone."""
        if task in self._calls and task not in self._ended:
            self._ended[task] = error
            task.cancel()

    def _end(self, *, streams_only: bool) -> None:
        for task, streaming in tuple(self._calls.items()):
            if streaming or not streams_only:
                self.end_call(task, errors.Unavailable(SHUTTING_DOWN))

    def _wrapped(self, handler: Any, path: str) -> grpc.RpcMethodHandler[Any, Any]:
        service, _, method = path.lstrip("/").partition("/")
        kind = KINDS[handler.request_streaming, handler.response_streaming]
        behaviour = getattr(handler, _ATTRIBUTES[handler.request_streaming, handler.response_streaming])
        # To the library every client streams, which is the same on the wire: it reads a message only when it is asked for one.
        attribute = _ATTRIBUTES[True, handler.response_streaming]
        memory = self._reserved_memory.get(path, self._memory)
        bytes_max = self._limits.request_bytes_max(path)
        counted_kind = getattr(handler, _COUNTS_AS, kind)
        figures = CallFigures(self._metrics, (counted_kind, service, method) if counted_kind else UNKNOWN)
        streaming = handler.response_streaming if counted_kind is None else counted_kind in _STREAMING
        respond = _respond_with_stream if handler.response_streaming else _respond_once

        traced = service not in OPEN_SERVICES
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}

        async def handle(received: AsyncIterator[bytes], context: Context) -> Any:
            if not traced or not tracing.is_on():
                return await handle_call(received, context)
            with tracing.span(f"{service}/{method}", "server", parent=_traceparent(context), attributes=attributes):
                return await handle_call(received, context)

        async def handle_call(received: AsyncIterator[bytes], context: Context) -> Any:
            identifier = _adopt_correlation_id(context)
            task = cast("asyncio.Task[Any]", asyncio.current_task())
            self._calls[task] = streaming
            self._begun += 1
            begun_s = figures.begin()
            ended_as = self._begin_change(path)
            code = grpc.StatusCode.OK
            leave: list[Callable[[], None]] = []
            held = memory.request(partial(self.end_call, task))
            peer = context.peer()
            try:
                if self._draining:
                    raise errors.Unavailable(SHUTTING_DOWN)
                self._admission.check(path, peer)
                check_metadata(context.invocation_metadata() or ())
                requests = Requests(
                    received,
                    handler.request_deserializer,
                    held=held,
                    bytes_max=bytes_max,
                    count=figures.received,
                    arrived=lambda: leave.append(self._admission.enter(path, peer)),
                )
                request = requests if handler.request_streaming else await requests.only()
                response = await respond(behaviour, request, context, figures, identifier)
                context.set_trailing_metadata(trailing(context, identifier))
                code = code_set(context, code)
                return response
            except asyncio.CancelledError:
                ended = self._ended.get(task)
                if ended is None:
                    code = grpc.StatusCode.CANCELLED
                    raise
                # Cancelled by us, not by the client, who deserves a status.
                code = code_of(ended)
                await abort(context, ended, identifier, path)
            except grpc.aio.AbortError:
                code = code_set(context, grpc.StatusCode.UNKNOWN)
                raise
            except Exception as exc:  # noqa: BLE001  whatever a handler raises must not leak, and must be logged
                code = code_of(exc)
                await abort(context, exc, identifier, path)
            finally:
                arrived()
                held.release()
                for each in leave:
                    each()
                del self._calls[task]
                self._ended.pop(task, None)
                figures.end(code, begun_s)
                tracing.annotate("rpc.grpc.status_code", code.value[0])
                if ended_as is not None:
                    ended_as(code.name)

        make = getattr(grpc, f"{attribute}_rpc_method_handler")
        return cast("grpc.RpcMethodHandler[Any, Any]", make(handle, None, handler.response_serializer))


def begins_itself(method: _Method) -> _Method:
    """Mark a streaming method that calls `begin_stream` once it has settled where the stream begins.

    Clients count on what happens after the headers to be in the stream; for others the headers go out before the method runs.
    """
    setattr(method, _BEGINS_ITSELF, True)
    return method


def counts_as(handler: Any, other: Any) -> None:
    """Count the calls of a handler as calls of the kind of another; with None, as those of a method that nobody has."""
    setattr(handler, _COUNTS_AS, None if other is None else KINDS[other.request_streaming, other.response_streaming])


def does_begin_itself(method: Any) -> bool:
    """Whether a streaming method is marked with `begins_itself`."""
    return bool(getattr(method, _BEGINS_ITSELF, False))


async def begin_stream(context: Context) -> None:
    """Send the headers of a stream."""
    await context.send_initial_metadata(((CORRELATION_ID_KEY, current_correlation_id()),))


async def _respond_once(behaviour: Any, request: Any, context: Context, figures: CallFigures, _id: str) -> Any:
    response = await behaviour(request, context)
    figures.sent.inc()
    return response


async def _respond_with_stream(
    behaviour: Any, request: Any, context: Context, figures: CallFigures, identifier: str
) -> None:
    if not does_begin_itself(behaviour):
        await context.send_initial_metadata(((CORRELATION_ID_KEY, identifier),))
    responses = behaviour(request, context)
    if not hasattr(responses, "__aiter__"):
        # A handler that writes to the context itself; its messages are not counted.
        await responses
        return
    # Closed here and now: what the handler holds is released with the call, not when the garbage collector finds it.
    async with aclosing(responses):
        async for response in responses:
            try:
                await _write(context, response)
            except grpc.aio.InternalError as exc:
                # The only way in which a write fails: the client left while it was under way.
                raise asyncio.CancelledError("the client left") from exc
            figures.sent.inc()


async def _write(context: Context, response: Any) -> None:
    await context.write(response)


def _traceparent(context: Context) -> str:
    """Return the caller's span as W3C writes it; what is no such text is ignored further on."""
    found = next((value for key, value in context.invocation_metadata() or () if key == TRACEPARENT_KEY), "")
    return found if isinstance(found, str) else ""


def _adopt_correlation_id(context: Context) -> str:
    given = next((value for key, value in context.invocation_metadata() or () if key == CORRELATION_ID_KEY), None)
    identifier = accept_correlation_id(given)
    set_correlation_id(identifier)
    # Set already now, for handlers that abort by themselves.
    context.set_trailing_metadata(((CORRELATION_ID_KEY, identifier),))
    return identifier
