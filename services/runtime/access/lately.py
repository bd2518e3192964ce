"""Who was admitted a moment ago: for an answer that is no secret to them, and too cheap for finding out once more who they are."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from clients.resilience.ports import MonotonicNs

HOLDS_NS: Final = 2_000_000_000
"""How long it is remembered: as long as a list of keys counts as fresh, so that whoever is revoked learns nothing for longer."""
REMEMBERED_MAX: Final = 4096
"""Callers with a method; the one that was remembered first is forgotten."""
AUTHORIZATION: Final = "authorization"


class AdmittedLately:
    """Remembers digests of headers with the method that they opened. Opens nothing: it only tells who may hear why not."""

    def __init__(self, *, monotonic_ns: MonotonicNs) -> None:
        self._monotonic_ns = monotonic_ns
        self._until_ns: OrderedDict[tuple[bytes, str], int] = OrderedDict()

    def note(self, authorization: str | None, path: str) -> None:
        """Remember that somebody with this header may call `package.Service/Method`."""
        if authorization is None:
            return
        place = _digest(authorization), path.lstrip("/")
        self._until_ns[place] = self._monotonic_ns() + HOLDS_NS
        self._until_ns.move_to_end(place)
        if len(self._until_ns) > REMEMBERED_MAX:
            self._until_ns.popitem(last=False)

    def knows(self, authorization: str | None, path: str) -> bool:
        """Whether somebody with this header was let into a method a moment ago."""
        if authorization is None or not self._until_ns:
            return False
        until_ns = self._until_ns.get((_digest(authorization), path.lstrip("/")))
        return until_ns is not None and self._monotonic_ns() < until_ns

    def knows_call(self, metadata: Iterable[tuple[str, str | bytes]], path: str) -> bool:
        """The same for a gRPC call. A header that is there twice is nobody's."""
        given = [value for key, value in metadata if key == AUTHORIZATION]
        return len(given) == 1 and isinstance(given[0], str) and self.knows(given[0], path)


def _digest(authorization: str) -> bytes:
    return hashlib.sha256(authorization.encode("utf-8", "surrogatepass")).digest()
