"""`midstream health | lag | sessions | tail` over TLS and with a key, as every other command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any
from unittest import mock

import grpc
import pytest

from protos.common.v1.market_pb2 import MidBatch, TickBatch
from protos.health.v1 import health_pb2
from protos.health.v1.health_pb2_grpc import HealthServiceServicer, add_HealthServiceServicer_to_server
from protos.price.v1 import price_pb2
from protos.price.v1.price_pb2_grpc import PriceServiceServicer, add_PriceServiceServicer_to_server
from protos.replay.v1 import replay_pb2
from protos.replay.v1.replay_pb2_grpc import ReplayServiceServicer, add_ReplayServiceServicer_to_server
from tests.support.cli import PATIENCE_S, clean_environment, midstream_here
from tests.support.tls import Authority

KEY = "mk_0123456789abcdef_secret"
TYPED = [
    ("health",),
    ("lag",),
    ("sessions",),
    ("tail", "--from-oldest", "-n", "1"),
    ("tail", "mids", "--from-oldest", "-n", "1"),
]


class Everything(HealthServiceServicer, ReplayServiceServicer, PriceServiceServicer):
    """Answers in a word, and notes who asks."""

    def __init__(self) -> None:
        self.authorizations: list[str] = []

    def _note(self, context: Any) -> None:
        metadata = {str(key): str(value) for key, value in context.invocation_metadata()}
        self.authorizations.append(metadata.get("authorization", ""))

    def GetReport(self, request: Any, context: Any) -> health_pb2.GetReportResponse:
        self._note(context)
        return health_pb2.GetReportResponse(report=health_pb2.Report(status=health_pb2.STATUS_OK))

    def ListSessions(self, request: Any, context: Any) -> replay_pb2.ListSessionsResponse:
        self._note(context)
        return replay_pb2.ListSessionsResponse()

    def StreamTicks(self, request: Any, context: Any) -> Iterator[TickBatch]:
        self._note(context)
        yield TickBatch(
            epoch="e", first_sequence=1, last_sequence=1, rejections=[{"sequence": 1, "reason": "no price"}]
        )

    def StreamMidPrices(self, request: Any, context: Any) -> Iterator[price_pb2.StreamMidPricesResponse]:
        self._note(context)
        columns: dict[str, Any] = {name: [1] for name in ("sequence", "event_time_ns", "arrival_time_ns", "mid_price")}
        batch = MidBatch(epoch="e", first_sequence=1, last_sequence=1, tickers=["A"], ticker_index=[0], **columns)
        yield price_pb2.StreamMidPricesResponse(batch=batch)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Everything, dict[str, str], Path]]:
    authority, answers = Authority(), Everything()
    pair = authority.pair("127.0.0.1")
    server = grpc.server(futures.ThreadPoolExecutor(4))
    add_HealthServiceServicer_to_server(answers, server)
    add_ReplayServiceServicer_to_server(answers, server)
    add_PriceServiceServicer_to_server(answers, server)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(pair.key, pair.chain)]))
    server.start()
    environment = {f"MIDSTREAM_{name}_PORT": str(port) for name in ("HEALTH", "REPLAY", "PRICE")}
    yield answers, environment, authority.write(tmp_path_factory.mktemp("ca"))
    server.stop(None).wait(timeout=PATIENCE_S)


@pytest.mark.parametrize("typed", TYPED, ids=" ".join)
def test_a_command_speaks_tls_and_brings_its_key(
    world: tuple[Everything, dict[str, str], Path], typed: tuple[str, ...]
) -> None:
    answers, environment, authority = world
    answers.authorizations.clear()

    with mock.patch.dict(os.environ, clean_environment(environment | {"MIDSTREAM_API_KEY": KEY}), clear=True):
        done = midstream_here(*typed, "--cacert", authority)

    assert (done.code, done.stderr) == (0, "")
    assert done.stdout
    assert set(answers.authorizations) == {f"Bearer {KEY}"}


@pytest.mark.parametrize("typed", TYPED, ids=" ".join)
def test_without_it_the_line_says_what_to_do(
    world: tuple[Everything, dict[str, str], Path], typed: tuple[str, ...]
) -> None:
    _, environment, _ = world

    with mock.patch.dict(os.environ, clean_environment(environment), clear=True):
        done = midstream_here(*typed)

    assert (done.code, done.stdout) == (2, "")
    assert "speaks TLS: use --cacert FILE" in done.error_line
