"""The ready file: how a supervisor learns that a server serves, on which ports, under which pid."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.runtime.alive import is_alive

__all__ = ["announced", "announcements", "ready_file"]


@contextlib.contextmanager
def ready_file(path: Path | None, name: str, *, port: int, metrics_port: int = 0, **facts: int | str) -> Iterator[None]:
    """Keep the file as long as the server serves; a reader never sees half of it. None keeps none."""
    if path is None:
        yield
        return
    line = json.dumps({"server": name, "port": port, "metrics_port": metrics_port, "pid": os.getpid(), **facts})
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(line + "\n", encoding="utf-8")
    draft.replace(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError, KeyError):
            # Taken back only if it is still ours.
            if json.loads(path.read_text(encoding="utf-8"))["pid"] == os.getpid():
                path.unlink()


def announcements(folder: Path) -> dict[str, dict[str, Any]]:
    """Read what servers say in `folder` that are still there, by their names; what cannot be read says nothing."""
    try:
        names = [path.stem for path in folder.glob("*.json") if not path.name.startswith(".")]
    except OSError:
        return {}
    return {name: said for name in names if (said := announced(folder, name))}


def announced(folder: Path, name: str) -> dict[str, Any]:
    """Read what the server `name` says in `folder`; nothing when it is no longer there."""
    try:
        said = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        return said if isinstance(said, dict) and is_alive(int(said["pid"])) else {}
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return {}
