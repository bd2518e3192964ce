"""Authenticate gRPC calls: before any handler, deny by default."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any, cast

import grpc

from services.orders.auth.authenticator import Authenticator
from services.orders.engine.commands import Caller
from services.runtime.access import Role, needed_role
from services.runtime.errors import PermissionDenied, Unauthenticated

_caller: ContextVar[Caller | None] = ContextVar("midstream_orders_caller", default=None)


def current_caller() -> Caller:
    """Return who makes the call being handled."""
    caller = _caller.get()
    if caller is None:
        raise Unauthenticated("the call was not authenticated")
    return caller


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler that is not open to everyone; one whose role nobody decided is refused."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = cast(Any, await continuation(handler_call_details))
        if handler is None:
            return None
        try:
            needed = needed_role(handler_call_details.method)
        except KeyError:
            needed = None
            decided = False
        else:
            decided = True
        if decided and needed is None:
            return cast("grpc.RpcMethodHandler[Any, Any]", handler)
        return self._guarded(handler, needed, handler_call_details.method)

    def _guarded(self, handler: Any, needed: Role | None, path: str) -> grpc.RpcMethodHandler[Any, Any]:
        if handler.request_streaming:
            raise NotImplementedError("no method of ours streams requests")

        async def admit(context: Any) -> None:
            if needed is None:
                raise PermissionDenied("nobody may call this method")
            metadata = {str(key): value for key, value in context.invocation_metadata() or ()}
            given = metadata.get("authorization")
            text = given.decode("ascii", "replace") if isinstance(given, bytes) else given
            _caller.set(await self._authenticator.bearer(text, _address(context.peer()), needed, path))

        if handler.response_streaming:

            async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
                await admit(context)
                async for response in handler.unary_stream(request, context):
                    yield response

            return grpc.unary_stream_rpc_method_handler(
                stream, handler.request_deserializer, handler.response_serializer
            )

        async def unary(request: Any, context: Any) -> Any:
            await admit(context)
            return await handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(unary, handler.request_deserializer, handler.response_serializer)


def _address(peer: str) -> str:
    """Return a peer without its port, which changes with every connection."""
    return peer.rpartition(":")[0] or peer
