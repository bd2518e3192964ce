"""Which servers of a `midstream serve` are down, and why: written by the one that starts them, read by whoever tells people."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["DownFile"]

_NAME: Final = "down.json"


class DownFile:
    """The file below an output directory. It may be missing, stale or unreadable: then nothing is known to be down."""

    def __init__(self, out: Path) -> None:
        self._path = out / ".midstream" / _NAME

    def write(self, down: Mapping[str, str]) -> None:
        """Replace what is there as a whole. Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f".{_NAME}.{os.getpid()}")
        draft.write_text(json.dumps({"pid": os.getpid(), "down": dict(down)}), encoding="utf-8")
        draft.replace(self._path)

    def read(self) -> dict[str, str]:
        """Return the servers that are down, each with the reason; none where nobody looks after them any more."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            down = {str(name): str(why) for name, why in found["down"].items()}
            return down if _is_alive(int(found["pid"])) else {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return {}

    def remove(self) -> None:
        """Take it away; harmless when it is not there."""
        self._path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Somebody else's: it is there.
        pass
    return True
