"""Ask an exchange for deals that were missed: `GET /deals?after=<id>` beside its websocket, where it offers that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from clients.http.transport import HttpRequest, HttpResponse, HttpTransport, ResponseLost
from clients.sockets import AuthRefused

__all__ = ["Offer", "Page", "ReplayClient", "ReplayTrouble", "feed_url"]

TIMEOUT_S: Final = 5.0
PAGE_DEALS: Final = 1_000
_NOT_OFFERED: Final = frozenset({400, 404, 405, 426, 501})
_GONE: Final = 410
_REFUSED: Final = frozenset({401, 403})

LAST_ID: Final = "x-last-id"
MORE: Final = "x-more"


class Offer(Enum):
    """An exchange's answer to going on behind a deal."""

    KNOWN = auto()
    """It knows the deal and sends what followed."""
    UNKNOWN_DEAL = auto()
    """It replays, but not from there: it never had the deal or has forgotten it."""
    NONE = auto()
    """It does not replay: what was sent while we were away is lost."""


class ReplayTrouble(Exception):
    """The exchange could not be asked now. `lost` tells that it was reached and broke off without an HTTP answer."""

    def __init__(self, message: str, *, lost: bool = False) -> None:
        super().__init__(message)
        self.lost = lost


@dataclass(frozen=True)
class Page:
    """A stretch of the exchange's list, in its order: each message as it would come over the websocket."""

    messages: Sequence[bytes]
    more: bool
    """Whether the list goes on behind it."""
    last_id: str
    """Id of the newest deal of the whole list; empty while there is none."""


def feed_url(url: str, *, after: str | None = None) -> str:
    """Return the websocket's URL, going on behind a deal; an empty id means the beginning of the list."""
    return url if after is None else _with_query(url, [("after", after)])


class ReplayClient:
    """Reads the exchange's list over HTTP, on the same host and port as the websocket: one message per line.

    The headers `x-last-id` (newest deal of the whole list) and `x-more` (`true` while the list goes on) tell such an answer from
    that of a web server which happens to have a page of this name.
    """

    def __init__(self, url: str, transport: HttpTransport) -> None:
        parts = urlsplit(url)
        scheme = {"ws": "http", "wss": "https"}[parts.scheme]
        base = parts.path.rstrip("/")
        self._url = urlunsplit((scheme, parts.netloc, f"{base}/deals", parts.query, ""))
        self._transport = transport

    async def ask(self, after: str) -> tuple[Offer, Page]:
        """Return what is offered behind a deal, and the first page of it; raise ReplayTrouble when nobody answers, AuthRefused."""
        url = _with_query(self._url, [("after", after), ("limit", str(PAGE_DEALS))])
        request = HttpRequest("GET", url, {"accept": "application/x-ndjson"})
        try:
            response = await self._transport.send(request, timeout_s=TIMEOUT_S)
        except ResponseLost as exc:
            raise ReplayTrouble(f"the exchange broke off: {exc}", lost=True) from exc
        except Exception as exc:
            # Whatever a transport raises means that there is no answer; cancellation passes.
            raise ReplayTrouble(f"the exchange cannot be asked: {exc}") from exc
        if response.status in _REFUSED:
            raise AuthRefused(f"the exchange answers {response.status} to GET /deals", status=response.status)
        if response.status == _GONE:
            return Offer.UNKNOWN_DEAL, _NOTHING
        if response.status in _NOT_OFFERED:
            return Offer.NONE, _NOTHING
        if response.status != 200:
            raise ReplayTrouble(f"the exchange answers {response.status} to GET /deals")
        return _read(response)


_NOTHING: Final = Page((), more=False, last_id="")


def _read(response: HttpResponse) -> tuple[Offer, Page]:
    last_id = response.headers.get(LAST_ID)
    if last_id is None:
        return Offer.NONE, _NOTHING
    messages = [line for line in response.body.split(b"\n") if line.strip()]
    more = response.headers.get(MORE, "").strip().lower() == "true" and bool(messages)
    return Offer.KNOWN, Page(messages, more=more, last_id=last_id.strip())


def _with_query(url: str, pairs: list[tuple[str, str]]) -> str:
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode(pairs, safe="", quote_via=quote))))
    return urlunsplit(parts._replace(query=query))
