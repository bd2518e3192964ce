"""A service without protos: bytes in, bytes out, misbehaving on request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from services.runtime import errors
from services.runtime.logs import current_correlation_id

NAME = "midstream.test.v1.TestService"

SECRET = "canary-/etc/passwd-hunter2"

Context = grpc.aio.ServicerContext[Any, Any]


class TestServicer:
    """What it does is in the request."""

    __test__ = False

    def __init__(self) -> None:
        self.released = 0

    def add_to(self, server: grpc.aio.Server) -> None:
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Stream": grpc.unary_stream_rpc_method_handler(self.stream),
            "Collect": grpc.stream_unary_rpc_method_handler(self.collect),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
            "Typed": grpc.unary_unary_rpc_method_handler(self.typed, StringValue.FromString, bytes),
            "TypedChat": grpc.stream_stream_rpc_method_handler(self.typed_chat, StringValue.FromString, bytes),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))

    async def unary(self, request: bytes, context: Context) -> bytes:
        return await self._act(request, context)

    async def stream(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            yield await self._act(request, context)
        finally:
            self.released += 1

    async def collect(self, requests: AsyncIterator[bytes], _context: Context) -> bytes:
        return b",".join([request async for request in requests])

    async def chat(self, requests: AsyncIterator[bytes], _context: Context) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request.upper()

    async def typed(self, request: StringValue, _context: Context) -> bytes:
        return request.value.encode()

    async def typed_chat(self, requests: AsyncIterator[StringValue], _context: Context) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request.value.encode()

    @staticmethod
    async def _act(request: bytes, context: Context) -> bytes:
        match request:
            case b"correlation":
                return current_correlation_id().encode()
            case b"invalid":
                raise errors.InvalidRequest("mode", "must be MODE_HISTORICAL or MODE_LIVE (got 7)")
            case b"exhausted":
                raise errors.ResourceExhausted("too slow", metadata=(("last-sequence", "41"),))
            case b"bug":
                raise errors.Bug(SECRET)
            case b"crash":
                raise RuntimeError(SECRET)
            case b"abort":
                await context.abort(grpc.StatusCode.DATA_LOSS, "aborted by itself")
            case b"forever":
                await asyncio.Event().wait()
        error = getattr(errors, request.decode(), None)
        if error is not None:
            raise error("as asked")
        return request
