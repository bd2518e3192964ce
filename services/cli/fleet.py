"""Which servers there are, and how each is started."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import redis

from services.cli.supervisor import ChildSpec
from services.runtime.connection import connect
from services.runtime.keys import SessionKeys

SERVERS = {
    "replay": "services.replay",
    "control": "services.control",
    "price": "services.price",
    "health": "services.health",
    "sim-feed": "services.simulators.feed",
}
"""Name on the command line -> module, in the order of starting; the first is stopped before the others."""
DEFAULT_PORTS = {"replay": 50051, "control": 50052, "price": 50053, "health": 50054}


def child(name: str, environment: Mapping[str, str], *, ready: Path, log: Path | None) -> ChildSpec:
    """Describe how to start the server `name`."""
    ready.mkdir(parents=True, exist_ok=True)
    return ChildSpec(
        name=name,
        module=SERVERS[name],
        environment=dict(environment),
        ready_file=ready / f"{name}.json",
        log=log / f"{name}.log" if log is not None else None,
    )


class Watcher:
    """Reads what engine and sink of a session report, for progress and for the final figures."""

    def __init__(self, redis_url: str, session: str, *, sink: str) -> None:
        self._client = connect(redis_url, client_name="midstream-cli")
        self._keys = SessionKeys(session)
        self._sink = sink

    def state(self) -> dict[str, Any]:
        """The engine's last report; empty before the first, or while Redis is away."""
        return self._read(lambda: self._client.get(self._keys.state))

    def sink(self) -> dict[str, Any]:
        """The sink's last announcement; empty before the first, or while Redis is away."""
        return self._read(lambda: self._client.hget(self._keys.sinks, self._sink))

    def progress(self) -> object:
        """Something that changes while ticks flow."""
        return self.state().get("last_sequence"), self.sink().get("sequence")

    def close(self) -> None:
        self._client.close()

    def _read(self, command: Any) -> dict[str, Any]:
        try:
            found = command()
        except (redis.RedisError, OSError):
            return {}
        return cast("dict[str, Any]", json.loads(found)) if found else {}
