"""Refuse pages of other origins and names that are not ours. There is nothing to write here, so only reading has to be guarded."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final

from services.reporting.web.http import Request

__all__ = ["Guard"]

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
ANY: Final = frozenset({"0.0.0.0", "::", "[::]", ""})


class Guard:
    """Decides from headers alone, before anything else happens."""

    def __init__(self, *, hosts: Collection[str], bound_host: str) -> None:
        self._hosts = LOOPBACK | {host.lower() for host in hosts} | {bound_host.lower()}
        # Bound to every address, any of the machine's own is a legal name; a domain name has to be allowed by setting.
        self._any_address = bound_host in ANY

    def refusal(self, request: Request) -> tuple[int, str] | None:
        """Return status and sentence when the request must not be answered."""
        if request.method not in ("GET", "HEAD"):
            return 405, "this page can only be read: use GET"
        host = request.headers.get(b"host", b"").decode("latin-1").lower()
        if not self._is_ours(host):
            # A foreign name that resolves to us is how a page from elsewhere would read ours.
            return 421, "this server does not answer under that name: set MIDSTREAM_REPORTING_WEB_HOSTS to allow it"
        origin = request.headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").lower() not in (f"http://{host}", f"https://{host}"):
            return 403, "another site may not read this page"
        # Following a link from elsewhere is fine; loading us as part of another page is not.
        followed = request.headers.get(b"sec-fetch-mode") == b"navigate" and request.path == "/"
        if request.headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site") and not followed:
            return 403, "another site may not load this"
        return None

    def _is_ours(self, host: str) -> bool:
        name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
        if not name or not port.isdigit():
            name = host
        if name in self._hosts:
            return True
        return self._any_address and _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
