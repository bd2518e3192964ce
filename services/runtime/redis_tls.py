"""TLS towards Redis: which files it uses, what is too open to be used, and in one sentence what went wrong."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis

from clients.secrets.tls_reasons import reason_of
from services.runtime.addresses import host_and_port
from services.runtime.cluster.slots import CLUSTER, node_urls

VERSION_MIN: Final = ssl.TLSVersion.TLSv1_2

REDIS_FILES: Final = {
    "MIDSTREAM_REDIS_CA": "ssl_ca_certs",
    "MIDSTREAM_REDIS_CERT": "ssl_certfile",
    "MIDSTREAM_REDIS_KEY": "ssl_keyfile",
}
"""Settings, and what the client calls them in a URL."""

_PROBE_S: Final = 1.0
"""Bound on each step of finding out what is wrong."""

_NAME_MISMATCH: Final = (62, 64)
_EXPIRED: Final = (9, 10)
"""OpenSSL's numbers for a certificate that is for another host or address, and for one that is not valid (yet, or any more)."""


class TlsTrouble(redis.ConnectionError):
    """TLS does not come about, and waiting alone will not change that; the text says what to set."""


def secured(url: str, files: Mapping[str, str | Path | None]) -> str:
    """Return the URL with the files of MIDSTREAM_REDIS_CA, _CERT and _KEY in it; what the URL names itself wins.

    Everybody who gets the URL connects alike then, child processes too. Raises ValueError naming the setting.
    """
    given = {name: str(files[name]) for name in REDIS_FILES if files.get(name)}
    if not given:
        return url
    parts = urlsplit(url)
    if parts.scheme not in ("rediss", "rediss" + CLUSTER):
        raise ValueError(
            f"{', '.join(given)}: files of TLS are for rediss://, and MIDSTREAM_REDIS_URL is {parts.scheme}://"
        )
    if ("MIDSTREAM_REDIS_CERT" in given) != ("MIDSTREAM_REDIS_KEY" in given):
        raise ValueError(
            "MIDSTREAM_REDIS_CERT and MIDSTREAM_REDIS_KEY: a certificate and its key go together; set both"
        )
    for name, path in given.items():
        if not Path(path).is_file():
            raise ValueError(f"{name}: there is no file {path}")
    query = {REDIS_FILES[name]: str(Path(path).resolve()) for name, path in given.items()} | dict(
        parse_qsl(parts.query)
    )
    return urlunsplit(parts._replace(query=urlencode(query)))


def exposure(url: str) -> str:
    """Return why a Redis at this URL is open to a network, and what to do; empty where it is not.

    Beyond this machine it needs TLS with a certificate that is verified, and a password or a certificate of ours.
    """
    return next(filter(None, map(_node_exposure, node_urls(url))), "")


def _node_exposure(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or _is_loopback(parts.hostname or "localhost"):
        return ""
    query = dict(parse_qsl(parts.query))
    missing = []
    if parts.scheme == "redis":
        missing.append("without TLS (use rediss://)")
    elif query.get("ssl_cert_reqs", "required") != "required" or query.get("ssl_check_hostname", "1").lower() in _NO:
        missing.append("without verifying its certificate (leave ssl_cert_reqs and ssl_check_hostname out)")
    if not (parts.password or query.get("password") or query.get("ssl_certfile")):
        missing.append("without a password (rediss://USER:PASSWORD@HOST:PORT/0) or a client certificate")
    if not missing:
        return ""
    return (
        f"{host_and_port(parts.hostname or '', parts.port or 6379)} is beyond this machine, {' and '.join(missing)}: whoever "
        "reaches it reads and changes the queue; MIDSTREAM_INSECURE=yes takes it all the same"
    )


_NO: Final = ("0", "f", "false", "n", "no")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@dataclass(frozen=True)
class Endpoint:
    """How a connection reaches its server."""

    host: str
    port: int
    tls: bool
    ca: str = ""
    cert: str = ""
    key: str = ""
    verify: bool = True
    check_hostname: bool = True

    @classmethod
    def of(cls, connection: Any) -> Endpoint:
        """Read it from a connection of redis-py, for threads or for an event loop."""
        tls = hasattr(connection, "ca_certs")
        if not tls:
            return cls(connection.host, int(connection.port), tls=False)
        return cls(
            connection.host,
            int(connection.port),
            tls=True,
            ca=connection.ca_certs or "",
            cert=connection.certfile or "",
            key=connection.keyfile or "",
            verify=connection.cert_reqs == ssl.CERT_REQUIRED,
            check_hostname=bool(connection.check_hostname),
        )

    def trouble(self) -> str:
        """Try once, step by step, and return what is wrong with TLS; empty when it is something else."""
        at = host_and_port(self.host, self.port)
        if not self.tls:
            if self._speaks_tls():
                return f"Redis at {at} speaks TLS only: write rediss:// instead of redis:// in the URL"
            return ""
        try:
            context = self._context()
        except (OSError, ValueError) as exc:
            return f"a file of TLS for Redis cannot be used ({reason_of(exc)}): {self._files()}"
        try:
            with socket.create_connection((self.host, self.port), _PROBE_S) as channel:
                with context.wrap_socket(channel, server_hostname=self.host) as wrapped:
                    # With TLS 1.3 a server says only after the handshake that it wants a certificate; a content one says nothing.
                    wrapped.recv(1)
        except ssl.SSLCertVerificationError as exc:
            return self._unverified(at, exc)
        except (ssl.SSLError, TimeoutError) as exc:
            if self._speaks_plainly():
                return f"Redis at {at} does not speak TLS: write redis:// instead of rediss://, or name its TLS port"
            return self._refused(at, exc)
        except OSError:
            return ""
        return ""

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.minimum_version = VERSION_MIN
        context.check_hostname = self.check_hostname and self.verify
        context.verify_mode = ssl.CERT_REQUIRED if self.verify else ssl.CERT_NONE
        if self.ca:
            context.load_verify_locations(self.ca)
        if self.cert:
            context.load_cert_chain(self.cert, self.key or None)
        return context

    def _files(self) -> str:
        used = {"authorities": self.ca, "certificate": self.cert, "key": self.key}
        return ", ".join(f"{what} {path}" for what, path in used.items() if path)

    def _unverified(self, at: str, exc: ssl.SSLCertVerificationError) -> str:
        if exc.verify_code in _NAME_MISMATCH:
            return (
                f"the certificate of Redis at {at} is for another name ({exc.verify_message.rstrip('.')}): "
                "use a name from the certificate in MIDSTREAM_REDIS_URL"
            )
        if exc.verify_code in _EXPIRED:
            return f"the certificate of Redis at {at} is not valid now ({exc.verify_message}): renew it there"
        trusted = f"those in {self.ca}" if self.ca else "the system's"
        return (
            f"the certificate of Redis at {at} is from an authority that is not trusted here ({exc.verify_message}); "
            f"trusted are {trusted}: set MIDSTREAM_REDIS_CA to the file of its authority"
        )

    def _refused(self, at: str, exc: OSError) -> str:
        if not isinstance(exc, ssl.SSLError):
            return ""
        reason = (exc.reason or "").upper()
        if "PROTOCOL" in reason or "VERSION" in reason:
            return f"Redis at {at} speaks no TLS from 1.2 on ({reason_of(exc)}): allow TLS 1.2 or 1.3 there"
        if "ALERT" in reason and self.cert:
            return (
                f"Redis at {at} does not take our certificate {self.cert} ({reason_of(exc)}): is it from its authority?"
            )
        if "ALERT" in reason and ("CERTIFICATE" in reason or "HANDSHAKE" in reason):
            return f"Redis at {at} wants a client certificate: set MIDSTREAM_REDIS_CERT and MIDSTREAM_REDIS_KEY"
        return f"TLS with Redis at {at} failed: {reason_of(exc)}"

    def _speaks_tls(self) -> bool:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Only asked whether it answers at all: nothing is sent.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with socket.create_connection((self.host, self.port), _PROBE_S) as channel:
                context.wrap_socket(channel).close()
        except OSError:
            return False
        return True

    def _speaks_plainly(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), _PROBE_S) as channel:
            channel.sendall(b"PING\r\n")
            return channel.recv(1) in (b"+", b"-")
        return False
