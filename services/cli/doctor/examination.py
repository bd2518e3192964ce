"""All checks, in the order in which one would mend what they find."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from services.cli.doctor.findings import Finding, Level, Patient, warning
from services.cli.output import ExitCode
from services.cli.terminal import table, write

CHECKS: Final[Mapping[str, str]] = {
    "python": "machine.python",
    "kernels": "machine.kernels",
    "time zones": "machine.zones",
    "clock": "machine.clock",
    "open files": "machine.open_files",
    "temporary files": "machine.temporary_files",
    "output folder": "machine.out_folder",
    "setting names": "configuration.names",
    "setting values": "configuration.values",
    "recorded files": "configuration.history",
    "extras": "configuration.extras",
    "certificates": "configuration.certificates",
    "exchange keys": "configuration.keys",
    "proxies": "configuration.proxies",
    "databases": "configuration.databases",
    "redis": "reaching.queue",
    "ports": "reaching.ports",
}
"""By the names that people see. Imported one by one: what cannot be imported is one of the things to find."""


def examine(patient: Patient) -> Iterator[tuple[str, Finding]]:
    """Run every check, whatever the others say."""
    for name, place in CHECKS.items():
        module, _, function = place.partition(".")
        try:
            check = getattr(importlib.import_module(f"services.cli.doctor.{module}"), function)
            for finding in check(patient):
                yield name, finding
        # A check of what is broken may break in any way, and the others go on.
        except Exception as exc:  # noqa: BLE001
            yield (
                name,
                warning(f"could not be looked at ({type(exc).__name__}: {exc})", "mend what is above this first"),
            )


def run_doctor(servers: Sequence[str], *, as_json: bool) -> int:
    """Print what was found; 1 when something has to be mended."""
    environment = dict(os.environ)
    patient = Patient(environment, servers, Path(environment.get("MIDSTREAM_OUT") or "var"))
    found = list(examine(patient))
    faults = sum(finding.level is Level.FAULT for _, finding in found)
    warnings = sum(finding.level is Level.WARNING for _, finding in found)
    if as_json:
        write(json.dumps({"faults": faults, "warnings": warnings, "findings": [_figures(*each) for each in found]}))
    else:
        write("\n".join([*table([_row(*each) for each in found]), _summary(faults, warnings)]))
    return ExitCode.FAILED if faults else ExitCode.COMPLETE


def _row(name: str, finding: Finding) -> list[str]:
    level = finding.level.value if finding.level is Level.OK else finding.level.value.upper()
    more = f" -> {finding.fix}" if finding.fix else ""
    more += f" ({finding.page})" if finding.page else ""
    return [level, name, f"{finding.what}{more}"]


def _figures(name: str, finding: Finding) -> dict[str, Any]:
    return {"check": name, "level": finding.level.value, "what": finding.what, "fix": finding.fix, "page": finding.page}


def _summary(faults: int, warnings: int) -> str:
    if not faults and not warnings:
        return "nothing is wrong"
    words = [f"{faults} to mend" if faults else "", f"{warnings} to look at" if warnings else ""]
    return ", ".join(filter(None, words))
