"""A power exchange's list of deals over HTTP, without a port."""

from __future__ import annotations

from collections.abc import Sequence

from clients.http.transport import HttpRequest, HttpResponse
from tests.support.power_messages import confirmation

__all__ = ["URL", "FakeExchange"]

URL = "ws://exchange:5050"


class FakeExchange:
    """The list over HTTP. `ids` is all of it; `status` another answer than 200; `error` none at all."""

    def __init__(self, ids: Sequence[str] = ()) -> None:
        self.ids = list(ids)
        self.status = 200
        self.error: Exception | None = None
        self.headers = True
        self.page = 1_000
        self.asked: list[str] = []

    async def send(self, request: HttpRequest, *, timeout_s: float) -> HttpResponse:
        self.asked.append(request.url)
        if self.error is not None:
            raise self.error
        after = request.url.partition("after=")[2].partition("&")[0]
        status = self.status
        if status == 200 and after and after not in self.ids:
            status = 410
        rest = self.ids[self.ids.index(after) + 1 :] if after in self.ids else self.ids
        body = "".join(confirmation(id=each) + "\n" for each in rest[: self.page]) if status == 200 else "no\n"
        headers = {"x-last-id": self.ids[-1] if self.ids else "", "x-more": str(len(rest) > self.page).lower()}
        return HttpResponse(status, headers if self.headers else {}, body.encode(), 0, 0, 0)

    async def aclose(self) -> None: ...
