"""The scaffold of every server: one event loop, one gRPC port, health, reflection, metrics, orderly start and end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import platform
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

import grpc

from services.runtime.access.build import Access, Needs, build_access
from services.runtime.access.state_changes import begin_change
from services.runtime.addresses import host_and_port
from services.runtime.admin import AdminServer
from services.runtime.call_figures import begin_calls
from services.runtime.call_limits import CallLimits
from services.runtime.descriptors import announce_budget, descriptor_budget, raise_descriptors
from services.runtime.emf import EmfLines, write_emf
from services.runtime.errors import StartPostponed, StartRefused, is_passing
from services.runtime.exporter import start_exporter
from services.runtime.exposure import check_exposure, keep_saying
from services.runtime.health import HEALTH_SERVICE, HealthBoard
from services.runtime.interceptors import CallInterceptor
from services.runtime.listening import listening_socket, warn_of_unknown_settings
from services.runtime.log_fields import fields
from services.runtime.logs import start_logs
from services.runtime.metrics import BUILD_INFO, Metrics
from services.runtime.patience import patient_loop
from services.runtime.printable import printable
from services.runtime.private_files import keep_files_private
from services.runtime.ready import ready_file
from services.runtime.reflection import REFLECTION_SERVICES, add_reflection
from services.runtime.room import Room
from services.runtime.settings import ServerSettings
from services.runtime.tasks import end_task
from services.runtime.tls import TlsFiles
from services.runtime.tracing import start_tracing, stop_tracing
from services.runtime.version import version
from services.runtime.web import WebLimits

__all__ = ["GRACE_S", "HealthBoard", "Service", "process_metrics", "process_ssl_context", "run_server"]

logger = logging.getLogger(__name__)

GRACE_S: Final = 5.0
"""What calls in progress get at the end, at most."""

UNARY_GRACE_S: Final = 2.0
"""Calls that wait longer than this for something to happen get UNAVAILABLE; all of them are safe to repeat."""

NOTICE_S: Final = 0.05
"""Between NOT_SERVING and the first refused call, so that watchers of health hear it from us."""

QUIET_S: Final = 0.1
QUIET_MAX_S: Final = 2.0
"""When no call has begun for the first, all that had arrived are answered; callers that never pause are not waited for longer."""

SERVER_OPTIONS: Final = CallLimits().server_options()
"""What the library enforces where no setting says otherwise."""

_process_metrics: Metrics | None = None
_process_tls: TlsFiles | None = None


def process_metrics() -> Metrics:
    """Return the metrics of this process, which its exporter serves."""
    global _process_metrics
    if _process_metrics is None:
        _process_metrics = Metrics()
    return _process_metrics


def process_tls(settings: ServerSettings) -> TlsFiles | None:
    """Return the certificate files of this process, which all of its listeners share; None where they speak plain text."""
    global _process_tls
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    if _process_tls is None:
        _process_tls = TlsFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca, gauges=process_metrics())
    return _process_tls


def process_ssl_context(settings: ServerSettings) -> ssl.SSLContext | None:
    """Return what the web faces of this process speak TLS with; None where they speak plain text."""
    tls = process_tls(settings)
    return None if tls is None else tls.ssl_context()


class Service(Protocol):
    """What a server adds to the scaffold. Servers inherit it for the sake of what most of them do not have."""

    needs: Needs = Needs()
    """What it asks of its access beyond the settings."""
    listing_methods: Collection[str] = ()
    """Full names of methods whose requests hold long lists; those of all others are small."""
    always_admitted: Collection[str] = ()
    """Full names of methods that get in however many calls there are."""
    rooms: Mapping[str, Room] = {}
    """Methods with a bounded line, by full name: what has no room there is refused before anything of it is read."""
    steps_aside: bool = False
    """Whether some of its work steps aside for all other (`services.runtime.patience`)."""
    web_port: int = 0
    """Where it serves HTTP, once it has started; 0 where it does not."""
    announces: Mapping[str, str] = {}
    """What else its ready file says; nothing secret."""

    @property
    def names(self) -> Sequence[str]:
        """Full names of its gRPC services, for health and reflection."""
        ...

    def use_access(self, access: Access) -> None:
        """Take who may call what, for listeners of its own; called first, and once."""
        return

    def register(self, server: grpc.aio.Server) -> None:
        """Add the servicers."""
        ...

    async def start(self, health: HealthBoard) -> None:
        """Start background tasks; keep `health` up to date as dependencies come and go."""
        ...

    async def run(self) -> int:
        """Return an exit code when the server must end by itself; may never return."""
        ...

    async def stop(self) -> None:
        """Drain and close; called once, when new calls are refused already."""
        ...


def run_server(name: str, settings: ServerSettings, service: Service) -> int:
    """Serve until SIGTERM, SIGINT or the end of `service.run()`; return the exit code.

    0 ended as asked, 1 failed, 2 refused to start, 75 cannot start now (the reason is one line on stderr).
    """
    keep_files_private()
    start_logs(name, settings.log_options(name))
    warn_of_unknown_settings(settings)
    raise_descriptors()
    try:
        start_tracing(name, settings.tracing, service=name, stage=settings.stage)
        with asyncio.Runner(loop_factory=patient_loop if service.steps_aside else None) as runner:
            return runner.run(_serve(name, settings, service))
    except StartRefused as exc:
        print(printable(exc.message), file=sys.stderr)  # noqa: T201  (the one line of a refusal)
        return exc.exit_code
    except Exception as exc:  # everything: a server that fails says why, and whether that may pass
        logger.exception("server failed")
        return StartPostponed.exit_code if isinstance(exc, OSError) and is_passing(exc) else 1
    finally:
        stop_tracing()


async def _serve(name: str, settings: ServerSettings, service: Service) -> int:
    loop = asyncio.get_running_loop()
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop_once, loop, asked_to_stop, number)
    metrics = process_metrics()
    access = build_access(name, settings, service.needs)
    service.use_access(access)
    limits = CallLimits.of(
        settings,
        descriptors=descriptor_budget().grpc,
        listing_methods=service.listing_methods,
        always_admitted=service.always_admitted,
    )
    interceptor = CallInterceptor(
        metrics,
        limits,
        begin_change=partial(begin_change, face="grpc"),
        rooms=service.rooms,
        knows=access.lately.knows_call,
    )
    server = grpc.aio.server(
        interceptors=(interceptor, access.interceptor(interceptor)), options=limits.server_options()
    )
    health = HealthBoard(service.names, metrics)
    service.register(server)
    health.register(server)
    if settings.reflection:
        add_reflection(server, (*service.names, HEALTH_SERVICE))
    begin_calls(metrics, (*service.names, HEALTH_SERVICE, *(REFLECTION_SERVICES if settings.reflection else ())))
    show_build(metrics, settings.revision)
    prefix = f"MIDSTREAM_{name.upper().replace('-', '_')}"
    insecure = check_exposure(settings, metrics)
    tls = process_tls(settings)
    credentials = tls.grpc_credentials() if tls is not None else None
    port = bind_port(server, settings.host, settings.port, f"{prefix}_PORT", credentials)
    admin = _bind_admin(health, metrics, settings, f"{prefix}_ADMIN_PORT")
    exporter = await start_exporter(
        metrics.registry,
        host=settings.host,
        port=settings.metrics_port,
        setting=f"{prefix}_METRICS_PORT",
        limits=WebLimits.of(settings, descriptor_budget().metrics),
        hosts=settings.web_hosts,
        tls=process_ssl_context(settings),
        access=access.http,
    )
    access.start(metrics)
    try:
        await _start(server, service, health)
        async with _beside(admin, tls, insecure, _emf_of(name, settings, metrics)):
            others = {"web_port": service.web_port} if service.web_port else {}
            others |= {"admin_port": admin.port} if admin is not None else {}
            with ready_file(
                settings.ready_file, name, port=port, metrics_port=exporter.port, **others, **service.announces
            ):
                announce_budget()
                spare_collector()
                logger.info(
                    "serving",
                    extra=fields(
                        address=host_and_port(settings.host, port),
                        tls="off" if tls is None else "mutual" if settings.tls_client_ca else "on",
                        metrics_port=exporter.port,
                        admin_port=admin.port if admin is not None else None,
                    ),
                )
                return await run_until_end(service, asked_to_stop, health, interceptor, server)
    finally:
        await access.stop()
        await exporter.close()


def spare_collector() -> None:
    """Have the garbage collector leave alone what a server has made so far.

    Modules, models and tables stay for good, and looking through them took a fifth of what a short call costs.
    """
    gc.freeze()


def show_build(metrics: Metrics, revision: str) -> None:
    """Show what is running here."""
    metrics.gauge(BUILD_INFO).labels(version(), platform.python_version(), revision).set(1)


def _emf_of(name: str, settings: ServerSettings, metrics: Metrics) -> Coroutine[Any, Any, None] | None:
    if not settings.metrics_emf:
        return None
    lines = EmfLines(metrics.registry, stage=settings.stage, server=name, wall_ns=time.time_ns)
    return write_emf(lines, interval_s=settings.metrics_emf_interval_s)


def _bind_admin(health: HealthBoard, metrics: Metrics, settings: ServerSettings, setting: str) -> AdminServer | None:
    port = settings.health_port
    if port is None:
        return None
    admin = AdminServer(health, metrics, reflection=settings.reflection)
    admin.port = bind_port(admin.server, settings.admin_host, port, setting)
    return admin


@contextlib.asynccontextmanager
async def _beside(
    admin: AdminServer | None, tls: TlsFiles | None, insecure: str, emf: Coroutine[Any, Any, None] | None
) -> AsyncIterator[None]:
    """Run what goes on for as long as a server serves, and a little longer: probes hear that it ends."""
    tasks: list[asyncio.Task[None]] = []
    if tls is not None:
        tasks.append(asyncio.create_task(tls.watch(), name="watch-tls-files"))
    if insecure:
        tasks.append(asyncio.create_task(keep_saying(insecure), name="say-insecure"))
    if emf is not None:
        tasks.append(asyncio.create_task(emf, name="write-emf"))
    if admin is not None:
        await admin.server.start()
    try:
        yield
    finally:
        if admin is not None:
            await admin.server.stop(0)
        for task in tasks:
            await end_task(task)


async def _start(server: grpc.aio.Server, service: Service, health: HealthBoard) -> None:
    """Start everything, or nothing."""
    await health.start()
    try:
        await service.start(health)
        await server.start()
    except BaseException:
        await server.stop(0)
        with contextlib.suppress(Exception):
            # Half-started services may not know how to stop; the reason they did not start is what counts.
            await service.stop()
        raise


async def run_until_end(
    service: Service,
    asked_to_stop: asyncio.Event,
    health: HealthBoard,
    interceptor: CallInterceptor,
    server: grpc.aio.Server,
) -> int:
    """Run until the service ends or a signal asks; drain; return the exit code."""
    running = asyncio.create_task(service.run(), name="service-run")
    asked = asyncio.create_task(asked_to_stop.wait(), name="asked-to-stop")
    await asyncio.wait((running, asked), return_when=asyncio.FIRST_COMPLETED)
    logger.info("draining", extra=fields(reason="signal" if asked_to_stop.is_set() else "the service ended"))
    await health.drain()
    await asyncio.sleep(NOTICE_S)
    await interceptor.refuse_new_calls(quiet_s=QUIET_S, at_most_s=QUIET_MAX_S)
    # Stops accepting at once; the task ends when the last call has, or after the grace period.
    stopped = asyncio.create_task(server.stop(GRACE_S), name="grpc-stop")
    await asyncio.sleep(0)
    interceptor.end_streams()
    await asyncio.wait((stopped,), timeout=UNARY_GRACE_S)
    interceptor.end_calls()
    await stopped
    try:
        await service.stop()
    finally:
        asked.cancel()
        # An engine that has drained lets `run` return its exit code; services without one wait for ever.
        await asyncio.wait((running,), timeout=0.1)
        running.cancel()
        await asyncio.wait((running,))
    return 0 if running.cancelled() else running.result()


def _stop_once(loop: asyncio.AbstractEventLoop, asked_to_stop: asyncio.Event, number: int) -> None:
    """Begin to drain; the same signal again has its ordinary, deadly effect."""
    loop.remove_signal_handler(number)
    asked_to_stop.set()


def bind_port(
    server: grpc.aio.Server, host: str, port: int, setting: str, credentials: grpc.ServerCredentials | None = None
) -> int:
    """Bind and return the port, which speaks TLS with `credentials`; raise StartRefused with one line when it cannot be had."""
    # gRPC reports any failure as the same RuntimeError and prints several lines: ask the system first.
    listening_socket(host, port, setting).close()
    address = host_and_port(host, port)
    try:
        return (
            server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
        )
    except RuntimeError as exc:
        raise StartRefused(f"port {port} on {host} is already in use: stop the other process or set {setting}") from exc
