"""The text of the metrics: rendered off the event loop, once for all who ask at the same moment."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

__all__ = ["Exposition"]

FRESH_S: Final = 0.1
"""A text is given to everybody who asks within this time: rendering takes milliseconds of the process, and asking takes nobody anything."""
NAMES_MAX: Final = 64
"""Of figures in one question; more are nobody's scrape configuration."""


class Exposition:
    """One registry's figures in the format that the scraper asks for."""

    def __init__(self, registry: CollectorRegistry, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._clock_s = clock_s
        self._lock = asyncio.Lock()
        self._kept: tuple[str, bool, float, bytes] = ("", False, 0.0, b"")

    async def text(self, accept: str = "", names: Sequence[str] = (), *, compressed: bool = False) -> tuple[bytes, str]:
        """Return the text (with `compressed` as gzip) and its content type; with `names` only of these figures."""
        encode, content_type = choose_encoder(accept)
        # One at a time, however many ask: the rest of the process goes on meanwhile.
        async with self._lock:
            kept_type, kept_compressed, rendered_s, text = self._kept
            fresh = text and self._clock_s() - rendered_s <= FRESH_S
            if names or not fresh or (kept_type, kept_compressed) != (content_type, compressed):
                text = await asyncio.to_thread(self._rendered, encode, names, compressed)
                if not names:
                    self._kept = (content_type, compressed, self._clock_s(), text)
        return text, content_type

    def _rendered(self, encode: Callable[[Collector], bytes], names: Sequence[str], compressed: bool) -> bytes:
        text = encode(self._registry.restricted_registry(names[:NAMES_MAX]) if names else self._registry)
        return gzip.compress(text) if compressed else text
