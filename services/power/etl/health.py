"""Say in a sentence for traders why prices do not come; nothing while they do."""

from __future__ import annotations

from typing import Final

__all__ = ["PollingHealth"]

SECOND_NS: Final = 1_000_000_000
PATIENCE_NS: Final = 20 * SECOND_NS
"""Trouble shorter than this is nobody's business but the log's."""
WAIT_PATIENCE_NS: Final = 180 * SECOND_NS
"""Waiting for a slot of the quota is how it is meant to be; a publication of all hours takes the quota this long at most."""


class PollingHealth:
    """Remembers the last answers and failures."""

    def __init__(self) -> None:
        self.answered_ns = 0
        self._failing_since_ns = 0
        self._reason = ""
        self._waiting_since_ns = 0
        self._unstored_since_ns = 0

    def answered(self, now_ns: int) -> None:
        """A usable answer came."""
        self.answered_ns = now_ns
        self._failing_since_ns, self._waiting_since_ns, self._reason = 0, 0, ""

    def failed(self, now_ns: int, reason: str) -> None:
        """None came."""
        self._failing_since_ns = self._failing_since_ns or now_ns
        self._reason = reason

    def waited(self, now_ns: int) -> None:
        """The quota had no slot: normal for a while, trouble when it lasts."""
        self._waiting_since_ns = self._waiting_since_ns or now_ns

    def unstored(self, now_ns: int) -> None:
        """The database is away."""
        self._unstored_since_ns = self._unstored_since_ns or now_ns

    def stored(self) -> None:
        """It is back."""
        self._unstored_since_ns = 0

    def trouble(self, now_ns: int) -> str:
        """Return what people should know; empty when there is nothing."""
        if self._unstored_since_ns and now_ns - self._unstored_since_ns > PATIENCE_NS:
            return "the database does not answer"
        if self._failing_since_ns and now_ns - self._failing_since_ns > PATIENCE_NS:
            return self._reason
        if self._waiting_since_ns and now_ns - self._waiting_since_ns > WAIT_PATIENCE_NS:
            return "the provider's quota has been used up for minutes"
        return ""
