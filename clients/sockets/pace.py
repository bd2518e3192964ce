"""Choose the wait before the next attempt to connect."""

from __future__ import annotations

from clients.resilience.backoff import Backoff
from clients.resilience.ports import RandomSource
from clients.sockets.errors import AuthRefused, OpenFailed
from clients.sockets.policy import SocketPolicy


class ReconnectPace:
    """Full jitter under a cap; a connection resets it only by having been stable."""

    def __init__(self, policy: SocketPolicy, random: RandomSource) -> None:
        self._policy = policy
        self._backoff = Backoff(base_s=policy.backoff_base_s, cap_s=policy.backoff_cap_s)
        self._random = random
        self._failures = 0

    def after_failure(self, error: BaseException) -> float:
        """Return the wait after an attempt that did not open."""
        delay_s = self._next()
        if isinstance(error, AuthRefused):
            delay_s = max(delay_s, self._policy.auth_delay_s)
        if isinstance(error, OpenFailed) and error.retry_after_s is not None:
            delay_s = max(delay_s, min(error.retry_after_s, self._policy.retry_after_max_s))
        return delay_s

    def after_connection(self, lived_s: float) -> float:
        """Return the wait after a connection that had been open."""
        if lived_s >= self._policy.stable_after_s:
            self._failures = 0
        return self._next()

    def _next(self) -> float:
        delay_s = self._backoff.delay_s(self._failures, 0.0, self._random)
        self._failures += 1
        return delay_s
