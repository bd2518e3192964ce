"""A server that does what CHILD says: `python -m tests.unit.cli.child`."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path


def main() -> int:
    """Play the words of CHILD, one start after the other; the last word goes on for ever."""
    ready = Path(os.environ["MIDSTREAM_READY_FILE"])
    history = Path(os.environ["CHILD_HISTORY"])
    with history.open("a") as out:
        out.write(f"{os.environ['CHILD_NAME']} started\n")
    words = os.environ["CHILD"].split()
    starts = history.read_text().splitlines().count(f"{os.environ['CHILD_NAME']} started")
    word = words[min(starts, len(words)) - 1]
    if word == "refuse":
        sys.stderr.write('the port is taken: take another one\n{"event": "a log line"}\n')
        return 2
    if word == "later":
        sys.stderr.write('the database is locked\n{"event": "a log line"}\n')
        return 75
    if word == "fail":
        return 1
    if word == "hang":
        threading.Event().wait()
    draft = ready.with_suffix(".draft")
    draft.write_text(json.dumps({"server": os.environ["CHILD_NAME"], "port": 1, "pid": os.getpid()}))
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if word == "stubborn" else lambda *_: stopped.set())
    draft.replace(ready)
    if word == "crash":
        return 1
    stopped.wait()
    with history.open("a") as out:
        out.write(f"{os.environ['CHILD_NAME']} stopped\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
