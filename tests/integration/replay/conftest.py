"""The replay server over a queue that the test fills itself."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import grpc
import pytest
import redis
from prometheus_client import CollectorRegistry

from protos.replay.v1.replay_pb2_grpc import ReplayServiceStub
from services.replay.allowed_files import AllowedFiles
from services.replay.created_sessions import CreatedSessions, Limits
from services.replay.partition_listing import PartitionListing
from services.replay.servicer import ReplayServicer
from services.replay.session_queue import SessionQueue
from services.replay.session_requests import SessionRequests
from services.replay.sessions import Sessions
from services.runtime.connection import connect_async
from services.runtime.errors import FailedPrecondition
from services.runtime.interceptors import CallInterceptor
from services.runtime.metrics import Metrics
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.definitions import Definitions
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partition_runners import PartitionRunners
from services.runtime.session.session_runner import Host
from tests.support.replay_queue import Queue


@pytest.fixture
def queue(redis_client: redis.Redis, session_name: str) -> Queue:
    return Queue(redis_client, session_name)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def no_engine(keys: SessionKeys, definition: SessionDefinition, on_trouble: Callable[[str], None]) -> Host:
    raise FailedPrecondition("there are no engines here")


def no_share(*_: object) -> PartitionRunners:
    raise FailedPrecondition("nothing is shared here")


@pytest.fixture
async def replay_address(redis_url: str, session_name: str, metrics: Metrics) -> AsyncIterator[str]:
    client = connect_async(redis_url, client_name="test-replay")
    sessions = Sessions(client, default_session=session_name)
    queue = SessionQueue(client)
    created = CreatedSessions(
        Definitions(client),
        queue,
        make_host=no_engine,
        share=no_share,
        limits=Limits(sessions_max=2, idle_s=0.0),
        subscribed=lambda: sessions.streamed.names,
        end_streams=sessions.streamed.end,
        monotonic_s=time.monotonic,
        own_session=session_name,
    )
    requests = SessionRequests(AllowedFiles([]), sinks=())
    server = grpc.aio.server(interceptors=(CallInterceptor(metrics),))
    ReplayServicer(
        sessions,
        default_session=session_name,
        metrics=metrics,
        created=created,
        requests=requests,
        partitions=PartitionListing(client, queue),
    ).add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)
    await created.stop()
    await sessions.close()
    await client.aclose()


@pytest.fixture
async def replay(replay_address: str) -> AsyncIterator[ReplayServiceStub]:
    # What is on its way to a client that does not read stays as little as it is at first.
    async with grpc.aio.insecure_channel(replay_address, options=[("grpc.http2.bdp_probe", 0)]) as channel:
        yield ReplayServiceStub(channel)
