"""Open exchange clients with everything around them: keys, transport, limits, breakers, watching. Close them in order."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import redis.asyncio

from clients.exchanges.base import ClientPorts, RestClient
from clients.exchanges.bases import Environment
from clients.exchanges.client import ExchangeClient
from clients.exchanges.error_table import classify
from clients.exchanges.names import EXCHANGES
from clients.exchanges.policies import EXCHANGE_POLICIES
from clients.exchanges.registry import (
    NoOrderEntry,
    create_client,
    create_trading,
    endpoints,
    limit_scopes,
    settings_class,
)
from clients.exchanges.trading import TradingClient
from clients.http.http11_transport import Http11Transport
from clients.http.transport import HttpTransport
from clients.resilience.breaker import CircuitBreaker
from clients.resilience.call import CallSpec
from clients.resilience.executor import PolicyExecutor
from clients.resilience.executor import Ports as ExecutorPorts
from clients.resilience.limiter import ScopeRules
from clients.resilience.limiter_memory import memory_limiter
from clients.resilience.limiter_queue import QueuedLimiter
from clients.resilience.limiter_redis import redis_limiter
from services.runtime.errors import StartRefused
from services.runtime.exchanges.keys import ExchangeKey, load_key
from services.runtime.exchanges.watcher import ExchangeMetrics, ExchangeWatcher, GroupStatus, OnAnswer
from services.runtime.log_fields import fields
from services.runtime.logs import current_correlation_id, new_correlation_id
from services.runtime.settings import load

logger = logging.getLogger(__name__)

STREAM_GROUP: Final = "stream"
MakeLimiter = Callable[[Sequence[ScopeRules], Environment], QueuedLimiter]
"""From the scopes of an exchange to its limiter."""


@dataclass(frozen=True)
class OpenExchange:
    """One exchange, ready to use."""

    client: ExchangeClient
    executor: PolicyExecutor
    limiter: QueuedLimiter
    key: ExchangeKey | None

    @property
    def signed(self) -> bool:
        """Whether there is a key."""
        return self.key is not None

    def trading(self) -> TradingClient:
        """Return order entry over the same client, limits and breakers. Raises StartRefused where the exchange has none."""
        try:
            return create_trading(self.client.name, self.client)
        except NoOrderEntry as exc:
            raise StartRefused(str(exc)) from exc


class OpenExchanges:
    """The exchanges of a server, by name, in the order in which they were asked for."""

    def __init__(
        self,
        environment: Environment,
        exchanges: Mapping[str, OpenExchange],
        transport: HttpTransport,
        watcher: ExchangeWatcher,
        metrics: ExchangeMetrics,
    ) -> None:
        self.environment = environment
        self.by_name = exchanges
        self._transport = transport
        self._watcher = watcher
        self._metrics = metrics

    @property
    def clients(self) -> dict[str, ExchangeClient]:
        """The clients alone."""
        return {name: exchange.client for name, exchange in self.by_name.items()}

    def listen(self, listener: OnAnswer) -> None:
        """Tell `listener` of every attempt of every client from now on."""
        self._watcher.listen(listener)

    async def statuses(self, stream_age_ms: Callable[[str], int | None] = lambda name: None) -> list[GroupStatus]:
        """Return how every endpoint group is; reaches no exchange. `stream_age_ms` tells the age of a client's newest streamed message."""
        for name, exchange in self.by_name.items():
            for breaker_name, breaker in exchange.executor.breakers.all().items():
                self._note_breaker(breaker_name, breaker)
            await self._note_fill(name, exchange)
            self._note_clock(name, exchange)
            self._note_stream(name, stream_age_ms(name))
        return self._watcher.groups()

    async def close(self) -> None:
        """Close the clients, then what they stand on."""
        for exchange in self.by_name.values():
            await exchange.client.close()
            await exchange.limiter.close()
            if exchange.key is not None:
                await exchange.key.close()
        await self._transport.aclose()

    def _note_breaker(self, name: str, breaker: CircuitBreaker) -> None:
        target, _, group = name.rpartition("/")
        self._watcher.group(target, group).breaker_state = breaker.snapshot().state.value

    async def _note_fill(self, name: str, exchange: OpenExchange) -> None:
        fills = await exchange.limiter.fill()
        for fill in fills:
            self._metrics.limiter_fill.labels(fill.limit).set(fill.used / fill.size)
        tightest = max((fill.used / fill.size for fill in fills), default=0.0)
        for group in self._watcher.groups_of(name):
            group.limiter_fill = tightest

    def _note_clock(self, name: str, exchange: OpenExchange) -> None:
        if not isinstance(exchange.client, RestClient):
            return
        for market in exchange.client.markets:
            clock = exchange.client.server_time_of_clock(market)
            if clock is None:
                continue
            target = name if market in ("", name) else f"{name}:{market}"
            self._metrics.clock_offset_seconds.labels(target).set(clock.offset_ns / 1e9)
            for group in self._watcher.groups_of(target):
                group.clock_offset_ms, group.clock_error_ms = clock.offset_ns / 1e6, clock.error_ns / 1e6

    def _note_stream(self, name: str, age_ms: int | None) -> None:
        if age_ms is not None:
            self._metrics.stream_age_seconds.labels(name).set(age_ms / 1e3)
            self._watcher.group(name, STREAM_GROUP).stream_age_ms = age_ms


def shared_limiter(client: redis.asyncio.Redis) -> MakeLimiter:
    """Limits are an address's or an account's: all our processes that use the same Redis keep them together."""
    return lambda scopes, environment: redis_limiter(client, scopes, namespace=environment.value)


async def open_exchanges(
    names: Sequence[str],
    *,
    metrics: ExchangeMetrics,
    environ: Mapping[str, str] | None = None,
    make_limiter: MakeLimiter = lambda scopes, environment: memory_limiter(scopes),
    transport: HttpTransport | None = None,
    trading: bool = False,
) -> OpenExchanges:
    """Open the exchanges named; nothing is sent yet. Raises StartRefused for an unknown name or an unusable key, naming the fix.

    With `trading` figures begin for everything that order entry asks, too.
    """
    unknown = [name for name in names if name not in EXCHANGES]
    if unknown:
        raise StartRefused(f"no exchange {unknown[0][:32]!r}; there are {', '.join(EXCHANGES)}")
    environment = os.environ if environ is None else environ
    shared = Http11Transport() if transport is None else transport
    watcher = ExchangeWatcher(metrics, monotonic_ns=time.monotonic_ns)
    opened: dict[str, OpenExchange] = {}
    chosen = Environment.SIMULATOR
    for name in names:
        settings = load(settings_class(name))
        chosen = settings.environment
        limiter = make_limiter(limit_scopes(name), chosen)
        executor = PolicyExecutor(
            classify,
            policies=EXCHANGE_POLICIES,
            limiter=limiter,
            resync=_measured_by_the_client,
            observers=(watcher,),
            ports=ExecutorPorts(new_id=_call_id),
        )
        for target, group, operations in endpoints(name).known(trading=trading):
            watcher.begin(target, group, operations)
        key = await load_key(name, environment)
        client = create_client(name, ClientPorts(shared, executor, key), settings.bases())
        opened[name] = OpenExchange(client, executor, limiter, key)
    logger.info("exchanges opened", extra=fields(exchanges=list(opened), environment=chosen.value))
    return OpenExchanges(chosen, opened, shared, watcher, metrics)


def _call_id() -> str:
    """Name an exchange call after the request that causes it, so that one id leads from our callers to the exchange."""
    return current_correlation_id() or new_correlation_id()


async def _measured_by_the_client(spec: CallSpec) -> None:
    """Clients measure the clock again by themselves before the next signed attempt."""
