"""How servers are started, and what they report."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, cast

import redis

from services.cli.child import ChildSpec
from services.cli.nursery import Nursery
from services.cli.servers import SERVERS
from services.runtime.connection import connect, redacted
from services.runtime.errors import FailedPrecondition
from services.runtime.private_files import private_directory
from services.runtime.session import partitions_stored
from services.runtime.session.aggregate import read_report_now
from services.runtime.session.announcement import SinkAnnouncement, together
from services.runtime.session.keys import SessionKeys
from services.runtime.session.report import EngineReport
from services.runtime.session.versions import NewerVersion

UNREADABLE_S: Final = 5.0
"""Ten times as long as until the next report."""


_GUARDS: Final = ("TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA", "TLS_ROLES", "AUTH")
_HEALTH: Final = tuple(f"{name.upper()}_ADMIN_PORT" for name in ("replay", "control", "price", "health"))
PRIVATE: Final = {f"MIDSTREAM_{name}": "" for name in (*_GUARDS, *_HEALTH, "PARAMETERS")}
"""For servers that one command starts and ends for itself, on loopback and ports that nobody knows: what guards those that others
call is not for them."""


def nursery_for(names: Iterable[str]) -> Nursery:
    """Have the servers of these names wait, where they can: `child` takes them."""
    return Nursery(SERVERS[name].module for name in names)


def child(
    name: str, environment: Mapping[str, str], *, ready: Path, log: Path | None, nursery: Nursery | None = None
) -> ChildSpec:
    """Describe how to start the server `name`, in the process that waits for it in `nursery` where there is one."""
    private_directory(ready)
    module = SERVERS[name].module
    return ChildSpec(
        name=name,
        module=module,
        environment=dict(environment),
        ready_file=ready / f"{name}.json",
        log=log / f"{name}.log" if log is not None else None,
        waiting=nursery.take(module) if nursery is not None else None,
    )


class Watcher:
    """Reads what engine and sink of a session report, for progress and for the final figures."""

    def __init__(self, redis_url: str, session: str, *, sink: str, own_run: bool = False) -> None:
        """With `own_run`, what was reported before this moment is of another run and counts as nothing."""
        self._own_run = own_run
        self._client = connect(redis_url, client_name="midstream-cli")
        self._shown_url = redacted(redis_url)
        self._keys = SessionKeys(session)
        self._sink = sink
        self._seen: dict[str, int] = {}
        self._since_ns = time.time_ns()
        self._engine_began = self._sink_began = False
        self._rows_before: int | None = None
        self._unreadable_since_s = 0.0
        """Since when what is stored cannot be read; 0.0 when it can."""
        self.sinks: tuple[SinkAnnouncement | None, ...] = ()
        """The sink's announcement in each partition at the last look; None where it has announced nothing."""

    def both(self) -> tuple[EngineReport | None, SinkAnnouncement | None]:
        """The engine's last report and the sink's last announcement; None before the first, or while Redis is away.

        Of several partitions they are those of all of them as one.

        Both are written again and again. What cannot be read counts as nothing for UNREADABLE_S, then it raises ValueError. Raises
        NewerVersion.
        """
        try:
            engine, sink = self._read()
        except (redis.RedisError, OSError):
            return None, None
        except ValueError:
            self._unreadable_since_s = self._unreadable_since_s or time.monotonic()
            if time.monotonic() - self._unreadable_since_s > UNREADABLE_S:
                raise
            return None, None
        self._unreadable_since_s = 0.0
        # Behind one of this run there is none of another: the system's time may be put back meanwhile.
        self._engine_began = self._engine_began or (engine is not None and engine.reported_time_ns >= self._since_ns)
        self._sink_began = self._sink_began or (sink is not None and sink.time_ns >= self._since_ns)
        if self._rows_before is None and sink is not None and self._sink_began:
            # Of the first sink of this run: one that is started again begins with rows of this run.
            self._rows_before = sink.rows_at_start
        if self._own_run:
            return engine if self._engine_began else None, sink if self._sink_began else None
        return engine, sink

    def _read(self) -> tuple[EngineReport | None, SinkAnnouncement | None]:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.get(self._keys.partitions)
        pipeline.get(self._keys.state)
        pipeline.hget(self._keys.sinks, self._sink)
        parts, report, announcement = cast("list[bytes | None]", pipeline.execute())
        try:
            count = partitions_stored.decode(self._keys, parts).count
        except FailedPrecondition as exc:
            raise ValueError(exc.message) from exc
        if count == 1:
            engine = EngineReport.decode(self._keys.session, report) if report else None
            self.sinks = (SinkAnnouncement.decode(self._sink, announcement) if announcement else None,)
            return engine, self.sinks[0]
        said = [self._client.hget(SessionKeys(self._keys.session, at).sinks, self._sink) for at in range(count)]
        self.sinks = tuple(SinkAnnouncement.decode(self._sink, cast("bytes", each)) if each else None for each in said)
        there = [sink for sink in self.sinks if sink is not None]
        return read_report_now(self._client, self._keys), together(there) if there else None

    @property
    def rows_before(self) -> int:
        """Rows that were accounted for by earlier runs, as far as the sink has announced since this watcher was made."""
        return self._rows_before or 0

    def engine(self) -> EngineReport | None:
        """The engine's last report alone."""
        return self.both()[0]

    def sink(self) -> SinkAnnouncement | None:
        """The sink's last announcement alone."""
        return self.both()[1]

    def progress(self, name: str) -> object:
        """Something that changes while ticks flow through the server `name`; for "redis", while they flow anywhere.

        None for servers that no ticks flow through. A Redis that is away for a while changes nothing.
        """
        if name not in ("replay", "price", "redis"):
            return None
        try:
            engine, sink = self.both()
        except (ValueError, NewerVersion):
            # Whoever reads it for what it says complains.
            engine = sink = None
        if engine is not None:
            self._seen["replay"] = engine.last_sequence
        if sink is not None:
            self._seen["price"] = sink.position.sequence
        return tuple(sorted(self._seen.items())) if name == "redis" else self._seen.get(name)

    def trouble(self) -> str:
        """Say that Redis does not answer; empty when it does."""
        try:
            self._client.ping()
        except (redis.RedisError, OSError) as exc:
            return f"Redis at {self._shown_url} does not answer ({type(exc).__name__})"
        return ""

    def close(self) -> None:
        self._client.close()
