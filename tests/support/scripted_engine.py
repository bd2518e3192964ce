"""An engine that does what its config says: `python -m tests.support.scripted_engine`."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from services.runtime.engine_channel import EngineChannel, run_engine
from services.runtime.errors import StartPostponed, StartRefused


def main(channel: EngineChannel) -> int:
    """Play config["script"]: a list of words, one after the other."""
    for word in channel.config["script"]:
        match word:
            case "ready":
                channel.report("ready", pid=os.getpid())
            case "progress":
                channel.report("progress", sequence=1)
            case "print":
                print("this line is not a report")  # noqa: T201
            case "wait":
                woken = threading.Event()
                channel.on_stop(woken.set)
                woken.wait()
                channel.report("drained")
            case "hang":
                threading.Event().wait()
            case "hold-gil":
                # Endless, and in C: no other thread of this process runs again.
                sum(iter(int, 1))
            case "crash":
                os._exit(9)
            case "crash-once":
                marker = Path(channel.config["marker"])
                if not marker.exists():
                    marker.touch()
                    os._exit(9)
            case "refuse":
                raise StartRefused("the file x.csv is missing: name another")
            case "fail":
                channel.report("failed", message="the session is 7 s behind its clock")
                return 1
            case "postpone":
                raise StartPostponed("no room on the disk")
            case "postpone-once":
                marker = Path(channel.config["marker"])
                if not marker.exists():
                    marker.touch()
                    raise StartPostponed("no room on the disk")
            case "long-report":
                channel.report("blob", text="x" * (5 * 1024 * 1024))
            case _:
                raise ValueError(word)
    return 0


if __name__ == "__main__":
    sys.exit(run_engine(main))
