"""How our own servers are reached: in plain text or TLS, as whom, and again when certificates change."""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import grpc

import clients.tracing as tracing
from clients.rpc.places import is_loopback

__all__ = ["RECONNECT", "ChannelSettings", "Line", "OptionNames", "UnusableChannel"]

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

_LOST: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED)
"""After these the files are read again, whatever their times say."""

RECONNECT: Final = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    # Who comes back is found within a second: gRPC itself would wait for up to two minutes, whatever its caller does.
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Which is how long an attempt may take: an address behind which nobody answers is tried anew after that, not after 20 s.
    ("grpc.min_reconnect_backoff_ms", 10_000),
)
"""How every channel of ours comes back."""


class UnusableChannel(Exception):
    """The settings of a channel cannot be used; the text names the option and what to do."""


@dataclass(frozen=True)
class OptionNames:
    """What whoever reads about a channel sets it with: by default the options of our commands."""

    tls: str = "--tls"
    plaintext: str = "--plaintext"
    ca: str = "--cacert"
    cert: str = "--cert"
    key: str = "--key"
    server_name: str = "--servername"


@dataclass(frozen=True)
class ChannelSettings:
    """How a server is reached. By default in plain text, as on loopback without certificates."""

    tls: bool | None = None
    """None speaks TLS where any of the files or the name is given."""
    ca: Path | None = None
    """Authorities that may have signed the server's certificate, PEM; None believes those that gRPC comes with."""
    cert: Path | None = None
    """Our own certificate with its chain, for servers that want one."""
    key: Path | None = None
    """Its private key."""
    server_name: str = ""
    """The name in the server's certificate, where it is reached under another."""
    api_key: str = field(default="", repr=False)
    """`mk_...`, sent with every call; never in plain text to another machine."""
    names: OptionNames = OptionNames()
    """For what is said about it."""

    @property
    def speaks_tls(self) -> bool:
        """Whether TLS is spoken."""
        return self.tls if self.tls is not None else any((self.ca, self.cert, self.key, self.server_name))

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries."""
        return (("authorization", f"Bearer {self.api_key}"),) if self.api_key else ()

    def check(self, address: str) -> None:
        """Raise UnusableChannel for files that cannot be used, and for a key that everybody on the way could read."""
        if not self.api_key.isascii() or any(character.isspace() for character in self.api_key):
            # Without its text: it may be a key with something around it.
            raise UnusableChannel("MIDSTREAM_API_KEY is no key as `midstream keys create` prints it")
        if not self.speaks_tls:
            if self.api_key and not is_loopback(address):
                raise UnusableChannel(
                    f"the API key would go to {address} in plain text: use {self.names.tls} or {self.names.ca} FILE"
                )
            return
        if (self.cert is None) != (self.key is None):
            raise UnusableChannel(
                f"{self.names.cert} and {self.names.key} go together: "
                f"give {self.names.key if self.key is None else self.names.cert}, too"
            )
        self.ssl_context()

    def ssl_context(self) -> ssl.SSLContext:
        """Return the same as a context of the standard library. Raises UnusableChannel."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        try:
            if self.ca is None:
                context.load_default_certs()
            else:
                context.load_verify_locations(self.ca)
        except (OSError, ValueError) as exc:
            raise UnusableChannel(
                f"{self.names.ca} {self.ca} cannot be used ({_reason(exc)}): give a PEM file"
            ) from exc
        if self.cert is not None and self.key is not None:
            try:
                context.load_cert_chain(self.cert, self.key, password=lambda: b"")
            except (OSError, ValueError) as exc:
                raise UnusableChannel(
                    f"{self.names.cert} {self.cert} and {self.names.key} {self.key} cannot be used ({_reason(exc)}): "
                    "give the PEM files of one pair, the key without a passphrase"
                ) from exc
        return context

    def open(self, address: str) -> grpc.Channel:
        """Return a new channel, from the files as they are now. Raises UnusableChannel."""
        credentials = self._credentials(address)
        if credentials is None:
            return grpc.insecure_channel(address, options=RECONNECT)
        return grpc.secure_channel(address, credentials, options=(*RECONNECT, *self._options()))

    def open_async(self, address: str, *, options: tuple[tuple[str, str | int], ...] = ()) -> grpc.aio.Channel:
        """Return the same for asyncio, made in its loop; `options` are further ones. Raises UnusableChannel."""
        credentials = self._credentials(address)
        if credentials is None:
            return grpc.aio.insecure_channel(address, options=(*RECONNECT, *options))
        return grpc.aio.secure_channel(address, credentials, options=(*RECONNECT, *options, *self._options()))

    def _credentials(self, address: str) -> grpc.ChannelCredentials | None:
        """Return what a channel is made with; None for plain text. Raises UnusableChannel."""
        self.check(address)
        if not self.speaks_tls:
            return None
        try:
            ca, key, cert = (None if path is None else path.read_bytes() for path in (self.ca, self.key, self.cert))
        except OSError as exc:
            raise UnusableChannel(f"{exc.filename} cannot be read ({exc.strerror})") from exc
        return grpc.ssl_channel_credentials(ca, key, cert)

    def _options(self) -> tuple[tuple[str, str], ...]:
        return (("grpc.ssl_target_name_override", self.server_name),) if self.server_name else ()

    def signature(self) -> object:
        """Return something that changes with the files."""
        return tuple(_signature(path) for path in (self.ca, self.cert, self.key))


class Line:
    """A channel that is made again when its certificates change or a handshake fails: gRPC itself reads files once. For threads."""

    def __init__(self, address: str, settings: ChannelSettings | None = None) -> None:
        """Nothing is read or sent before the first call."""
        self.address = address
        self.settings = settings or ChannelSettings()
        self._lock = threading.Lock()
        self._current: _Open | None = None
        self._closed = False

    @contextlib.contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        """Lend the channel for one call. Raises UnusableChannel, and what the call raises."""
        used = self._take()
        try:
            yield used.channel
        except grpc.RpcError as exc:
            if self.settings.speaks_tls and exc.code() in _LOST:
                self._retire(used)
            raise
        finally:
            self._give_back(used)

    def call(
        self,
        method: Callable[[grpc.Channel], grpc.UnaryUnaryMultiCallable[_Request, _Response]],
        request: _Request,
        *,
        timeout_s: float,
    ) -> _Response:
        """Call the method that `method` finds on a stub. Raises grpc.RpcError, UnusableChannel."""
        with self.channel() as channel:
            call = method(channel)
            if not tracing.is_on():
                return call(request, timeout=timeout_s, metadata=self.settings.metadata)
            name = bytes(getattr(call, "_method", b"")).decode().lstrip("/") or "rpc"
            with tracing.span(
                name, "client", attributes={"rpc.system": "grpc", "server.address": self.address}
            ) as span:
                try:
                    metadata = (*self.settings.metadata, ("traceparent", tracing.traceparent()))
                    return call(request, timeout=timeout_s, metadata=metadata)
                except grpc.RpcError as exc:
                    span.set("rpc.grpc.status_code", exc.code().value[0])
                    raise

    def close(self) -> None:
        """End all calls."""
        with self._lock:
            self._closed = True
            current, self._current = self._current, None
        if current is not None:
            current.channel.close()

    def _take(self) -> _Open:
        with self._lock:
            if self._closed:
                raise ValueError("this client is closed")
            signature = self.settings.signature()
            if self._current is not None and self._current.signature != signature:
                self._retire_now(self._current)
            if self._current is None:
                self._current = _Open(self.settings.open(self.address), signature)
            self._current.users += 1
            return self._current

    def _retire(self, used: _Open) -> None:
        with self._lock:
            self._retire_now(used)

    def _retire_now(self, used: _Open) -> None:
        """Take it out of use; calls of others on it go on to their end."""
        if self._current is used:
            self._current = None
        used.retired = True
        if not used.users:
            used.channel.close()

    def _give_back(self, used: _Open) -> None:
        with self._lock:
            used.users -= 1
            if used.retired and not used.users:
                used.channel.close()


@dataclass(eq=False)
class _Open:
    """A channel and who is using it."""

    channel: grpc.Channel
    signature: object
    users: int = 0
    retired: bool = False


def _signature(path: Path | None) -> object:
    if path is None:
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _reason(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLError) and exc.reason:
        return exc.reason.replace("_", " ").lower()
    return str(getattr(exc, "strerror", None) or exc)
