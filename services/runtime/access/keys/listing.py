"""The keys in memory, as the database had them a moment ago."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from clients.database import is_unavailable
from clients.resilience.ports import MonotonicNs
from services.runtime.access.keys.store import StoredKey
from services.runtime.errors import MidstreamError, Unavailable
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

FRESH_NS: Final = 2_000_000_000
"""How old the list may be while the database answers: a revoked key works that much longer."""
ENDS_WITHIN_S: Final = 5
"""How long until a revoked key opens nothing and its streams have ended: the list's age, a stream's next look, and the reading itself."""
AGAIN_NS: Final = 50_000_000
"""How old it may be where somebody brings a key that is not on it: one that was just made works at once."""
STALE_NS_MAX: Final = 3_600_000_000_000
"""How old it may be while the database is away. Nobody can revoke a key meanwhile; after an hour nobody is let in either."""
READ_S_MAX: Final = 1.0
"""How long a caller waits for the database; a slow one is not waited for while there is a list."""


class KeyList:
    """Reads again when it is asked and its list is too old; many who ask at once cost one reading."""

    def __init__(
        self,
        load: Callable[[], Awaitable[Sequence[StoredKey]]],
        *,
        monotonic_ns: MonotonicNs,
        read_s_max: float = READ_S_MAX,
    ) -> None:
        self._load = load
        self._read_s_max = read_s_max
        self._began_ns: int | None = None
        """When the reading that is on its way began: one that hangs is waited for once, and not by everybody who comes."""
        self._monotonic_ns = monotonic_ns
        self._keys: dict[str, StoredKey] = {}
        self._loaded_ns: int | None = None
        self._tried_ns: int | None = None
        self._reading: asyncio.Task[None] | None = None
        self._logged = ""
        self._is_needed = False
        """Whether somebody has asked: a server that starts says itself, and in one line, that a database is away."""
        self.trouble = ""
        """What is wrong with the list, as a sentence about keys; empty when nothing is."""

    @property
    def is_read(self) -> bool:
        """Whether there is a list at all."""
        return self._loaded_ns is not None

    def known(self, key_id: str) -> StoredKey | None:
        """Return a key as it was at the last reading, which may be long ago."""
        return self._keys.get(key_id)

    async def find(self, key_id: str, *, age_ns: int = FRESH_NS) -> StoredKey | None:
        """Return a key as it was at most `age_ns` ago, or at the last reading while the database is away. Raises Unavailable."""
        self._is_needed = True
        if self._is_older(self._tried_ns, age_ns):
            reading = self._read_again()
            if self._loaded_ns is None:
                await asyncio.shield(reading)
            elif not self._is_older(self._began_ns, round(self._read_s_max * 1e9)):
                await asyncio.wait((reading,), timeout=self._read_s_max)
            if not reading.done():
                self._say("their database does not answer")
        if self._is_older(self._loaded_ns, STALE_NS_MAX):
            raise Unavailable(f"API keys cannot be checked: {self.trouble or 'they were not read yet'}")
        return self._keys.get(key_id)

    async def find_new(self, key_id: str) -> StoredKey | None:
        """Return a key that may be newer than the list, as it is now and not as it was when somebody else last asked."""
        if self._tried_ns is not None:
            await asyncio.sleep(max(0, self._tried_ns + AGAIN_NS + 1_000_000 - self._monotonic_ns()) / 1e9)
        return await self.find(key_id, age_ns=AGAIN_NS)

    def refresh(self) -> None:
        """Have the list read again when it is too old, without waiting for it."""
        if self._is_older(self._tried_ns, FRESH_NS):
            self._read_again()

    async def close(self) -> None:
        """Wait for a reading that is on its way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait((self._reading,))

    def _is_older(self, at_ns: int | None, age_ns: int) -> bool:
        return at_ns is None or self._monotonic_ns() - at_ns > age_ns

    def _read_again(self) -> asyncio.Task[None]:
        if self._reading is None or self._reading.done():
            self._began_ns = self._monotonic_ns()
            self._reading = asyncio.create_task(self._read(), name="read-keys")
        return self._reading

    async def _read(self) -> None:
        started_ns = self._monotonic_ns()
        try:
            keys = await self._load()
        except Exception as exc:  # noqa: BLE001  (everything: keys that were usable a moment ago stay usable meanwhile)
            said = (
                exc.message
                if isinstance(exc, MidstreamError)
                else f"their database does not answer ({type(exc).__name__})"
            )
            self._say(said, None if isinstance(exc, MidstreamError) or is_unavailable(exc) else exc)
        else:
            unreadable = sum(1 for key in keys if key.revoked_ns is None and not key.is_readable)
            self._say(f"{unreadable} of them are kept under a secret that is not here" if unreadable else "")
            self._tell_changes(keys)
            self._keys = {key.key_id: key for key in keys}
            self._loaded_ns = started_ns
        finally:
            self._tried_ns = started_ns

    def _tell_changes(self, keys: Sequence[StoredKey]) -> None:
        """Log keys that were made or revoked since the last reading: whoever did it did so beside this process."""
        if self._loaded_ns is None:
            return
        for key in keys:
            known = self._keys.get(key.key_id)
            about = {"key": key.key_id, "name": key.name, "owner": key.owner, "roles": sorted(key.roles)}
            if known is None and key.revoked_ns is None:
                logger.info("API key made", extra=fields(**about))
            elif key.revoked_ns is not None and known is not None and known.revoked_ns is None:
                logger.info("API key revoked", extra=fields(**about))

    def _say(self, trouble: str, exc: Exception | None = None) -> None:
        """Log what is wrong with the list when that changes."""
        if trouble != self._logged and self._is_needed:
            self._logged = trouble
            if trouble:
                logger.warning("API keys cannot all be checked", exc_info=exc, extra=fields(reason=trouble))
            else:
                logger.info("API keys are as they should be again")
        self.trouble = trouble
