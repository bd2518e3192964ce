"""Make the access of a process from its settings: once, for all of its listeners."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import grpc

from services.runtime.access.certificates import CertificateAuthenticator
from services.runtime.access.failures import FailureCosts
from services.runtime.access.gate import AccessGate
from services.runtime.access.http import HttpAccess
from services.runtime.access.identity import Authenticator
from services.runtime.access.interceptor import AccessInterceptor
from services.runtime.access.key_shape import key_id_of
from services.runtime.access.lately import AdmittedLately
from services.runtime.access.open_calls import OpenCalls
from services.runtime.access.rates import KeyRates
from services.runtime.errors import StartRefused
from services.runtime.exposure import reaches_beyond
from services.runtime.interceptors import CallInterceptor
from services.runtime.metrics import Metrics
from services.runtime.settings import ServerSettings
from services.runtime.tasks import end_task

if TYPE_CHECKING:
    from services.runtime.access.keys import KeyList

__all__ = ["Access", "Needs", "build_access"]

MEASURE_S: Final = 1.0
TOKEN_SETTINGS: Final = ("token_issuer", "token_audience", "token_keys_url")


@dataclass(frozen=True)
class Needs:
    """What a server asks of its access beyond the settings."""

    keys: bool = False
    """API keys are taken whatever MIDSTREAM_AUTH names, so that the server is never open."""
    calls_per_second: float | None = None
    """How often one key may ask; None does not count."""
    reserved: tuple[str, ...] = ()
    """Methods that a key may use that asks too often, as often again."""


@dataclass(frozen=True)
class Part:
    """An authenticator with what belongs to it."""

    authenticator: Authenticator
    trouble: Callable[[], str]
    """Say what is wrong with it; empty when nothing is."""
    start: Callable[[], None]
    close: Callable[[], Awaitable[None]]


class Access:
    """Gate and open calls of one process."""

    def __init__(
        self,
        parts: Mapping[str, Part],
        *,
        keys: KeyList | None = None,
        needs: Needs | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        costs: FailureCosts | None = None,
        open_metrics: bool = False,
    ) -> None:
        needs = needs or Needs()
        self._parts = dict(parts)
        self.keys = keys
        """The list of API keys, where they are taken: for requests that are signed with one."""
        self.costs = costs or FailureCosts(monotonic_ns=monotonic_ns, key_id=key_id_of)
        rates = None
        if needs.calls_per_second is not None:
            rates = KeyRates(
                per_second=needs.calls_per_second,
                burst=2 * needs.calls_per_second,
                monotonic_ns=monotonic_ns,
                reserved=needs.reserved,
            )
        authenticators = {kind: part.authenticator for kind, part in self._parts.items()}
        self.lately = AdmittedLately(monotonic_ns=monotonic_ns)
        """Who was admitted a moment ago."""
        self.gate = AccessGate(authenticators, wall_ns=wall_ns, costs=self.costs, rates=rates, lately=self.lately)
        self.open_calls = OpenCalls(self.gate)
        self._measuring: asyncio.Task[None] | None = None
        self.http = HttpAccess(self.gate, self.open_calls, open_metrics=open_metrics)

    def interceptor(self, calls: CallInterceptor) -> grpc.aio.ServerInterceptor:
        """Return what admits gRPC calls, to stand inside of `calls`."""
        return AccessInterceptor(self.gate, self.open_calls, end_call=calls.end_call)

    @property
    def trouble(self) -> tuple[str, ...]:
        """What is wrong with the ways to authenticate, in sentences."""
        return tuple(trouble for part in self._parts.values() if (trouble := part.trouble()))

    def start(self, metrics: Metrics) -> None:
        """Begin to look after open calls, and to count in `metrics` what is wrong."""
        for part in self._parts.values():
            part.start()
        self.open_calls.start()
        self._measuring = asyncio.create_task(self._measure(metrics), name="measure-access")

    async def _measure(self, metrics: Metrics) -> None:
        while True:
            metrics.set("midstream_access_troubles", len(self.trouble))
            await asyncio.sleep(MEASURE_S)

    async def stop(self) -> None:
        """End what `start` began, and close what was opened."""
        await end_task(self._measuring)
        await self.open_calls.stop()
        for part in self._parts.values():
            await part.close()


def build_access(name: str, settings: ServerSettings, needs: Needs) -> Access:
    """Return the access of the server `name`. Raises StartRefused where a setting names what cannot be had."""
    kinds = [*(["keys"] if needs.keys and "keys" not in settings.auth else []), *settings.auth]
    costs = FailureCosts(monotonic_ns=time.monotonic_ns, key_id=key_id_of)
    parts: dict[str, Part] = {}
    keys: KeyList | None = None
    for kind in kinds:
        if kind == "keys":
            keys, parts[kind] = _keys(name, settings, costs)
        elif kind == "tokens":
            parts[kind] = _tokens(settings)
        elif kind == "certificates":
            parts[kind] = Part(CertificateAuthenticator(settings.tls_roles, wall_ns=time.time_ns), str, _nothing, _none)
        else:
            raise StartRefused(f"MIDSTREAM_AUTH names {kind!r}, which nothing implements")
    open_metrics = not settings.auth and not reaches_beyond(settings.host)
    return Access(parts, keys=keys, needs=needs, costs=costs, open_metrics=open_metrics)


def _nothing() -> None:
    """Begin nothing."""


async def _none() -> None:
    """Close nothing."""


def keys_part(
    keys: KeyList, *, wall_ns: Callable[[], int], costs: FailureCosts, close: Callable[[], Awaitable[None]]
) -> Part:
    """Return the part that recognises API keys."""
    # Here and below: whoever takes no keys does not wait for the database library.
    from services.runtime.access.keys import KeyAuthenticator

    authenticator = KeyAuthenticator(keys, wall_ns=wall_ns, is_costly=costs.is_spent)
    return Part(authenticator, lambda: keys.trouble and f"API keys: {keys.trouble}", keys.refresh, close)


def _keys(name: str, settings: ServerSettings, costs: FailureCosts) -> tuple[KeyList, Part]:
    from services.runtime.access.keys import KeyList, open_keys

    try:
        database = open_keys(settings, application=f"{name}-keys")
    except ValueError as exc:
        raise StartRefused(f"MIDSTREAM_KEYS_DATABASE_URL: {exc}") from exc
    keys = KeyList(database, monotonic_ns=time.monotonic_ns)

    async def close() -> None:
        await keys.close()
        await database.close()

    return keys, keys_part(keys, wall_ns=time.time_ns, costs=costs, close=close)


def _tokens(settings: ServerSettings) -> Part:
    missing = [f"MIDSTREAM_{field.upper()}" for field in TOKEN_SETTINGS if not getattr(settings, field)]
    if missing:
        raise StartRefused(f"MIDSTREAM_AUTH names `tokens`: set {', '.join(missing)}, too")
    if any(importlib.util.find_spec(module) is None for module in ("jwt", "cryptography")):
        raise StartRefused("MIDSTREAM_AUTH names `tokens`, which needs the extra `jwt`: pip install 'midstream[jwt]'")
    # An extra: servers that take no tokens run without it.
    from services.runtime.access.token_keys import TokenKeys, fetch_from
    from services.runtime.access.tokens import TokenAuthenticator

    keys = TokenKeys(fetch_from(settings.token_keys_url), monotonic_ns=time.monotonic_ns)
    authenticator = TokenAuthenticator(
        keys,
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        roles_claim=settings.token_roles_claim,
        wall_ns=time.time_ns,
    )
    return Part(authenticator, lambda: keys.trouble, keys.start, keys.close)
