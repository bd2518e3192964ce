"""The ready file: how a supervisor learns that a server serves, on which ports, under which pid."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["ready_file"]


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
