"""Requests mutated byte by byte, to every method of servers that run: each gets an answer that was meant, and all go on serving."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from random import Random
from typing import Any

import grpc
import pytest

from protos.health.v1.health_pb2 import STATUS_OK, GetReportRequest
from tests.support.cli import until
from tests.support.fuzz.input_targets import filled
from tests.support.fuzz.mutate import Mutator
from tests.support.serving import SERVERS, Serving, serving

SEED = 20
CALLS = 40
STREAM_S, CALL_S = 0.5, 20.0
NOT_MEANT = {
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.UNIMPLEMENTED,
}


def methods_of(server: str) -> list[Any]:
    module = importlib.import_module(f"protos.{server}.v1.{server}_pb2")
    return [method for service in module.DESCRIPTOR.services_by_name.values() for method in service.methods]


METHODS = [(server, method) for server in SERVERS for method in methods_of(server)]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("hostile") / "out", SPEED="0.05") as running:
        running.wait_committed(10)
        yield running


def answer(channel: grpc.Channel, method: Any, request: bytes) -> grpc.StatusCode:
    """Make one call with raw bytes; of a stream take what comes at once."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    assert not method.client_streaming, f"{path} takes a stream: send it one"
    try:
        if method.server_streaming:
            for _ in channel.unary_stream(path)(request, timeout=STREAM_S):
                break
        else:
            channel.unary_unary(path)(request, timeout=CALL_S)
    except grpc.RpcError as exc:
        code: grpc.StatusCode = exc.code()
        return code
    return grpc.StatusCode.OK


@pytest.mark.cases(6)
@pytest.mark.parametrize(("server", "method"), METHODS, ids=[f"{server}.{method.name}" for server, method in METHODS])
def test_any_bytes_get_an_answer_that_was_meant(servers: Serving, server: str, method: Any) -> None:
    channel = servers.channel(server)
    mutator = Mutator([filled(method.input_type, Random(SEED)).SerializeToString(), b"\x0a\x07default"])

    for number in range(CALLS):
        request = mutator.make(Random(f"{SEED}/{method.full_name}/{number}"))
        code = answer(channel, method, request)
        assert code not in NOT_MEANT, (number, code, request[:300])


def test_all_of_it_left_the_servers_well(servers: Serving) -> None:
    def well() -> bool:
        report = servers.health.GetReport(GetReportRequest(), timeout=CALL_S).report
        return {check.name for check in report.checks if check.status == STATUS_OK} >= {"control", "price", "redis"}

    until(well, what="every server well again")
    assert servers.process.poll() is None
