"""Run a process that listens: its settings' socket, its signals, its one line of refusal."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import sys
from collections.abc import Coroutine
from typing import Any, Final

from services.runtime.descriptors import raise_descriptors
from services.runtime.errors import StartPostponed, StartRefused, is_passing
from services.runtime.log_fields import fields
from services.runtime.logs import start_logs
from services.runtime.parameters import taken
from services.runtime.printable import printable
from services.runtime.private_files import keep_files_private
from services.runtime.setting_problems import unknown_lines
from services.runtime.settings import ProcessSettings

__all__ = [
    "BACKLOG",
    "bound_socket",
    "listen_on",
    "listening_socket",
    "run_listener",
    "stop_on_signals",
    "warn_of_unknown_settings",
]

logger = logging.getLogger(__name__)
BACKLOG: Final = 1024
"""Connections that wait to be accepted."""


def listening_socket(host: str, port: int, setting: str) -> socket.socket:
    """Return a listening socket; raise StartRefused with one line when the port cannot be had."""
    listener = bound_socket(host, port, setting)
    listen_on(listener, host, port, setting)
    return listener


def listen_on(listener: socket.socket, host: str, port: int, setting: str) -> None:
    """Have a bound socket listen; close it and raise StartRefused with one line when it cannot."""
    try:
        # Binding alone succeeds beside another listener that set SO_REUSEADDR; listening does not.
        listener.listen(BACKLOG)
    except OSError as exc:
        listener.close()
        raise port_refused(host, port, setting, exc) from exc


def bound_socket(host: str, port: int, setting: str) -> socket.socket:
    """Return a socket that holds the port without listening; raise StartRefused with one line when it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as exc:
        raise port_refused(host, port, setting, exc) from exc
    listener.setblocking(False)
    return listener


def port_refused(host: str, port: int, setting: str, exc: OSError) -> StartRefused:
    """Return the one line that a port which cannot be had deserves."""
    if exc.errno == errno.EADDRINUSE:
        return StartRefused(f"port {port} on {host} is already in use: stop the other process or set {setting}")
    if exc.errno == errno.EACCES:
        return StartRefused(f"port {port} on {host} needs more rights: set {setting} to a port above 1023")
    return StartRefused(
        f"cannot listen on {host}:{port} ({exc.strerror or exc}): set MIDSTREAM_HOST to an address of this machine"
    )


def warn_of_unknown_settings(settings: ProcessSettings) -> None:
    """Log each variable or stored parameter that no setting has; it was meant for something, and does nothing."""
    for line in unknown_lines(type(settings)):
        logger.warning("unknown setting", extra=fields(problem=line))
    if stored := taken():
        logger.info("settings read from parameter store", extra=fields(path=stored.path, names=",".join(stored.names)))
        for line in stored.odd:
            logger.warning("unknown parameter", extra=fields(problem=line))


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set from now on; needs a running event loop."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


def run_listener(name: str, settings: ProcessSettings, body: Coroutine[Any, Any, int]) -> int:
    """Run a server without gRPC to its end; return its exit code (2: refused, 75: cannot start now, in one line on stderr)."""
    keep_files_private()
    start_logs(name, settings.log_options(name))
    warn_of_unknown_settings(settings)
    raise_descriptors()
    try:
        return asyncio.run(body)
    except StartRefused as exc:
        print(printable(exc.message), file=sys.stderr)  # noqa: T201  (the one line of a refusal)
        return exc.exit_code
    except OSError as exc:
        if not is_passing(exc):
            raise
        print(printable(f"{name}: {exc}"), file=sys.stderr)  # noqa: T201  (the one line of a refusal)
        return StartPostponed.exit_code
