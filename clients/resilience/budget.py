"""Bound the retries that a client may add to the load, however many calls fail, so that an outage is not made worse."""

from __future__ import annotations

from clients.resilience.keyed import Keyed


class RetryTokens:
    """Tokens that events bring and retries take. Counts in thousandths, so that ten tenths are exactly one."""

    __slots__ = ("_floor", "_max", "tokens_milli")

    def __init__(self, *, tokens_max: float, floor: float) -> None:
        if not 0 <= floor < tokens_max:
            raise ValueError(f"`floor` is {floor!r}; give 0 or more and less than `tokens_max` {tokens_max!r}")
        self._max = round(tokens_max * 1000)
        self._floor = round(floor * 1000)
        self.tokens_milli = self._max

    def add(self, milli: int) -> None:
        """Bring so many thousandths, up to the maximum."""
        self.tokens_milli = min(self._max, self.tokens_milli + milli)

    def has_token(self) -> bool:
        """Return whether a whole token lies above the floor."""
        return self.tokens_milli - 1000 >= self._floor

    def take(self) -> None:
        """Take a token; ask `has_token` first."""
        self.tokens_milli -= 1000


class RetryBudget:
    """Grants or refuses retries; first attempts are never refused. Share one object among all calls of a client, within one loop.

    Two bounds, and a retry needs both:
    - Of the whole client: over any stretch of time at most `share` retries per request, and `burst` more.
    - Per target: `target_tokens` of which retries may use the upper half; each retry takes one, each success brings `per_success`.
      A target that answers nothing gets no retries after the first few, however many requests go there.
    """

    def __init__(
        self, *, share: float = 0.1, burst: int = 3, target_tokens: float = 10.0, per_success: float = 0.1
    ) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"`share` is {share!r}; give retries per request, from 0 to 1")
        if burst < 1:
            raise ValueError(f"`burst` is {burst!r}; give at least 1, or `share` can never be used")
        self._share_milli = round(share * 1000)
        self._success_milli = round(per_success * 1000)
        self._client = RetryTokens(tokens_max=burst, floor=0)
        self._targets = Keyed(
            "retry budget", lambda name: RetryTokens(tokens_max=target_tokens, floor=target_tokens / 2)
        )

    def on_request(self) -> None:
        """Count a request, not its retries."""
        self._client.add(self._share_milli)

    def on_success(self, target: str) -> None:
        """Count an attempt that succeeded."""
        self._targets.get(target).add(self._success_milli)

    def try_retry(self, target: str) -> bool:
        """Take what one retry costs, or return False."""
        bucket = self._targets.get(target)
        if not (self._client.has_token() and bucket.has_token()):
            return False
        self._client.take()
        bucket.take()
        return True
