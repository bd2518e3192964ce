"""Ask the provider for the reference price of one hour."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode, urlsplit

from clients.http.transport import HttpRequest, HttpResponse, HttpTransport, NotSent
from clients.power.calendar import DeliveryHour
from clients.power.reference.errors import ProviderRefused, ProviderThrottled, ProviderUnavailable, UnusableAnswer
from clients.power.reference.observation import Observation, no_price, read_answer
from clients.resilience.call import Attempt, CallSpec, Cost, Executor, LimitReport
from clients.sockets.destinations import is_metadata_host

__all__ = ["QUOTA_LIMIT", "ReferencePriceClient", "check_base_url"]

QUOTA_LIMIT: Final = "reference-price:requests"
TARGET: Final = "reference-price"
DEADLINE_S: Final = 15.0
"""For everything together. A price that takes longer is asked for anew in the next round."""


class ReferencePriceClient:
    """One request per attempt; the executor decides about attempts, and its limiter about the quota."""

    def __init__(self, base_url: str, transport: HttpTransport, executor: Executor) -> None:
        self._base_url = check_base_url(base_url)
        self._transport = transport
        self._executor = executor
        self._spec = CallSpec(TARGET, "prices", "get_price", costs=(Cost(QUOTA_LIMIT, 1),), deadline_s=DEADLINE_S)

    async def get(self, hour: DeliveryHour) -> Observation:
        """Return what the provider says about an hour.

        Raises ProviderError, TransportError, or a ResilienceError when nothing was sent; ValueError for a quarter.
        """
        if hour.quarter:
            raise ValueError(
                f"{hour.label}: the provider prices whole hours; a quarter is compared with its hour's price"
            )
        query = urlencode({"delivery_day": hour.day_text, "delivery_hour": hour.label})
        request = HttpRequest("GET", f"{self._base_url}/reference-price?{query}", {"accept": "application/json"})

        async def attempt(made: Attempt) -> Observation:
            try:
                response = await self._transport.send(request, timeout_s=made.timeout_s)
            except NotSent:
                if made.permit is not None:
                    made.permit.not_sent()
                raise
            if made.permit is not None:
                made.permit.observe(_limits(response))
            return _read(response, hour)

        return await self._executor.call(self._spec, attempt)


def check_base_url(url: str) -> str:
    """Return the URL without a slash at its end; raise ValueError for what is not plain HTTP to a host."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("must be like http://127.0.0.1:5060 or https://prices.example.com/v1")
    if is_metadata_host(parts.hostname):
        raise ValueError(
            "must not name a link-local address: those answer with credentials of this machine, not with prices"
        )
    return url.rstrip("/")


def _limits(response: HttpResponse) -> LimitReport:
    if response.status != 429:
        return LimitReport()
    return LimitReport(blocks={QUOTA_LIMIT: _retry_after_s(response) or 0.0})


def _read(response: HttpResponse, hour: DeliveryHour) -> Observation:
    status = response.status
    if status == 200:
        return read_answer(response.body, hour, observed_ns=response.received_wall_ns)
    if status == 404:
        # Some providers have no such page until there was a deal. A wrong address looks the same, and shows as `none yet`.
        return no_price(hour, observed_ns=response.received_wall_ns)
    if status == 429:
        raise ProviderThrottled("the provider says that the quota is exceeded", retry_after_s=_retry_after_s(response))
    if status in (408, 425) or status >= 500:
        raise ProviderUnavailable(f"the provider answers {status}")
    if 300 <= status < 400:
        raise UnusableAnswer(f"the provider answers {status}: redirects are not followed, set the address it names")
    raise ProviderRefused(f"the provider refuses the request: {status} for {hour.day_text} {hour.label}")


def _retry_after_s(response: HttpResponse) -> float | None:
    text = response.headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdecimal() and len(text) <= 6 else None
