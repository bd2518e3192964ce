"""What a TLS port answers to clients that it should and should not take."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.tls import Authority, Pair

PATIENCE_S = 20.0
HOUR = timedelta(hours=1)


class Callers:
    """Clients with every kind of certificate, of an authority that the server believes and of one that it does not."""

    def __init__(self, folder: Path) -> None:
        now = datetime.now(UTC)
        self.authority = Authority()
        self._foreign = Authority()
        self._folder = folder
        self.server = self.authority.pair("localhost", "127.0.0.1", "::1").write(folder, "server")
        self.client_ca = self.authority.write(folder, "clients")
        self.ca = self.client_ca
        self.good = self.authority.pair("desk.internal", "spiffe://desk/feed")
        self.bad: dict[str, Pair | None] = {
            "no certificate": None,
            "a foreign authority": self._foreign.pair("desk.internal"),
            "expired": self.authority.pair("desk.internal", after=now - HOUR),
            "not yet valid": self.authority.pair("desk.internal", before=now + HOUR),
        }

    def settings(self) -> dict[str, str]:
        """Return the settings of a server that takes only clients of the authority, without their prefix."""
        cert, key = self.server
        return {"TLS_CERT": str(cert), "TLS_KEY": str(key), "TLS_CLIENT_CA": str(self.client_ca)}

    def context(self, shown: Pair | None, *alpn: str) -> ssl.SSLContext:
        """Return a client's side."""
        context = self.authority.trusting(None if shown is None else shown.write(self._folder, "shown"))
        context.set_alpn_protocols(alpn or ("http/1.1", "h2"))
        return context


def refused(port: int, context: ssl.SSLContext, *, server_name: str = "localhost") -> str:
    """Return why a handshake fails, by either side's word; empty where the server goes on to talk.

    With TLS 1.3 a client is through before the server has looked at its certificate, so something is sent and read, too.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=server_name) as tls:
                # To gRPC the first line of HTTP/2, to others a request that they answer.
                http2 = tls.selected_alpn_protocol() == "h2"
                tls.sendall(
                    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
                    if http2
                    else b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
                )
                return "" if tls.recv(1) else "closed without a word"
        except ssl.SSLCertVerificationError as exc:
            return exc.verify_message
        except ssl.SSLError as exc:
            return str(exc.reason or exc)
        except OSError as exc:
            return type(exc).__name__


def old(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    """Have a client speak one old version only, whatever this machine's policy says."""
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    return context
