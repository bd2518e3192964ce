"""Whatever a caller sends over gRPC gets an answer that was meant: never INTERNAL, never a hang, never an order by accident."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protos.orders.v1 import orders_pb2 as pb
from protos.orders.v1.orders_pb2_grpc import OrderServiceStub
from services.runtime.access import METHODS as METHOD_ROLES
from services.runtime.access import Role
from tests.support.order_faces import ServedDesk, key_of

MEANT = {
    grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.RESOURCE_EXHAUSTED,
}  # fmt: skip
METHODS = [
    method
    for method in pb.DESCRIPTOR.services_by_name["OrderService"].methods
    if not method.server_streaming and method.name != "SetKillSwitch"
]
"""The switch would deny everything after it, and streams have no end."""

TEXTS = st.one_of(
    st.sampled_from(
        ["", "binance", "ANY", "BTC/USDT", "BTC/USDT:USDT", "0.5", "99", "1e5", "NaN", "-1", "k1", "x" * 200]
    ),
    st.text(st.characters(codec="utf-8"), max_size=30),
)
INTEGERS = {
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, (1 << 64) - 1),
    FieldDescriptor.CPPTYPE_UINT32: st.one_of(st.integers(0, 600), st.integers(0, (1 << 32) - 1)),
    FieldDescriptor.CPPTYPE_ENUM: st.integers(-1, 12),
}


def values(field: Any) -> st.SearchStrategy[Any]:
    """Return values that fit into a field, whatever they mean."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        one: st.SearchStrategy[Any] = TEXTS
    elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        one = st.booleans()
    else:
        one = INTEGERS[field.cpp_type]
    return st.lists(one, max_size=3) if field.is_repeated else one


def requests(descriptor: Any) -> st.SearchStrategy[Message]:
    """Return messages with any of their fields set."""
    fields = {field.name: values(field) for field in descriptor.fields}
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: GetMessageClass(descriptor)(**given))


@pytest.fixture(scope="module")
def stub(served_desk: ServedDesk) -> Iterator[OrderServiceStub]:
    with grpc.insecure_channel(f"127.0.0.1:{served_desk.grpc_port}") as channel:
        yield OrderServiceStub(channel)


def code_of(call: Any, request: Message, role: str) -> grpc.StatusCode:
    """Make a call; return how it ended."""
    try:
        call(request, metadata=(("authorization", f"Bearer {key_of(role)}"),), timeout=10.0)
    except grpc.RpcError as exc:
        return cast(grpc.Call, exc).code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_any_request_gets_an_answer_that_was_meant(method: Any, stub: OrderServiceStub) -> None:
    role = "admin" if METHOD_ROLES[f"{method.containing_service.full_name}/{method.name}"] is Role.ADMIN else "trade"

    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    @given(requests(method.input_type))
    def answered(request: Message) -> None:
        assert code_of(getattr(stub, method.name), request, role) in MEANT

    answered()
