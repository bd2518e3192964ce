"""The replay server: serves what its engines publish, one for the session of the environment and one for each that was created."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Sequence
from functools import cached_property

import grpc
import redis

from services.replay.allowed_files import AllowedFiles
from services.replay.config import ReplaySettings, listed
from services.replay.created_sessions import CreatedSessions, Limits
from services.replay.metrics import CREATED_FIGURES, FAILED, REPLAY_FIGURES
from services.replay.partition_listing import PartitionListing
from services.replay.servicer import ReplayServicer
from services.replay.session_queue import SessionQueue
from services.replay.session_requests import SessionRequests, environment_definition
from services.replay.sessions import Sessions
from services.runtime.connection import connect_async
from services.runtime.engine_host import EngineHost
from services.runtime.engine_usage import EngineMetrics
from services.runtime.errors import FailedPrecondition, StartRefused
from services.runtime.partition_figures import BothMetrics, PartitionFigures
from services.runtime.server import HealthBoard, Service, process_metrics, run_server
from services.runtime.session import partitions_stored
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.definitions import Definitions
from services.runtime.session.keys import SessionKeys
from services.runtime.session.owners import Owners, owner_name
from services.runtime.session.partition_runners import PartitionRunners
from services.runtime.session.partitions import Partitioning
from services.runtime.session.session_runner import Ending, SessionRunner, figure_name
from services.runtime.session_figures import SessionFigures
from services.runtime.settings import load

ENGINE = "services.replay.engine"


class ReplayServer(Service):
    """Serves what the engines publish. Only the engine of its own session decides whether it is healthy."""

    names: Sequence[str] = ("midstream.replay.v1.ReplayService",)
    listing_methods = ("/midstream.replay.v1.ReplayService/StreamTicks",)

    def __init__(self, settings: ReplaySettings) -> None:
        self._settings = settings
        self._client = connect_async(settings.redis_url, client_name="midstream-replay-server")
        self._requests = SessionRequests(
            AllowedFiles(settings.data_directories()), sinks=tuple(listed(settings.sinks)), pace=settings.pace()
        )
        self._sessions = Sessions(
            self._client,
            default_session=settings.session,
            default_definition=lambda: self._own_definition,
            failure=lambda session: self._created.failure(session),
        )
        self._owner = owner_name(settings.owner)
        self._queue = SessionQueue(self._client)
        self._created = CreatedSessions(
            Definitions(self._client),
            self._queue,
            make_host=self._host_of,
            share=self._share,
            limits=Limits(sessions_max=settings.sessions_max, idle_s=settings.session_idle_s),
            subscribed=lambda: self._sessions.streamed.names,
            end_streams=self._sessions.streamed.end,
            monotonic_s=time.monotonic,
            own_session=settings.session,
        )
        metrics = process_metrics()
        self._figures = SessionFigures(metrics, CREATED_FIGURES, running=self._running)
        metrics.measured(FAILED).follow(lambda: {(name,): float(failed) for name, failed in self._created.ours.items()})
        self._servicer = ReplayServicer(
            self._sessions,
            default_session=settings.session,
            metrics=metrics,
            created=self._created,
            requests=self._requests,
            partitions=PartitionListing(self._client, self._queue),
        )
        self._partition_figures = PartitionFigures(metrics)
        self._engine: EngineHost | PartitionRunners
        if settings.partitions > 1:
            # At once: this server may be given a partition only after others have gone.
            self._partition_figures.declare(REPLAY_FIGURES)
            self._engine = self._share(
                settings.session, self._own_definition, self._own_runner, None, on_trouble=self._show_health
            )
        else:
            self._engine = EngineHost(
                ENGINE, settings.engine_config(), metrics=metrics, figures=REPLAY_FIGURES, on_trouble=self._show_health
            )
        self._health: HealthBoard | None = None

    def register(self, server: grpc.aio.Server) -> None:
        self._servicer.add_to(server)

    async def start(self, health: HealthBoard) -> None:
        self._health = health
        await self._settle_partitions()
        if isinstance(self._engine, PartitionRunners):
            self._show_health("")
            self._engine.start()
        else:
            await self._engine.start()
        self._created.start()

    async def _settle_partitions(self) -> None:
        """Raise StartRefused where the session is published in other parts: its numbers would be another order's."""
        try:
            await partitions_stored.settle(
                self._client, SessionKeys(self._settings.session), self._settings.partitioning()
            )
        except FailedPrecondition as exc:
            raise StartRefused(exc.message) from exc
        except (redis.RedisError, OSError):
            # The engine waits for it, and so does whoever shares partitions, which looks again.
            return

    async def run(self) -> int:
        return await self._engine.run()

    async def stop(self) -> None:
        await asyncio.gather(self._engine.stop(), self._created.stop())
        await self._sessions.close()
        await self._client.aclose()

    @cached_property
    def _own_definition(self) -> SessionDefinition:
        return environment_definition(self._settings.engine_config())

    def _host_of(
        self, keys: SessionKeys, definition: SessionDefinition, on_trouble: Callable[[str], None]
    ) -> EngineHost:
        """Return the engine of a created session, not started. Raises a MidstreamError where it is not allowed here (any more)."""
        config = self._settings.created_config(keys.session, definition, self._requests.check(definition))
        return self._host(keys, definition.partitions, config, on_trouble)

    def _running(self) -> frozenset[str]:
        shared = self._engine.running if isinstance(self._engine, PartitionRunners) else frozenset[str]()
        return self._created.running | shared

    def _host(
        self, keys: SessionKeys, partitions: int, config: dict[str, object], on_trouble: Callable[[str], None]
    ) -> EngineHost:
        metrics: EngineMetrics = self._figures.of(figure_name(keys, partitions))
        if keys.session == self._settings.session:
            # What boards and alerts say of this server's session is said by these names, in however many partitions it is.
            metrics = BothMetrics(metrics, self._partition_figures.of(keys.partition))
        return EngineHost(
            ENGINE,
            config | {"partition": keys.partition, "owner": self._owner},
            metrics=metrics,
            figures=REPLAY_FIGURES,
            on_trouble=on_trouble,
        )

    def _share(
        self,
        session: str,
        definition: SessionDefinition,
        make_runner: Callable[[SessionKeys], SessionRunner],
        after: Ending | None,
        *,
        on_trouble: Callable[[str], None] = lambda _trouble: None,
    ) -> PartitionRunners:
        """Return this server's share of a session of several partitions, not started."""
        keys = SessionKeys(session)
        owners = Owners(
            self._client,
            keys,
            role="replay",
            name=self._owner,
            host=socket.gethostname(),
            pid=os.getpid(),
            monotonic_s=time.monotonic,
        )
        wanted = (
            self._settings.partitioning() if session == self._settings.session else Partitioning(definition.partitions)
        )
        return PartitionRunners(
            session,
            definition,
            make_runner=make_runner,
            settle=lambda: partitions_stored.settle(self._client, keys, wanted),
            owners=owners,
            queue=self._queue,
            monotonic_s=time.monotonic,
            after=after,
            on_trouble=on_trouble,
        )

    def _own_runner(self, keys: SessionKeys) -> SessionRunner:
        async def nothing(keys: SessionKeys, definition: SessionDefinition) -> None:
            pass

        return SessionRunner(
            keys,
            self._own_definition,
            make_host=lambda _, on_trouble: self._host(
                keys, self._settings.partitions, self._settings.engine_config(), on_trouble
            ),
            prepare=nothing,
            queue=self._queue,
            on_end=lambda: self._partition_figures.drop(keys.partition),
        )

    def _show_health(self, trouble: str) -> None:
        if self._health is not None:
            self._health.set(self.names[0], not trouble, trouble)


def main() -> int:
    settings = load(ReplaySettings)
    return run_server("replay", settings, ReplayServer(settings))
