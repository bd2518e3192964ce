"""Server reflection, v1alpha and v1, with one implementation.

The installed package brings v1alpha only. The messages of v1 differ in nothing but the package name, so the same
classes serve both; the descriptor of v1 is made from that of v1alpha, so that v1 describes itself as well.

Our own files are served with their comments. Python's descriptors have dropped them; protos/midstream.binpb has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection, reflection_pb2

V1ALPHA: Final = "grpc.reflection.v1alpha.ServerReflection"
V1: Final = "grpc.reflection.v1.ServerReflection"
REFLECTION_SERVICES: Final = (V1ALPHA, V1)

_V1_FILE: Final = "grpc/reflection/v1/reflection.proto"


def commented_files() -> dict[str, bytes]:
    """Return our encoded file descriptors with their comments, by the names of the files.

    Without the names of JSON, as Python's own descriptors: tools that learn from reflection go on to print fields as the protos
    spell them, and scripts read `previous_mode` from what grpcurl prints.
    """
    encoded = resources.files("protos").joinpath("midstream.binpb").read_bytes()
    files = descriptor_pb2.FileDescriptorSet.FromString(encoded).file
    for file in files:
        for message in file.message_type:
            _forget_json_names(message)
    return {file.name: file.SerializeToString() for file in files}


def _forget_json_names(message: descriptor_pb2.DescriptorProto) -> None:
    for field in message.field:
        field.ClearField("json_name")
    for nested in message.nested_type:
        _forget_json_names(nested)


def add_reflection(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """Serve both versions of reflection for `services` and for themselves."""
    _describe_v1(descriptor_pool.Default())
    servicer = _ReflectionServicer((*services, V1ALPHA, V1), commented_files())
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for name in (V1ALPHA, V1):
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler}),)
        )


class _ReflectionServicer(reflection.aio.ReflectionServicer):  # type: ignore[misc]
    """The package's own, which finds methods too, as the protocol wants (`package.service.method`), and gives comments."""

    def __init__(self, services: Sequence[str], commented: Mapping[str, bytes]) -> None:
        super().__init__(services)
        self._commented = commented

    def _file_by_filename(
        self, request: reflection_pb2.ServerReflectionRequest, filename: str
    ) -> reflection_pb2.ServerReflectionResponse:
        return self._with_comments(super()._file_by_filename(request, filename))

    def _file_containing_symbol(
        self, request: reflection_pb2.ServerReflectionRequest, fully_qualified_name: str
    ) -> reflection_pb2.ServerReflectionResponse:
        parent, _, method = fully_qualified_name.rpartition(".")
        try:
            service = self._pool.FindServiceByName(parent)
        except KeyError:
            service = None
        if service is not None and method in service.methods_by_name:
            fully_qualified_name = parent
        return self._with_comments(super()._file_containing_symbol(request, fully_qualified_name))

    def _with_comments(
        self, response: reflection_pb2.ServerReflectionResponse
    ) -> reflection_pb2.ServerReflectionResponse:
        files = response.file_descriptor_response.file_descriptor_proto
        for index, plain in enumerate(files):
            name = descriptor_pb2.FileDescriptorProto.FromString(plain).name
            files[index] = self._commented.get(name, plain)
        return response


def _describe_v1(pool: descriptor_pool.DescriptorPool) -> None:
    """Add the file of v1 to the pool, unless something brought it already."""
    try:
        pool.FindFileByName(_V1_FILE)
    except KeyError:
        file = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(file)
        old, new = f".{file.package}.", ".grpc.reflection.v1."
        file.name, file.package = _V1_FILE, new.strip(".")
        # They mark v1alpha as deprecated and name its packages in other languages.
        file.ClearField("options")
        for message in file.message_type:
            for field in message.field:
                # Assigning an empty name would mark a scalar field as a message.
                if field.type_name:
                    field.type_name = field.type_name.replace(old, new)
        for service in file.service:
            for method in service.method:
                method.input_type = method.input_type.replace(old, new)
                method.output_type = method.output_type.replace(old, new)
        pool.Add(file)
