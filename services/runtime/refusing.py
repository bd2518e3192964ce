"""Refuse a call before its request is read: what is refused must cost its sender more than us."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import grpc

from services.runtime.errors import MidstreamError
from services.runtime.interceptors import begins_itself, counts_as


def refusing(error: MidstreamError, handler: Any = None) -> grpc.RpcMethodHandler[Any, Any]:
    """Return a handler that ends every call with `error`, for an interceptor inside of `CallInterceptor` to return.

    `handler` is what would have answered: the call counts as one of its kind and method; without it, as one of an unknown method.

    To the library it is a method whose client streams, which is the same on the wire: the library reads a message only when a
    handler asks for one, while that of a unary method has been received and held in full before the handler runs.
    """

    @begins_itself
    async def refuse(_requests: Any, _context: Any) -> AsyncIterator[bytes]:
        raise error
        yield b""

    made: Any = grpc.stream_stream_rpc_method_handler(refuse)
    counts_as(made, handler)
    return cast("grpc.RpcMethodHandler[Any, Any]", made)
