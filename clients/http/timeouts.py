"""How long what may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """Limits of single phases, in seconds. The timeout of the whole exchange is an argument of `send` and cuts all of them."""

    connect_s: float = 5.0
    """TCP and TLS handshake, each."""
    write_s: float = 5.0
    read_s: float = 15.0
    """Between two pieces of an answer. Above 10 s: Binance itself gives up only then, with an answer that says so."""
    pool_s: float = 2.0
    """For a free connection."""


@dataclass(frozen=True)
class Patience:
    """The time of one whole exchange."""

    timeout_s: float
    ends_s: float
    """By the event loop's clock."""

    @property
    def text(self) -> str:
        """What to say once it is over."""
        return f"no answer within {self.timeout_s:g} s"
