"""How long after its timestamp an exchange still takes a signed request, for those that are told so with each one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RECV_WINDOW_MS: Final = 5000
"""The exchanges' own default: long enough for a slow network, short enough that a lost order is soon certain not to arrive."""
RECV_WINDOW_MS_MAX: Final = 60_000
"""The most that Binance takes. Bybit documents none; whatever is longer makes an order that was lost uncertain for longer."""
MILLISECOND_NS: Final = 1_000_000


@dataclass(frozen=True)
class Stamp:
    """The timestamp of one signed request, and when it is over by the exchange's clock."""

    timestamp_ms: int
    expires_ns: int


@dataclass(frozen=True)
class ReceiveWindow:
    """The same for every attempt of a client, so that what it lost has an end. Raises ValueError where no exchange takes it."""

    ms: int = RECV_WINDOW_MS

    def __post_init__(self) -> None:
        if not 1 <= self.ms <= RECV_WINDOW_MS_MAX:
            raise ValueError(f"`recv_window_ms` is {self.ms}; exchanges take 1 to {RECV_WINDOW_MS_MAX}")

    @property
    def seconds(self) -> float:
        """The window, as proofs of absence count it."""
        return self.ms / 1000

    def stamp(self, server_time_ns: int) -> Stamp:
        """Return the stamp of a request that is signed now by the exchange's clock."""
        timestamp_ms = server_time_ns // MILLISECOND_NS
        return Stamp(timestamp_ms, (timestamp_ms + self.ms) * MILLISECOND_NS)
