"""Named places at which a test may kill or trip this process.

`MIDSTREAM_FAULT="site:n"` ends the process without any cleanup at the n-th pass of `fault("site")`, as kill -9 would.
`MIDSTREAM_FAULT="site:n:kind"`, or `MIDSTREAM_FAULT_KIND=kind`, chooses another effect: `enospc` (also spelled `stop`)
and `eio` raise that OSError at the n-th and every later pass, `sigstop` suspends the process once, `stall` holds that thread for
ever, as a disk does that answers nothing.
`MIDSTREAM_FAULT_ONCE=<path>` makes an exit or a suspension happen only when that file does not exist, and creates it: a
process that is restarted with the same environment then survives.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.runtime.errors import StartRefused

EXIT_CODE: Final = 137
_KINDS: Final = ("exit", "enospc", "eio", "sigstop", "stall")

VARIABLES: Final = {
    "MIDSTREAM_FAULT": "For tests: `site:n` or `site:n:kind` ends or trips the process at the n-th pass of that place.",
    "MIDSTREAM_FAULT_KIND": f"For tests: what happens there, one of {', '.join(_KINDS)}.",
    "MIDSTREAM_FAULT_ONCE": "For tests: a file that is created when it happens; while it exists nothing happens.",
}


@dataclass(frozen=True)
class FaultPlan:
    """What happens where, and at which pass."""

    site: str
    nth: int
    kind: str = "exit"
    once: Path | None = None


def parse_plan(environment: Mapping[str, str]) -> FaultPlan | None:
    """Return the plan of this process; None is the normal case."""
    text = environment.get("MIDSTREAM_FAULT", "")
    if not text:
        return None
    site, _, rest = text.partition(":")
    count, _, kind = rest.partition(":")
    kind = kind or environment.get("MIDSTREAM_FAULT_KIND", "") or "exit"
    kind = "enospc" if kind == "stop" else kind
    if not site or not count.isdecimal() or int(count) < 1 or kind not in _KINDS:
        raise StartRefused(
            f"MIDSTREAM_FAULT: must be site:n or site:n:kind, kind one of {', '.join(_KINDS)} (got {text!r})"
        )
    once = environment.get("MIDSTREAM_FAULT_ONCE", "")
    return FaultPlan(site, int(count), kind, Path(once) if once else None)


class FaultPoint:
    """Counts the passes of one plan."""

    def __init__(self, plan: FaultPlan | None) -> None:
        self._plan = plan
        self._passes = 0
        self._lock = threading.Lock()

    def pass_by(self, site: str) -> None:
        plan = self._plan
        if plan is None or plan.site != site:
            return
        with self._lock:
            self._passes += 1
            passes = self._passes
        if plan.kind == "enospc" and passes >= plan.nth:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if plan.kind == "eio" and passes >= plan.nth:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if plan.kind in ("exit", "sigstop", "stall") and passes == plan.nth and self._claim(plan.once):
            if plan.kind == "stall":
                threading.Event().wait()
            elif plan.kind == "sigstop":
                os.kill(os.getpid(), signal.SIGSTOP)
            else:
                os._exit(EXIT_CODE)

    @staticmethod
    def _claim(once: Path | None) -> bool:
        if once is None:
            return True
        try:
            with once.open("x"):
                return True
        except FileExistsError:
            return False


_point = FaultPoint(parse_plan(os.environ))


def fault(site: str) -> None:
    """Pass a named place; does nothing unless `MIDSTREAM_FAULT` names it."""
    _point.pass_by(site)
