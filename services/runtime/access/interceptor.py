"""Admit gRPC calls: who it is and whether it may is settled before anything of the request is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, cast

import grpc

from services.runtime.access.credentials import credentials_of
from services.runtime.access.current import set_identity
from services.runtime.access.gate import AccessGate
from services.runtime.access.identity import OPEN
from services.runtime.access.open_calls import OpenCalls, no_longer_known
from services.runtime.access.roles import needed_role
from services.runtime.errors import InvalidRequest, MidstreamError, PermissionDenied
from services.runtime.interceptors import begin_stream, begins_itself, counts_as, does_begin_itself
from services.runtime.refusing import refusing
from services.runtime.requests import read_no_more

_ATTRIBUTES: Final = {
    (False, False): "unary_unary",
    (True, False): "stream_unary",
    (False, True): "unary_stream",
    (True, True): "stream_stream",
}


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Stands inside of `CallInterceptor`, so that what it raises becomes a status. Health and reflection pass it.

    A method is handed to the library as one whose client streams, which is the same on the wire: the library then reads a message
    only when it is asked for, and that is after the caller was admitted. A client certificate is known to the call's context only,
    so there is no earlier place for the decision.
    """

    def __init__(
        self,
        gate: AccessGate,
        open_calls: OpenCalls,
        *,
        end_call: Callable[[asyncio.Task[Any], MidstreamError], None],
    ) -> None:
        """`end_call` is that of the `CallInterceptor` around it."""
        self._gate = gate
        self._open_calls = open_calls
        self._end_call = end_call
        self._guarded_by_path: dict[str, tuple[Any, grpc.RpcMethodHandler[Any, Any]]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        path = handler_call_details.method
        try:
            needed = needed_role(path)
        except KeyError:
            return refusing(PermissionDenied("nobody may call this method"), handler)
        if needed is None:
            return handler
        if self._gate.is_open:
            # Interceptors run in the task that handles the call.
            set_identity(OPEN)
            return handler
        of, guarded = self._guarded_by_path.get(path, (None, None))
        if of is not handler or guarded is None:
            # Only for methods in the table of roles, so there are not more of them.
            guarded = self._guarded(handler, path)
            self._guarded_by_path[path] = handler, guarded
        return guarded

    def _guarded(self, handler: Any, path: str) -> grpc.RpcMethodHandler[Any, Any]:
        behaviour = getattr(handler, _ATTRIBUTES[handler.request_streaming, handler.response_streaming])

        @begins_itself
        async def guarded(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            identity = await self._gate.admit(credentials_of(context), path)
            set_identity(identity)
            task = cast("asyncio.Task[Any]", asyncio.current_task())
            with self._open_calls.watched(identity, lambda: self._end_call(task, no_longer_known(identity))):
                request = requests if handler.request_streaming else await _only(requests)
                if not handler.response_streaming:
                    yield await behaviour(request, context)
                    return
                if not does_begin_itself(behaviour):
                    await begin_stream(context)
                responses = behaviour(request, context)
                if not hasattr(responses, "__aiter__"):
                    await responses
                    return
                async with aclosing(responses):
                    async for response in responses:
                        yield response

        made: Any = grpc.stream_stream_rpc_method_handler(
            guarded, handler.request_deserializer, handler.response_serializer
        )
        counts_as(made, handler)
        return cast("grpc.RpcMethodHandler[Any, Any]", made)


async def _only(requests: AsyncIterator[Any]) -> Any:
    """Return the one message of a call that has one."""
    async for request in requests:
        await read_no_more(requests)
        return request
    raise InvalidRequest("request", "is missing: this method takes one message")
