"""The ECS task that this process runs in."""

from __future__ import annotations

import functools
import http.client
import json
import os
import re
import threading
from typing import Final
from urllib.parse import urlsplit

METADATA_VARIABLE: Final = "ECS_CONTAINER_METADATA_URI_V4"
"""Set by ECS in every container: where the container's description is."""
WAIT_S: Final = 1.0
"""The agent answers within milliseconds; a start waits no longer for a name in its log lines."""
ANSWER_BYTES_MAX: Final = 256 * 1024

_FARGATE_CONTAINER: Final = re.compile(r"(?P<task>[0-9a-f]{32})-[0-9]+")


@functools.cache
def task_id() -> str:
    """Return the id of this process's task, asked for once; empty outside of ECS, and where its agent does not say."""
    return task_id_at(os.environ.get(METADATA_VARIABLE, ""))


def task_id_at(address: str, *, wait_s: float = WAIT_S) -> str:
    """Return the id of the task whose container is described at `address`; empty where that is not known within `wait_s`."""
    if not address:
        return ""
    # On Fargate a container is named after its task: nobody need be asked.
    named = _FARGATE_CONTAINER.fullmatch(address.rstrip("/").rpartition("/")[2])
    if named is not None:
        return named["task"]
    found: list[str] = []
    # A thread, because the timeout of a socket bounds each read and not all of them.
    asking = threading.Thread(target=_ask, args=(address, wait_s, found), name="ask-ecs", daemon=True)
    asking.start()
    asking.join(wait_s)
    return found[0] if found else ""


def _ask(address: str, wait_s: float, found: list[str]) -> None:
    try:
        place = urlsplit(address)
        connection = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=wait_s)
        try:
            connection.request("GET", f"{place.path.rstrip('/')}/task")
            answer = json.loads(connection.getresponse().read(ANSWER_BYTES_MAX))
        finally:
            connection.close()
        found.append(str(answer["TaskARN"]).rpartition("/")[2])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        # Whoever asked finds nothing, and says so.
        return
