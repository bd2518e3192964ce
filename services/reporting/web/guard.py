"""Refuse pages of other origins and names that are not ours. There is nothing to write here, so only reading has to be guarded."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from services.reporting.web.http import Request
from services.runtime.web import WebGuard

__all__ = ["Guard"]

SETTING: Final = "MIDSTREAM_REPORTING_WEB_HOSTS"


class Guard:
    """Decides from headers alone, before anything else happens."""

    def __init__(self, *, hosts: Collection[str], bound_host: str) -> None:
        self._guard = WebGuard(hosts=hosts, bound_host=bound_host, setting=SETTING, entrances=("/",))

    def refusal(self, request: Request) -> tuple[int, str] | None:
        """Return status and sentence when the request must not be answered."""
        if request.method not in ("GET", "HEAD"):
            return 405, "this page can only be read: use GET"
        return self._guard.refusal(request.headers, method=request.method, path=request.path)
