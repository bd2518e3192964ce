"""What hangs or is gone, and who says so: the rows of docs/operations.md. `python -m tests.support.hung --write` puts them there."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Final

from tests.support.imports import ROOT

PAGE: Final = ROOT / "docs" / "operations.md"
_TABLE: Final = re.compile(r"(?m)^\| what happens \|.*\n(?:\|.*\n)+")


@dataclass(frozen=True)
class Hung:
    """One thing that happens, and what each observer says then; `N` stands for a number."""

    key: str
    what: str
    within: str
    server: str
    """Whom `midstream healthcheck` is asked about."""
    probe: str
    live: bool
    """Whether `healthcheck --live` still finds the process alive."""
    check: str
    """The line of the health server's report."""
    status: str
    detail: str
    log: str
    """What a line of the log has in it; empty where nobody is left to write one."""

    @property
    def metric(self) -> str:
        """The series of the health server; its own is gone with it."""
        if not self.check:
            return "`up` 0"
        return f'`midstream_health_check_status{{check="{self.check}"}}` {({"DEGRADED": 1, "DOWN": 2})[self.status]}'

    @property
    def row(self) -> str:
        alive = "alive" if self.live else "dead"
        report = f"`{self.check}` {self.status}: {self.detail}" if self.check else "nobody answers"
        log = f"`{self.log}`" if self.log else "-"
        return (
            f"| {self.what} | {self.within} | {self.server}: {self.probe}; {alive} | {report} | {self.metric} | {log} |"
        )


SILENT: Final = "the engine has said nothing for N s"
NO_ANSWER: Final = "no answer within N s"
ROWS: Final = (
    Hung("replay engine", "replay's engine hangs (SIGSTOP)", "5 s", "replay", f"not serving ({SILENT}", True,
         "replay", "DEGRADED", f"not serving ({SILENT}", "health changed"),
    Hung("price engine", "price's engine hangs (SIGSTOP)", "5 s", "price", f"not serving ({SILENT}", True,
         "price", "DEGRADED", f"not serving ({SILENT}", "health changed"),
    Hung("replay", "replay itself hangs (SIGSTOP)", "the probe's 2 s", "replay", NO_ANSWER, False,
         "replay", "DOWN", NO_ANSWER, "check changed"),
    Hung("control", "control itself hangs (SIGSTOP)", "the probe's 2 s", "control", NO_ANSWER, False,
         "control", "DOWN", NO_ANSWER, "check changed"),
    Hung("price", "price itself hangs (SIGSTOP)", "the probe's 2 s", "price", NO_ANSWER, False,
         "price", "DOWN", NO_ANSWER, "check changed"),
    Hung("health", "health itself hangs (SIGSTOP)", "the probe's 2 s", "health", NO_ANSWER, False, "", "", "", ""),
    Hung("killed", "control is killed (SIGKILL); `serve` starts it again within a second", "1 s", "control", "not reachable", False,
         "control", "DOWN", "unavailable", "check changed"),
    Hung("redis stopped", "Redis hangs (SIGSTOP)", "5 s", "control", "not serving (Redis does not answer: TimeoutError)", True,
         "redis", "DOWN", NO_ANSWER, "check changed"),
    Hung("redis dead", "Redis is killed", "2 s", "control", "not serving (Redis does not answer: ", True,
         "redis", "DOWN", "Redis does not answer", "check changed"),
    Hung("disk", "price's disk hangs (fdatasync does not return)", "5 s", "price", f"not serving ({SILENT}", True,
         "price", "DEGRADED", f"not serving ({SILENT}", "health changed"),
)  # fmt: skip


def without_numbers(text: str) -> str:
    """Return a text as the table has it."""
    return re.sub(r"\d+(?:\.\d+)?(?= s\b)", "N", text)


def table() -> str:
    """Return the table of the page."""
    head = (
        "| what happens | told within | `midstream healthcheck`; `--live` | report of the health server | metric | log |\n"
        "|---|---|---|---|---|---|\n"
    )
    return head + "".join(f"{row.row}\n" for row in ROWS)


def table_of_page() -> str:
    """Return the table as the page has it; empty where there is none."""
    found = _TABLE.search(PAGE.read_text(encoding="utf-8"))
    return found[0] if found is not None else ""


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    PAGE.write_text(PAGE.read_text(encoding="utf-8").replace(table_of_page(), table()), encoding="utf-8")
