"""Watches a server on another machine, as our other clients reach it: over TLS where there is TLS."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from clients.rpc.channel import ChannelSettings, OptionNames, UnusableChannel
from clients.rpc.diagnosis import diagnose
from clients.rpc.places import host_of
from protos.health.v1.health_pb2 import STATUS_DOWN
from services.health.checks import Finding, server_finding
from services.health.config import HealthSettings

__all__ = ["ElsewhereCheck", "channel_settings"]

_NAMES: Final = OptionNames(
    tls="MIDSTREAM_TLS_CERT",
    plaintext="MIDSTREAM_TLS_CERT there",
    ca="MIDSTREAM_HEALTH_WATCH_CA",
    cert="MIDSTREAM_TLS_CERT",
    key="MIDSTREAM_TLS_KEY",
    server_name="MIDSTREAM_HEALTH_WATCH",
)

_OPTIONS: Final = (
    # A server that was started again may be at another address, which gRPC would look for after half a minute.
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    # A new channel is a new connection, and not the old one found again.
    ("grpc.use_local_subchannel_pool", 1),
)

_CALL_SHARE: Final = 0.6
_LOOK_SHARE: Final = 0.3
"""Of the time that a check may take: for the call, and for finding out why it failed."""

_LOST: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def channel_settings(settings: HealthSettings) -> ChannelSettings:
    """Return how servers elsewhere are reached. Health takes no key; where clients show certificates, ours is the server's own."""
    mutual = settings.tls_client_ca is not None
    return ChannelSettings(
        tls=settings.tls_cert is not None or settings.watch_ca is not None,
        ca=settings.watch_ca,
        cert=settings.tls_cert if mutual else None,
        key=settings.tls_key if mutual else None,
        names=_NAMES,
    )


class ElsewhereCheck:
    """Ask a server's grpc.health.v1 over a channel that is made again when certificates change or it is lost."""

    def __init__(self, address: str, settings: ChannelSettings, *, timeout_s: float) -> None:
        """`timeout_s` is what the whole check may take."""
        self._address = address
        self._settings = settings
        self._timeout_s = timeout_s
        self._channel: grpc.aio.Channel | None = None
        self._signature: object = None
        self._looking: asyncio.Task[str] | None = None

    async def __call__(self) -> Finding:
        try:
            channel, trouble = await self._take()
        except UnusableChannel as exc:
            return Finding(STATUS_DOWN, f"{self._address}: {exc}")
        call_s = self._timeout_s * _CALL_SHARE
        call = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=""), timeout=call_s)
        try:
            answer = await call
        except grpc.aio.AioRpcError as exc:
            if exc.code() in _LOST:
                # A connection to a machine that went away without a word would be waited for until the system gives it up.
                await self._drop()
            return Finding(STATUS_DOWN, f"{self._address}: {await self._why(exc, call_s)}{trouble}")
        return server_finding(self._address, answer, await call.trailing_metadata(), trouble)

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        await self._drop()

    async def _take(self) -> tuple[grpc.aio.Channel, str]:
        """Return the channel, and what is wrong with files that changed: the channel from before them stays in use."""
        signature = self._settings.signature()
        if self._channel is not None and signature == self._signature:
            return self._channel, ""
        try:
            opened = self._settings.open_async(self._address, options=_OPTIONS)
        except UnusableChannel as exc:
            if self._channel is None:
                raise
            return self._channel, f"; {exc}"
        await self._drop()
        self._channel, self._signature = opened, signature
        return opened, ""

    async def _drop(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def _why(self, exc: grpc.aio.AioRpcError, call_s: float) -> str:
        """Say why a call failed. gRPC's own words for most of it are no help, so the port is looked at by hand."""
        code = exc.code()
        if code in _LOST and (found := await self._look()):
            return f"{code.name.lower()} ({found})"
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"no answer within {call_s:g} s"
        return code.name.lower() if code is grpc.StatusCode.UNAVAILABLE else f"{code.name.lower()} ({exc.details()})"

    async def _look(self) -> str:
        """Look at the port in a thread; one that takes longer than there is time for is asked for at the next check."""
        if self._looking is None:
            self._looking = asyncio.create_task(asyncio.to_thread(_look_at, self._address, self._settings))
        looking = self._looking
        done, _ = await asyncio.wait({looking}, timeout=self._timeout_s * _LOOK_SHARE)
        if not done:
            return ""
        self._looking = None
        return looking.result()


def _look_at(address: str, settings: ChannelSettings) -> str:
    """Say what is wrong with the way to a server; empty where nothing listens, or nothing is wrong with the connection."""
    try:
        socket.getaddrinfo(host_of(address), None)
    except OSError:
        return "its name is not known: it is not up, or MIDSTREAM_HEALTH_WATCH has another"
    found = diagnose(address, settings)
    return found.sentence if found is not None else ""
