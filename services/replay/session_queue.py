"""What a created session's keys tell its server, and what the server reports in them for an engine that cannot."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import redis.asyncio

from services.runtime.errors import FailedPrecondition
from services.runtime.session import partitions_stored
from services.runtime.session.aggregate import read_report
from services.runtime.session.holders import Holder, living_holders
from services.runtime.session.keys import SESSIONS, SessionKeys
from services.runtime.session.report import REPORT_TTL_MS, STORE_REPORT, EngineReport, EngineState
from services.runtime.session.versions import NewerVersion


class SessionQueue:
    """Reads leases and reports."""

    def __init__(self, client: redis.asyncio.Redis, *, time_ns: Callable[[], int] = time.time_ns) -> None:
        # The client's annotations allow for decoded replies as well; ours are bytes.
        self._client: Any = client
        self._time_ns = time_ns

    async def holder(self, keys: SessionKeys) -> str:
        """Return who produces a session, for people; empty when nobody does."""
        holder = (await living_holders(self._client, {keys: keys.lease})).get(keys)
        return "" if holder is None else f"process {holder.pid} on host {holder.host}"

    async def producers(self, session: str, partitions: int) -> dict[int, str]:
        """Return the owner of each partition that somebody produces; "" for a producer that names none."""
        return {partition: holder.owner for partition, holder in (await self.holders(session, partitions)).items()}

    async def holders(self, session: str, partitions: int) -> dict[int, Holder]:
        """Return who produces each partition, of those that somebody does."""
        leases = {partition: SessionKeys(session, partition).lease for partition in range(partitions)}
        return await living_holders(self._client, leases)

    async def report(self, keys: SessionKeys) -> EngineReport | None:
        """Return the last report; None where there is none that can be read."""
        try:
            return await read_report(self._client, keys)
        except (ValueError, NewerVersion, FailedPrecondition):
            return None

    async def is_unknown(self, keys: SessionKeys) -> bool:
        """Tell whether there is nothing of a session."""
        return not await self._client.sismember(SESSIONS, keys.session)

    async def is_subscribed(self, keys: SessionKeys) -> bool:
        """Tell whether somebody streams a session, from whichever server."""
        return bool(await self._client.exists(keys.subscribed))

    async def note_failure(self, keys: SessionKeys, error: str) -> None:
        """Report that the engine has ended for good: it may not have come to that, or been killed."""
        count = (await partitions_stored.read(self._client, keys)).count
        key = keys.report_of(count)
        report = await self._last(keys, key) or EngineReport(
            keys.session, partition=keys.partition if count > 1 else 0, partitions=count
        )
        if report.state is EngineState.FAILED and report.error:
            return
        report = replace(report, state=EngineState.FAILED, error=error, reported_time_ns=self._time_ns())
        await self._client.eval(STORE_REPORT, 1, key, report.encode(), REPORT_TTL_MS)
        await self._client.sadd(SESSIONS, keys.session)

    async def _last(self, keys: SessionKeys, key: str) -> EngineReport | None:
        stored = await self._client.get(key)
        try:
            return EngineReport.decode(keys.session, stored) if stored else None
        except (ValueError, NewerVersion):
            return None
