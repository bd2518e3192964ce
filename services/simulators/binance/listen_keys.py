"""Listen keys of the futures' user streams: one per account and market, an hour each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LIFE_NS: Final = 3600 * 1_000_000_000


@dataclass
class _Key:
    text: str
    account: str
    market: str
    expires_ns: int


class ListenKeys:
    """All that are known; expired ones are gone."""

    def __init__(self, make: Callable[[], str]) -> None:
        self._make = make
        self._keys: dict[tuple[str, str], _Key] = {}

    def open(self, account: str, market: str, now_ns: int) -> str:
        """Return the account's key, made or extended."""
        known = self._alive(account, market, now_ns)
        if known is None:
            known = _Key(self._make(), account, market, 0)
            self._keys[account, market] = known
        known.expires_ns = now_ns + LIFE_NS
        return known.text

    def extend(self, account: str, market: str, now_ns: int) -> str | None:
        """Extend the key; None when there is none."""
        return self.open(account, market, now_ns) if self._alive(account, market, now_ns) is not None else None

    def close(self, account: str, market: str) -> None:
        """Forget the key."""
        self._keys.pop((account, market), None)

    def owner(self, text: str, market: str, now_ns: int) -> str | None:
        """Return the account behind a key."""
        for key in self._keys.values():
            if key.text == text and key.market == market and key.expires_ns > now_ns:
                return key.account
        return None

    def expired(self, now_ns: int) -> list[str]:
        """Forget and return the keys whose time is over."""
        over = [place for place, key in self._keys.items() if key.expires_ns <= now_ns]
        return [self._keys.pop(place).text for place in over]

    def _alive(self, account: str, market: str, now_ns: int) -> _Key | None:
        key = self._keys.get((account, market))
        return key if key is not None and key.expires_ns > now_ns else None
