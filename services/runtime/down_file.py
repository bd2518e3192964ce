"""Which servers a `midstream serve` keeps up, which of them are down, and why: written by it, read by whoever tells people."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from services.runtime.alive import is_alive

__all__ = ["DownFile"]

_NAME: Final = "down.json"


class DownFile:
    """The file below an output directory. It may be missing, stale or unreadable: then nothing is known to be down."""

    def __init__(self, out: Path, servers: Sequence[str] = ()) -> None:
        """`servers` are those that the writer looks after."""
        self._path = out / ".midstream" / _NAME
        self._servers = tuple(servers)

    def write(self, down: Mapping[str, str]) -> None:
        """Replace what is there as a whole. Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f".{_NAME}.{os.getpid()}")
        # Its owner's alone, like whatever else lies there; what probes import does without the module that says so.
        with open(draft, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            json.dump({"pid": os.getpid(), "servers": self._servers, "down": dict(down)}, file)
        draft.replace(self._path)

    def read(self) -> dict[str, str]:
        """Return the servers that are down, each with the reason; none where nobody looks after them any more."""
        down = self._read().get("down")
        return {str(name): str(why) for name, why in down.items()} if isinstance(down, dict) else {}

    def servers(self) -> tuple[str, ...]:
        """Return the servers that somebody looks after, down or not."""
        servers = self._read().get("servers")
        return tuple(map(str, servers)) if isinstance(servers, list) else ()

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return found if isinstance(found, dict) and is_alive(int(found["pid"])) else {}
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return {}

    def remove(self) -> None:
        """Take it away; harmless when it is not there."""
        self._path.unlink(missing_ok=True)
