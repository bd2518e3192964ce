"""Reflection v1 and v1alpha say the same, and describe themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from protos.price.v1 import price_pb2 as _price_pb2  # noqa: F401  (what is imported is described)
from services.runtime.reflection import V1, V1ALPHA, add_reflection


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server()
    add_reflection(server, [health_pb2.DESCRIPTOR.services_by_name["Health"].full_name])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(0)


async def _ask(
    channel: grpc.aio.Channel, version: str, request: reflection_pb2.ServerReflectionRequest
) -> reflection_pb2.ServerReflectionResponse:
    call = channel.stream_stream(
        f"/{version}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    responses = [response async for response in call(iter((request,)))]
    assert len(responses) == 1
    return responses[0]


@pytest.mark.parametrize("version", [V1, V1ALPHA])
async def test_both_versions_list_every_service(channel: grpc.aio.Channel, version: str) -> None:
    response = await _ask(channel, version, reflection_pb2.ServerReflectionRequest(list_services=""))

    names = [service.name for service in response.list_services_response.service]
    assert names == sorted(["grpc.health.v1.Health", V1, V1ALPHA])


@pytest.mark.parametrize("version", [V1, V1ALPHA])
@pytest.mark.parametrize("symbol", ["grpc.health.v1.Health", V1, V1ALPHA, "grpc.reflection.v1.ServerReflectionRequest"])
async def test_both_versions_describe_every_symbol(channel: grpc.aio.Channel, version: str, symbol: str) -> None:
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)

    response = await _ask(channel, version, request)

    (raw,) = response.file_descriptor_response.file_descriptor_proto
    file = descriptor_pb2.FileDescriptorProto.FromString(raw)
    assert file.package == symbol.rpartition(".")[0]
    if file.package == "grpc.reflection.v1":
        assert b"v1alpha" not in raw


@pytest.mark.parametrize("version", [V1, V1ALPHA])
@pytest.mark.parametrize("symbol", ["grpc.health.v1.Health.Check", "grpc.health.v1.HealthCheckResponse.status"])
async def test_both_versions_find_the_members_of_a_symbol(channel: grpc.aio.Channel, version: str, symbol: str) -> None:
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)

    response = await _ask(channel, version, request)

    (raw,) = response.file_descriptor_response.file_descriptor_proto
    assert descriptor_pb2.FileDescriptorProto.FromString(raw).package == "grpc.health.v1"


@pytest.mark.parametrize("version", [V1, V1ALPHA])
@pytest.mark.parametrize(
    "request_",
    [
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="midstream.price.v1.PriceService.GetMidPrice"),
        reflection_pb2.ServerReflectionRequest(file_by_filename="protos/price/v1/price.proto"),
    ],
    ids=["symbol", "filename"],
)
async def test_our_files_are_described_with_their_comments(
    channel: grpc.aio.Channel, version: str, request_: reflection_pb2.ServerReflectionRequest
) -> None:
    response = await _ask(channel, version, request_)

    described = [
        descriptor_pb2.FileDescriptorProto.FromString(raw)
        for raw in response.file_descriptor_response.file_descriptor_proto
    ]
    assert [file.name for file in described] == ["protos/price/v1/price.proto", "protos/common/v1/market.proto"]
    for file in described:
        comments = [location.leading_comments for location in file.source_code_info.location]
        assert any(comments), file.name
    assert " Latest mid of one ticker." in "".join(
        location.leading_comments for location in described[0].source_code_info.location
    )


@pytest.mark.parametrize("symbol", ["grpc.health.v1.Health.NoSuchMethod", "Check", ""])
async def test_method_that_no_service_has_is_not_found(channel: grpc.aio.Channel, symbol: str) -> None:
    response = await _ask(channel, V1, reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))

    assert response.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_unknown_symbol_is_an_answer_and_not_a_failure(channel: grpc.aio.Channel) -> None:
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.such.Thing")

    response = await _ask(channel, V1, request)

    assert response.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
