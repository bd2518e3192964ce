"""Holds what `make coverage` measured to what README.md states: a share of all lines, one of every package's, and some folders' own.

`python -m tests.coverage_gate REPORT`, where REPORT is what `coverage json` writes. Prints a table; exits with 1 below a share.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
GROUPS = ("services", "clients")
"""Folders whose folders are packages; `fastpath` is one as it stands."""
STATED = re.compile(r"at least (\d+) % of all\s+lines and (\d+) % of\s+every package's([^;]*)")
OF_A_FOLDER = re.compile(r"(\d+) % of\s+`([\w/]+)/`")


@dataclass(frozen=True)
class Floors:
    """The shares, in percent, below which the gate is shut."""

    overall: int
    package: int
    folders: Mapping[str, int] = field(default_factory=dict)
    """Of folders that have to have more."""


@dataclass(frozen=True)
class Lines:
    """Lines of code, and those among them that ran."""

    code: int
    run: int

    @property
    def percent(self) -> float:
        """The share that ran; code without a line cannot lack one."""
        return 100 * self.run / self.code if self.code else 100.0

    def __add__(self, other: Lines) -> Lines:
        return Lines(self.code + other.code, self.run + other.run)


def stated_floors(readme: str) -> Floors:
    """Read the shares out of the README. Raises ValueError where it does not state them."""
    found = STATED.search(readme)
    if found is None:
        raise ValueError(f"README.md states no coverage; a sentence has to match `{STATED.pattern}`")
    return Floors(int(found[1]), int(found[2]), {folder: int(share) for share, folder in OF_A_FOLDER.findall(found[3])})


def by_package(report: Mapping[str, Any]) -> dict[str, Lines]:
    """Add the files of a report up by package."""
    found: dict[str, Lines] = {}
    for file, figures in report["files"].items():
        package = package_of(file)
        summary = figures["summary"]
        lines = Lines(summary["num_statements"], summary["covered_lines"])
        found[package] = found.get(package, Lines(0, 0)) + lines
    return dict(sorted(found.items()))


def package_of(file: str) -> str:
    """Return the package to which a file's lines count."""
    parts = Path(file).parts
    return "/".join(parts[:2]) if parts[0] in GROUPS and len(parts) > 2 else parts[0]


def packages_on_disk(root: Path) -> set[str]:
    """Return every package that a report has to speak of."""
    files = (path.relative_to(root) for name in (*GROUPS, "fastpath") for path in (root / name).rglob("*.py"))
    return {package_of(str(file)) for file in files}


def problems(packages: Mapping[str, Lines], floors: Floors, expected: Iterable[str]) -> list[str]:
    """Return one line for everything that is below its floor, or was not measured at all."""
    total = sum(packages.values(), Lines(0, 0))
    found = [f"{name} was not measured" for name in sorted(set(expected) - set(packages))]
    if total.percent < floors.overall:
        found.append(f"{total.percent:.1f} % of all lines ran, less than the {floors.overall} % that README.md states")
    folders = [(folder, within(folder, packages), share) for folder, share in floors.folders.items()]
    found += [
        f"{folder} was not measured, and README.md states its share" for folder, lines, _ in folders if not lines.code
    ]
    for name, lines, floor in (*((name, lines, floors.package) for name, lines in packages.items()), *folders):
        if lines.percent < floor:
            found.append(f"{lines.percent:.1f} % of {name} ran, less than the {floor} % that README.md states")
    return found


def within(folder: str, packages: Mapping[str, Lines]) -> Lines:
    """Add up the packages that are a folder, or lie in it."""
    return sum((lines for name, lines in packages.items() if f"{name}/".startswith(f"{folder}/")), Lines(0, 0))


def table(packages: Mapping[str, Lines]) -> list[str]:
    """Return the lines of the table, the whole last."""
    rows = [*packages.items(), ("all", sum(packages.values(), Lines(0, 0)))]
    return [f"{name:<24}{lines.code:>8,} lines{lines.percent:>8.1f} %" for name, lines in rows if lines.code]


def main(arguments: list[str]) -> int:
    """Print the table and what is wrong with it; return the exit code."""
    report = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    packages = by_package(report)
    print("\n".join(table(packages)))
    floors = stated_floors((ROOT / "README.md").read_text(encoding="utf-8"))
    found = problems(packages, floors, packages_on_disk(ROOT))
    for problem in found:
        print(f"coverage: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
