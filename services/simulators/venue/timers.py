"""Dead-man timers: everything of an account, on a market or a listing, is cancelled when one runs out."""

from __future__ import annotations


class Timers:
    """By account, market and symbol; None as a symbol is all of the market."""

    def __init__(self) -> None:
        self._deadlines: dict[tuple[str, str, str | None], int] = {}

    def __bool__(self) -> bool:
        """Whether any is armed."""
        return bool(self._deadlines)

    def arm(self, account: str, market: str, symbol: str | None, deadline_ns: int | None) -> None:
        """Set a timer to that time; None disarms it."""
        if deadline_ns is None:
            self._deadlines.pop((account, market, symbol), None)
        else:
            self._deadlines[account, market, symbol] = deadline_ns

    def run_out(self, now_ns: int) -> list[tuple[str, str, str | None]]:
        """Forget and return those whose time has come."""
        over = [key for key, deadline_ns in self._deadlines.items() if deadline_ns <= now_ns]
        for key in over:
            del self._deadlines[key]
        return over
