"""Server streams whose messages are encoded already: the handler yields bytes, and gRPC sends them as they are."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import grpc


def register_with_raw_stream(
    server: grpc.aio.Server,
    add_to_server: Callable[[Any, Any], None],
    servicer: object,
    *,
    raw_methods: Collection[str],
) -> None:
    """Register `servicer` with the generated `add_..._to_server`, but without a response serializer for `raw_methods`."""
    add_to_server(servicer, _RawRegistrar(server, frozenset(raw_methods)))


class _RawRegistrar:
    """Stands where the generated code expects a server, and changes the handlers on their way."""

    def __init__(self, server: grpc.aio.Server, raw_methods: frozenset[str]) -> None:
        self._server = server
        self._raw_methods = raw_methods

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        # The generated code makes generic handlers too, but only the registered ones carry the method names.
        pass

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        changed = {
            name: grpc.unary_stream_rpc_method_handler(handler.unary_stream, handler.request_deserializer, None)
            if name in self._raw_methods
            else handler
            for name, handler in handlers.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, changed),))
