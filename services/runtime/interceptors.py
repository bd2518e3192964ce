"""What happens around every call: correlation id, error mapping, metrics, end of streams when the server drains."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from services.runtime import errors
from services.runtime.logs import CORRELATION_ID_KEY, accept_correlation_id, set_correlation_id
from services.runtime.metrics import Metrics

logger = logging.getLogger(__name__)

STATUS_DETAILS_KEY: Final = "grpc-status-details-bin"

_CODES: Final[dict[type[errors.MidstreamError], grpc.StatusCode]] = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.OutOfRange: grpc.StatusCode.OUT_OF_RANGE,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
}
_BY_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode}

Context = grpc.aio.ServicerContext[Any, Any]


def code_of(exc: BaseException) -> grpc.StatusCode:
    """Return the status code of an error; what is not meant for callers is INTERNAL."""
    for kind in type(exc).__mro__:
        if kind in _CODES:
            return _CODES[kind]
    return grpc.StatusCode.INTERNAL


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler of a server; one instance per server.

    Servicers raise errors of `services.runtime.errors` and never see codes. Anything else that they raise is logged with its
    traceback, and the caller gets a request id instead of a text.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._streams: set[asyncio.Task[Any]] = set()
        self._draining = False

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        handler = await continuation(handler_call_details)
        if handler is None:
            # One series for all of them: a scanner must not create one per name that it tries.
            labels = ("unary", "unknown", "unknown")
            self._metrics.started.labels(*labels).inc()
            self._metrics.handled.labels(*labels, "UNIMPLEMENTED").inc()
            return handler
        return self._wrapped(handler, handler_call_details.method)

    def end_streams(self) -> None:
        """End every call that streams responses with UNAVAILABLE; new ones end at once. Unary calls finish."""
        self._draining = True
        for task in tuple(self._streams):
            task.cancel()

    def _wrapped(self, handler: Any, path: str) -> grpc.RpcMethodHandler[Any, Any]:
        _, service, method = path.rsplit("/", 2) if path.count("/") >= 2 else ("", "unknown", path)
        kind = {
            (False, False): "unary",
            (True, False): "client_stream",
            (False, True): "server_stream",
            (True, True): "bidi_stream",
        }[handler.request_streaming, handler.response_streaming]
        call = _Call(self._metrics, (kind, service, method), path)
        if handler.response_streaming:
            inner = handler.stream_stream if handler.request_streaming else handler.unary_stream
            wrap = (
                grpc.stream_stream_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )

            async def stream(request: Any, context: Context) -> None:
                await self._stream(call, inner, request, context, request_streaming=handler.request_streaming)

            return wrap(stream, handler.request_deserializer, handler.response_serializer)

        inner = handler.stream_unary if handler.request_streaming else handler.unary_unary
        wrap = (
            grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
        )

        async def unary(request: Any, context: Context) -> Any:
            return await self._unary(call, inner, request, context, request_streaming=handler.request_streaming)

        return wrap(unary, handler.request_deserializer, handler.response_serializer)

    async def _unary(self, call: _Call, inner: Any, request: Any, context: Context, *, request_streaming: bool) -> Any:
        identifier = _adopt_correlation_id(context)
        begun_s = call.begin()
        code = grpc.StatusCode.OK
        try:
            response = await inner(call.counted(request) if request_streaming else call.one(request), context)
            _keep_correlation_id(context, identifier)
            code = _code_set(context, code)
            if code is grpc.StatusCode.OK:
                call.sent.inc()
            return response
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        except grpc.aio.AbortError:
            code = _code_set(context, grpc.StatusCode.UNKNOWN)
            raise
        except Exception as exc:  # everything: whatever a handler raises must not leak, and must be logged
            code = code_of(exc)
            await _abort(context, exc, code, identifier, call.path)
        finally:
            call.end(code, begun_s)

    async def _stream(
        self, call: _Call, inner: Any, request: Any, context: Context, *, request_streaming: bool
    ) -> None:
        identifier = _adopt_correlation_id(context)
        begun_s = call.begin()
        code = grpc.StatusCode.OK
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            if self._draining:
                raise errors.Unavailable("the server is shutting down; connect again")
            await context.send_initial_metadata(((CORRELATION_ID_KEY, identifier),))
            result = inner(call.counted(request) if request_streaming else call.one(request), context)
            if hasattr(result, "__aiter__"):
                async for response in result:
                    await context.write(response)
                    call.sent.inc()
            else:
                # A handler that writes to the context itself; its messages are not counted.
                await result
            _keep_correlation_id(context, identifier)
            code = _code_set(context, code)
        except asyncio.CancelledError:
            if self._draining and not context.cancelled():
                # Cancelled by end_streams, not by the client: the client deserves a status.
                task.uncancel()
                code = grpc.StatusCode.UNAVAILABLE
                await _abort(
                    context,
                    errors.Unavailable("the server is shutting down; connect again"),
                    code,
                    identifier,
                    call.path,
                )
            code = grpc.StatusCode.CANCELLED
            raise
        except grpc.aio.AbortError:
            code = _code_set(context, grpc.StatusCode.UNKNOWN) if code is grpc.StatusCode.OK else code
            raise
        except Exception as exc:  # everything: whatever a handler raises must not leak, and must be logged
            code = code_of(exc)
            await _abort(context, exc, code, identifier, call.path)
        finally:
            self._streams.discard(task)
            call.end(code, begun_s)


class _Call:
    """The metrics of one method, with their labels looked up once per call."""

    def __init__(self, metrics: Metrics, labels: tuple[str, str, str], path: str) -> None:
        self.path = path
        self._metrics = metrics
        self._labels = labels
        self.sent = metrics.sent.labels(*labels)
        self.received = metrics.received.labels(*labels)

    def begin(self) -> float:
        self._metrics.started.labels(*self._labels).inc()
        return time.perf_counter()

    def one(self, request: Any) -> Any:
        self.received.inc()
        return request

    async def counted(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            self.received.inc()
            yield request

    def end(self, code: grpc.StatusCode, begun_s: float) -> None:
        self._metrics.handled.labels(*self._labels, code.name).inc()
        self._metrics.handling.labels(*self._labels).observe(time.perf_counter() - begun_s)


def _adopt_correlation_id(context: Context) -> str:
    given = next((value for key, value in context.invocation_metadata() or () if key == CORRELATION_ID_KEY), None)
    identifier = accept_correlation_id(given)
    set_correlation_id(identifier)
    context.set_trailing_metadata(((CORRELATION_ID_KEY, identifier),))
    return identifier


def _trailing(context: Context, identifier: str) -> list[tuple[str, str | bytes]]:
    """Return what the handler set, plus the correlation id."""
    present = [(key, value) for key, value in context.trailing_metadata() or () if key != CORRELATION_ID_KEY]
    return [*present, (CORRELATION_ID_KEY, identifier)]


def _keep_correlation_id(context: Context, identifier: str) -> None:
    context.set_trailing_metadata(tuple(_trailing(context, identifier)))


def _code_set(context: Context, default: grpc.StatusCode) -> grpc.StatusCode:
    """Return the code a handler put on the context, as an enum; grpc.aio stores a number or an enum."""
    code: Any = context.code()
    if isinstance(code, grpc.StatusCode):
        return code
    return _BY_NUMBER.get(code, default) if code else default


async def _abort(context: Context, exc: Exception, code: grpc.StatusCode, identifier: str, path: str) -> NoReturn:
    trailing = _trailing(context, identifier)
    if code is grpc.StatusCode.INTERNAL:
        logger.error("call failed: method=%s request_id=%s", path, identifier, exc_info=exc)
        text = f"internal error, request id {identifier}"
    else:
        logger.info("call refused: method=%s code=%s reason=%s", path, code.name, exc)
        text = str(exc)
    if isinstance(exc, errors.MidstreamError) and code is not grpc.StatusCode.INTERNAL:
        trailing.extend(exc.metadata)
    if isinstance(exc, errors.InvalidRequest):
        trailing.append((STATUS_DETAILS_KEY, _field_violation(exc)))
    await context.abort(code, text, tuple(trailing))


def _field_violation(exc: errors.InvalidRequest) -> bytes:
    detail = any_pb2.Any()
    violation = error_details_pb2.BadRequest.FieldViolation(field=exc.field, description=exc.problem)
    detail.Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    return status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message=exc.message, details=[detail]).SerializeToString()
