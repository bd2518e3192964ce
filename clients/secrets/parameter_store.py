"""API keys in AWS Parameter Store (extra `aws`)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final, Self

from clients.resilience.ports import MonotonicNs
from clients.secrets.api_key import ApiKey
from clients.secrets.errors import SecretError, SecretRefused, SecretUnavailable
from clients.secrets.parameter_path import ParameterPath

KEY_NAME: Final = "api_key"
SECRET_NAME: Final = "api_secret"
ATTEMPTS: Final = 2
"""Of one request: the last good key is there meanwhile, and is asked for again soon."""


@dataclass(frozen=True)
class StoredKey:
    """A key and how long ago the store said so."""

    key: ApiKey = field(repr=False)
    age_s: float
    stale: bool
    """The store could not be asked since it expired."""


class ParameterStore:
    """Reads `PATH/api_key` and `PATH/api_secret`, decrypted, and keeps them for `ttl_s`.

    While the store is away the last good key is given, marked stale, until it is `age_s_max` old; then SecretUnavailable. After a
    failure the store is left alone for `retry_s`. Concurrent callers cause one request. A refusal (no permission, nothing there) is
    an error at once, whatever is cached: somebody took the key away.
    """

    def __init__(
        self,
        client: Any,
        path: str,
        *,
        ttl_s: float = 300.0,
        age_s_max: float = 86_400.0,
        retry_s: float = 10.0,
        monotonic_ns: MonotonicNs = time.monotonic_ns,
    ) -> None:
        self._path = ParameterPath(client, path)
        self._ttl_s = ttl_s
        self._age_s_max = age_s_max
        self._retry_s = retry_s
        self._monotonic_ns = monotonic_ns
        self._lock = asyncio.Lock()
        self._known: ApiKey | None = None
        self._read_ns = 0
        self._failure: SecretError | None = None
        self._failed_ns = 0

    @classmethod
    def open(cls, path: str) -> Self:
        """Return the store of the account and region that the AWS environment names; nothing is sent yet."""
        return cls(ParameterPath.open(path, attempts=ATTEMPTS).client, path)

    async def key(self) -> ApiKey:
        """Return the key; see `current` for its age."""
        return (await self.current()).key

    async def current(self) -> StoredKey:
        """Return the key with its age, asking the store when `ttl_s` has passed."""
        async with self._lock:
            if self._known is not None and self._age_s() < self._ttl_s:
                return StoredKey(self._known, self._age_s(), stale=False)
            if self._failure is None or self._since_s(self._failed_ns) >= self._retry_s:
                await self._refresh()
            if self._failure is None:
                assert self._known is not None
                return StoredKey(self._known, self._age_s(), stale=False)
            if (
                isinstance(self._failure, SecretUnavailable)
                and self._known is not None
                and self._age_s() <= self._age_s_max
            ):
                return StoredKey(self._known, self._age_s(), stale=True)
            # Made anew: a traceback grows with every raise of the same object.
            raise type(self._failure)(*self._failure.args)

    async def _refresh(self) -> None:
        started_ns = self._monotonic_ns()
        try:
            self._known = await asyncio.to_thread(self._fetch)
        except SecretError as exc:
            self._failure, self._failed_ns = exc, self._monotonic_ns()
            if isinstance(exc, SecretRefused):
                self._known = None
        else:
            # The value is as old as the question.
            self._failure, self._read_ns = None, started_ns

    def _fetch(self) -> ApiKey:
        found = self._path.read()
        missing = [name for name in (KEY_NAME, SECRET_NAME) if not found.get(name)]
        if missing:
            raise SecretRefused(
                f"Parameter Store has no {' and no '.join(f'{self._path.path}/{name}' for name in missing)}; add it"
            )
        return ApiKey(found[KEY_NAME], found[SECRET_NAME])

    def _age_s(self) -> float:
        return self._since_s(self._read_ns)

    def _since_s(self, moment_ns: int) -> float:
        return (self._monotonic_ns() - moment_ns) / 1e9
