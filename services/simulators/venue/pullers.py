"""Who may pull the levers under /sim: somebody on this machine who means it, and nobody through something in between."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from services.runtime.exposure import is_local_address
from services.simulators.venue.messages import Request

_SPEAKS_FOR_OTHERS: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""What a proxy adds. The address is then the proxy's own, and what stands in the header is anybody's word."""


def why_not(request: Request, *, from_anywhere: bool = False, setting: str = "") -> str:
    """Say why a request may not reach the levers; empty when it may.

    `from_anywhere` lets other machines in, as `setting` says, by a loopback name alone: a container's published port is one.
    """
    if not from_anywhere and not is_local_address(request.address):
        fix = f", or set {setting}=anywhere" if setting else ""
        return f"the levers answer on the simulator's own machine only: connect to 127.0.0.1{fix}"
    if any(name in request.headers for name in _SPEAKS_FOR_OTHERS):
        return "the levers answer nobody through a proxy"
    # A page in a browser on this machine comes from loopback as well, also under a name of its own that it had point here.
    for name, value in (
        ("host", f"//{request.headers.get('host', '')}"),
        ("origin", request.headers.get("origin", "")),
    ):
        if name in request.headers and not _is_local(value):
            return f"the levers answer at a loopback address only: `{name}` is another"
    return ""


def _is_local(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host == "localhost" or is_local_address(host)
