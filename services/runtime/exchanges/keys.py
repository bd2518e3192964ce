"""The API key of an exchange as this process uses it: loaded, kept out of the logs, and followed when it is rotated."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from clients.resilience.ports import Sleep
from clients.secrets.api_key import ApiKey
from clients.secrets.environment import FixedKey, KeySource, key_source
from clients.secrets.errors import SecretError, SecretRefused, SecretUnavailable
from clients.secrets.redaction import Redactor, redact_logs
from services.runtime.errors import StartRefused, Unavailable
from services.runtime.log_fields import fields
from services.runtime.tasks import end_task

logger = logging.getLogger(__name__)

REFRESH_S: Final = 60.0
"""A key that was replaced in its store is used from the next minute on."""

_redactor: Final = Redactor()
"""Of this process: what was ever loaded stays out of its logs."""


def hide_from_logs(key: ApiKey) -> None:
    """Mask both halves of the key in everything that is logged from now on."""
    _redactor.add(key)
    redact_logs(logging.getLogger(), _redactor)


class ExchangeKey:
    """A signing key whose value may change; `key_id` and `reveal` always give the two halves of one value."""

    def __init__(self, exchange: str, source: KeySource, first: ApiKey, *, sleep: Sleep = asyncio.sleep) -> None:
        self._exchange = exchange
        self._source = source
        self._value = first
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None
        hide_from_logs(first)
        if not isinstance(source, FixedKey):
            self._task = asyncio.create_task(self._follow(), name=f"key-{exchange}")

    @property
    def key_id(self) -> str:
        return self._value.key_id

    def reveal(self) -> str:
        """Return the secret."""
        return self._value.reveal()

    def __repr__(self) -> str:
        return f"ExchangeKey({self._exchange}, {self._value!r})"

    async def close(self) -> None:
        """Stop following."""
        await end_task(self._task)

    async def _follow(self) -> None:
        while True:
            await self._sleep(REFRESH_S)
            try:
                value = await self._source.key()
            except SecretError as exc:
                logger.warning(
                    "key not refreshed, the last one stays", extra=fields(exchange=self._exchange, reason=exc)
                )
                continue
            if value != self._value:
                hide_from_logs(value)
                self._value = value
                logger.info("key replaced", extra=fields(exchange=self._exchange, fingerprint=value.fingerprint))


async def load_key(exchange: str, environ: Mapping[str, str]) -> ExchangeKey | None:
    """Return the key that the environment names, None where it names none.

    Raises StartRefused where an operator has to mend something, Unavailable where the store cannot be asked now.
    """
    try:
        source = key_source(exchange, environ)
        return None if source is None else ExchangeKey(exchange, source, await source.key())
    except SecretRefused as exc:
        raise StartRefused(f"the API key of {exchange} is not usable: {exc}") from exc
    except SecretUnavailable as exc:
        raise Unavailable(f"the API key of {exchange} cannot be read now: {exc}") from exc
