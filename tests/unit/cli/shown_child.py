"""A server that says in its ready file what it finds: `python -m tests.unit.cli.shown_child`."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any


def found() -> dict[str, Any]:
    """What a program can see of how it was started."""
    own = Path("/proc/self")
    return {
        "server": "shown",
        "port": 1,
        "pid": os.getpid(),
        "session": os.getsid(0),
        "umask": os.umask(os.umask(0)),
        "words": (own / "cmdline").read_text().split("\0"),
        "comm": (own / "comm").read_text(),
        "environment": sorted(f"{name}={os.environ[name]}" for name in os.environ if name != "LC_CTYPE"),
        "shown_environment": sorted(
            line for line in os.fsdecode((own / "environ").read_bytes()).split("\0") if line and "LC_CTYPE" not in line
        ),
        "files": sorted(
            (int(each.name), os.readlink(each))
            for each in (own / "fd").iterdir()
            if each.exists() and not os.readlink(each).endswith("/fd")
        ),
        "argv": [Path(word).name for word in sys.argv],
        "path": sys.path,
        "main": [__name__, getattr(sys.modules["__main__"], "__file__", "")],
        "handlers": [_shown(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
        "threads": threading.active_count(),
        "loggers": len(logging.getLogger().handlers),
        "standard": [sys.stdout.encoding, sys.stderr.encoding],
        "has_nursery": "services.cli.nursery" in sys.modules,
    }


def _shown(handler: object) -> str:
    # The measuring of coverage puts one of its own into what is executed.
    return str(signal.SIG_DFL if "Coverage" in str(handler) else handler)


def main() -> int:
    """Say it, and serve until SIGTERM."""
    print("on stdout", flush=True)  # noqa: T201  (its output is looked at)
    print("on stderr", file=sys.stderr)  # noqa: T201
    ready = Path(os.environ["MIDSTREAM_READY_FILE"])
    draft = ready.with_suffix(".draft")
    told = found()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    draft.write_text(json.dumps(told))
    draft.replace(ready)
    stopped.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
