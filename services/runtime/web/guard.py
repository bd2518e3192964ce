"""Refuse pages of other origins and names that are not ours, from headers alone, before anything else happens."""

from __future__ import annotations

import fnmatch
import ipaddress
import socket
from collections.abc import Collection, Mapping
from typing import Final

from services.runtime.exposure import is_local_address

__all__ = ["WebGuard"]

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
ANY: Final = frozenset({"0.0.0.0", "::", ""})
PRIVATE: Final = (".local", ".internal", ".localhost", ".home.arpa")
"""Ends of names that no public name server answers for; nobody outside can point one of them anywhere."""
SETTING: Final = "MIDSTREAM_WEB_HOSTS"


class WebGuard:
    """Knows under which names a listener answers.

    A foreign name that resolves to us is how a page from elsewhere would use ours (DNS rebinding). On loopback only loopback's names, the
    address itself and those of the setting are ours. A listener that others reach has more: any address, this machine's name, and names
    that only a private network knows, like those of containers.
    """

    def __init__(
        self,
        *,
        hosts: Collection[str],
        bound_host: str,
        setting: str = SETTING,
        entrances: Collection[str] | None = None,
    ) -> None:
        """`entrances` are the paths that a link from elsewhere may lead to; None: all of them."""
        bound = _bare(bound_host.lower())
        self._names = LOOPBACK | {bound} | {_bare(host.lower()) for host in hosts if "*" not in host}
        self._patterns = tuple(host.lower() for host in hosts if "*" in host)
        self._reachable = bound in ANY or not (bound == "localhost" or is_local_address(bound))
        # Bound to every address, any of the machine's own is a legal name; a public domain name has to be allowed by setting.
        self._any_address = bound in ANY
        self._machine = socket.gethostname().lower() if self._reachable else ""
        self._setting = setting
        self._entrances = entrances

    def foreign_name(self, headers: Mapping[bytes, bytes]) -> tuple[int, str] | None:
        """Return status and sentence when a request came under a name that is not ours."""
        host = headers.get(b"host")
        # Browsers always send it; probes that speak HTTP/1.0 do not.
        if host is None or self._is_ours(_name(host.decode("latin-1").lower())):
            return None
        return 421, f"this server does not answer under that name: set {self._setting} to allow it"

    def refusal(self, headers: Mapping[bytes, bytes], *, method: str, path: str) -> tuple[int, str] | None:
        """Return status and sentence when a request must not be answered."""
        refused = self.foreign_name(headers)
        if refused is not None:
            return refused
        host = headers.get(b"host", b"").decode("latin-1").lower()
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").lower() not in (f"http://{host}", f"https://{host}"):
            return 403, "another site may not read this page"
        # Following a link from elsewhere is fine; loading us as part of another page is not.
        followed = (
            headers.get(b"sec-fetch-mode") == b"navigate"
            and method in ("GET", "HEAD")
            and (self._entrances is None or path in self._entrances)
        )
        if headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site") and not followed:
            return 403, "another site may not load this"
        return None

    def _is_ours(self, name: str) -> bool:
        if name in self._names or any(fnmatch.fnmatchcase(name, pattern) for pattern in self._patterns):
            return True
        if not self._reachable or not name:
            return False
        if _is_address(name):
            return self._any_address
        return "." not in name or name.endswith(PRIVATE) or name == self._machine


def _name(host: str) -> str:
    """Return a Host header without its port."""
    name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    return _bare(name if name and port.isdigit() else host)


def _bare(name: str) -> str:
    return name[1:-1] if name.startswith("[") and name.endswith("]") else name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
