"""One open websocket as the rest of this package sees it; tests give a scripted one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Target:
    """Where to connect. Neither repr nor str shows the query or the headers: they may hold a key."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class LinkHandler(Protocol):
    """Told what happens on a link, from the event loop's reader; none of it may block or raise."""

    def on_traffic(self) -> None:
        """Any bytes came, control frames included; what is complete of them follows at once."""
        ...

    def on_messages(self, payloads: list[bytes], *, binary: bool) -> None:
        """Complete messages came, in this order; all of them are text, or all are binary."""
        ...

    def on_closed(self, reason: str, code: int | None) -> None:
        """The link is over, by whichever side. Called once; nothing follows."""
        ...


class Link(Protocol):
    """An open connection."""

    async def send(self, payload: str | bytes) -> None: ...

    async def ping(self) -> None:
        """Send a ping frame; the pong counts as traffic."""
        ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self, reason: str) -> None:
        """End it at once, without a word to the other side."""
        ...

    async def close(self) -> None:
        """Say goodbye and end it, within the close timeout."""
        ...


class Dialer(Protocol):
    """Opens links."""

    async def __call__(self, target: Target, handler: LinkHandler) -> Link:
        """Return an open link. Raises OpenFailed (AuthRefused for 401 and 403), OSError or TimeoutError.

        `handler` may be called before this returns.
        """
        ...
