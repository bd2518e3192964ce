"""The files of TLS as they are now: every listener of a process takes certificate, key and authorities from here."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import grpc

from services.runtime.errors import StartRefused
from services.runtime.log_fields import fields
from services.runtime.tls.material import Contents, Material, Paths, Unusable, make_material, read_contents

__all__ = ["FIGURE_NAMES", "Gauges", "TlsFiles"]

logger = logging.getLogger(__name__)

WATCH_S: Final = 5.0
"""How often files are looked at without a handshake, so that figures and log know of trouble before a client does."""

LASTS_NS: Final = 1_000_000_000
"""Files that do not fit together for less are being replaced one after the other, which is no trouble."""

SETTLED_NS: Final = 2_000_000_000
"""Files that changed this lately are read again, whatever their times say: two writes may share one tick of a file system's clock."""

EXPIRES_SOON_NS: Final = 7 * 24 * 3600 * 1_000_000_000
"""What a person needs to renew a certificate that no machine renews."""

NOT_AFTER: Final = "midstream_tls_certificate_not_after_seconds"
FAILING: Final = "midstream_tls_files_unusable"
FIGURE_NAMES: Final = (NOT_AFTER, FAILING)

_Signature = tuple[tuple[int, int, int, int], ...]


class Gauges(Protocol):
    """Where figures go."""

    def set(self, name: str, value: float) -> None: ...


class TlsFiles:
    """Certificate, key and client authorities, read again when they change.

    Before `load` nothing is read. After it `current` always has a set that fits together: what is missing, half-written or does not
    match leaves the last good one in place, which the log says once and a figure for as long as it lasts. Safe for threads; nobody
    waits for another process, nor for whoever reads the files at that moment.
    """

    def __init__(
        self,
        cert: Path,
        key: Path,
        client_ca: Path | None = None,
        *,
        gauges: Gauges | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.paths = Paths(cert, key, client_ca)
        self._gauges = gauges
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._lock = threading.Lock()
        self._material: Material | None = None
        self._in_use: Contents | None = None
        """As it stood in the files."""
        self._signature: _Signature | None = None
        """Of files that have settled; None has them read at the next look."""
        self._trouble = ""
        self._trouble_since_ns = 0
        self._trouble_said = False
        self._warned_of_end_ns = 0

    @property
    def wants_client_certificates(self) -> bool:
        """Whether a client has to show a certificate."""
        return self.paths.client_ca is not None

    @property
    def trouble(self) -> str:
        """Why the files as they are cannot be used; empty when they are in use."""
        return self._trouble

    def load(self) -> Material:
        """Read the files for the first time. Raises StartRefused with one line."""
        for wait_s in (0.0, 0.1, 0.3):
            # Whoever replaces them at this moment needs that long.
            if self._material is None:
                time.sleep(wait_s)
                self._look()
        if self._material is None:
            raise StartRefused(f"TLS: {self._trouble} (MIDSTREAM_TLS_CERT, MIDSTREAM_TLS_KEY, MIDSTREAM_TLS_CLIENT_CA)")
        return self._material

    def current(self) -> Material:
        """Return what the next handshake uses. Never raises once loaded."""
        # Whoever comes while somebody else looks gets what is there.
        if self._lock.acquire(blocking=False):
            try:
                self._look()
            except Exception:  # everything: a handshake must not fail for what the last good set can do
                logger.exception("TLS files cannot be looked at", extra=fields(cert=self.paths.cert))
            finally:
                self._lock.release()
        assert self._material is not None  # load() came first
        return self._material

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Return credentials of a gRPC server that ask for the files at every handshake, from threads of the library."""
        material = self.load()
        given = material
        fetching = threading.Lock()

        def fetch() -> Any:
            nonlocal given
            with fetching:
                found = self.current()
                if found is given:
                    return None
                given = found
            return _configuration(found)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(material), fetch, require_client_authentication=self.wants_client_certificates
        )

    def ssl_context(self) -> ssl.SSLContext:
        """Return a context for asyncio's servers and for sockets; each connection has the set that is current when it begins.

        `load` has to come before the first of them.
        """
        return _Following(self)

    async def watch(self) -> None:
        """Look at the files for as long as the process serves."""
        while True:
            self.current()
            await asyncio.sleep(WATCH_S)

    def _look(self) -> None:
        signature = self._stat()
        if signature is None or signature != self._signature:
            self._signature = None
            try:
                self._read_again()
            except Unusable as exc:
                self._refuse(str(exc))
            else:
                # Only what is in use: what is not may become good by the clock alone.
                self._signature = signature if self._settled(signature) else None
        self._say_end()

    def _read_again(self) -> None:
        contents = read_contents(self.paths)
        if contents == self._in_use:
            self._recover()
            return
        material = make_material(self.paths, contents, wall_ns=self._wall_ns())
        # OpenSSL has read certificate and key by itself: take the set only if they did not change in between.
        if read_contents(self.paths) != contents:
            raise Unusable(f"{self.paths.cert} or a file beside it changed while it was read")
        if self._material is not None:
            logger.info("TLS files changed; the next handshake uses them", extra=fields(cert=self.paths.cert))
        self._material, self._in_use = material, contents
        self._recover()
        self._figure(NOT_AFTER, material.not_after_ns / 1e9)

    def _recover(self) -> None:
        self._trouble, self._trouble_said = "", False
        self._figure(FAILING, 0)

    def _refuse(self, reason: str) -> None:
        now_ns = self._monotonic_ns()
        if not self._trouble:
            self._trouble_since_ns = now_ns
        self._trouble = reason
        self._figure(FAILING, 1)
        lasts = now_ns - self._trouble_since_ns >= LASTS_NS
        if self._material is not None and lasts and not self._trouble_said:
            self._trouble_said = True
            logger.warning("TLS files cannot be used; the last good ones stay in use", extra=fields(reason=reason))

    def _say_end(self) -> None:
        """Warn of the end of what is in use, once for each."""
        if self._material is None:
            return
        end_ns = self._material.not_after_ns
        if end_ns != self._warned_of_end_ns and self._wall_ns() > end_ns - EXPIRES_SOON_NS:
            self._warned_of_end_ns = end_ns
            hours = (end_ns - self._wall_ns()) / 3.6e12
            logger.warning("TLS certificate ends soon", extra=fields(cert=self.paths.cert, hours=round(hours, 1)))

    def _stat(self) -> _Signature | None:
        try:
            found = [os.stat(path) for path in self.paths.all]
        except OSError:
            return None
        return tuple((each.st_mtime_ns, each.st_ctime_ns, each.st_size, each.st_ino) for each in found)

    def _settled(self, signature: _Signature | None) -> bool:
        if signature is None:
            return False
        newest_ns = max(max(modified_ns, changed_ns) for modified_ns, changed_ns, _, _ in signature)
        return self._wall_ns() - newest_ns > SETTLED_NS

    def _figure(self, name: str, value: float) -> None:
        if self._gauges is not None:
            self._gauges.set(name, value)


class _Following(ssl.SSLContext):
    """Has every connection made by the context that is current.

    The listener's own is never touched: a certificate loaded into a context in use drops the key that does not match it yet, and its
    sessions would outlive the authority that vouched for them.
    """

    def __new__(cls, files: TlsFiles) -> _Following:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, files: TlsFiles) -> None:
        self._files = files

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        return self._files.current().context.wrap_bio(*arguments, **options)

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        return self._files.current().context.wrap_socket(*arguments, **options)


def _configuration(material: Material) -> Any:
    contents = material.contents
    return grpc.ssl_server_certificate_configuration(
        [(contents.key, contents.chain)], root_certificates=contents.client_ca
    )
