"""Record the requests of a simulator: the evidence that tests count upstream calls with. Never a key, a signature or a body."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

RECORDS_MAX: Final = 50_000
SECRET_PARAMETERS: Final = frozenset({"signature", "apikey", "listenkey", "api-key", "api-signature"})


@dataclass
class Asked:
    """One request and what became of it. `status` is 0 until it is answered, or when no answer went out."""

    number: int
    time_ns: int
    method: str
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    status: int = 0
    fate: str = "in progress"


class RequestLog:
    """The newest requests, and counts of all."""

    def __init__(self) -> None:
        self._records: deque[Asked] = deque(maxlen=RECORDS_MAX)
        self.counts: dict[str, int] = {}
        self.total = 0

    def begin(self, method: str, path: str, parameters: Mapping[str, str], now_ns: int) -> Asked:
        """Note a request; the caller completes the record."""
        self.total += 1
        shown = {name: value for name, value in parameters.items() if name.lower() not in SECRET_PARAMETERS}
        asked = Asked(self.total, now_ns, method, path, shown)
        self._records.append(asked)
        route = f"{method} {path}"
        if route in self.counts or len(self.counts) < 500:
            self.counts[route] = self.counts.get(route, 0) + 1
        return asked

    def find(self, *, method: str | None = None, path: str | None = None, limit: int = 1000) -> list[Asked]:
        """Return the newest that match, oldest first."""
        found = [asked for asked in self._records if method in (None, asked.method) and path in (None, asked.path)]
        return found[-limit:]

    def rows(self, found: list[Asked]) -> Iterator[dict[str, Any]]:
        """Yield them as JSON objects."""
        for asked in found:
            yield asdict(asked)

    def clear(self) -> None:
        """Forget everything."""
        self._records.clear()
        self.counts.clear()
        self.total = 0
