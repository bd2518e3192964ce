"""Write the bill of materials, CycloneDX 1.6: `python -m supply.sbom [FILE]`.

The same commit gives the same bytes: the number is made of the contents, the time is SOURCE_DATE_EPOCH or that of the commit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement

from supply.locks import BUILD, ROOT, RUN, BadLock, Pin, canonical, read_lock
from supply.vendored import Part, assets, engine

DEFAULT_FILE: Final = ROOT / "build" / "midstream.cdx.json"
# One machine stands for all: which marker of a dependency holds must not depend on where this runs.
_MARKERS: Final = {
    "python_version": "3.11", "python_full_version": "3.11.0", "implementation_name": "cpython", "os_name": "posix",
    "platform_machine": "x86_64", "platform_python_implementation": "CPython", "platform_system": "Linux", "sys_platform": "linux",
}  # fmt: skip
# What authors wrote where SPDX has a name.
_SPDX: Final = {
    "MIT": "MIT", "MIT License": "MIT", "The MIT License": "MIT", "Apache-2.0": "Apache-2.0", "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0", "Apache License, Version 2.0": "Apache-2.0", "BSD-3-Clause": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause", "BSD-2-Clause": "BSD-2-Clause", "PSF-2.0": "PSF-2.0", "MPL-2.0": "MPL-2.0",
}  # fmt: skip
_CLASSIFIERS: Final = {
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: ISC License (ISCL)": "ISC",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: Python Software Foundation License": "PSF-2.0",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}


class NoBill(Exception):
    """The bill cannot be written; says why and what to do."""


def main(arguments: Sequence[str]) -> int:
    path = Path(arguments[0]) if arguments else DEFAULT_FILE
    try:
        text = bill(ROOT)
    except (NoBill, BadLock) as exc:
        print(exc, file=sys.stderr)
        return 2
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    components = text.count('"bom-ref"') - 1
    print(f"{path}: {components} components")
    return 0


def bill(root: Path) -> str:
    """Return the whole document."""
    run, build = read_lock(root / RUN, root), read_lock(root / BUILD, root)
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    parts = [*assets(), engine(run)]
    own = f"pkg:pypi/{project['name']}@{project['version']}"
    refs = {pin.name: pin.purl for pin in (*run, *build)}
    extras = _extras(project["dependencies"], (*run, *build))
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": _time(root).isoformat().replace("+00:00", "Z"),
            "tools": {"components": [{"type": "application", "name": "supply.sbom", "version": project["version"]}]},
            "component": {
                "type": "application", "bom-ref": own, "name": project["name"], "version": project["version"],
                "description": project["description"], "purl": own,
            },
        },
        "components": [
            *(_component(pin, "required", parts) for pin in run),
            *(_component(pin, "excluded", parts) for pin in build),
            *(_part(part) for part in parts if not part.inside),
        ],
        "dependencies": [
            {"ref": own, "dependsOn": sorted([*_refs(project["dependencies"], refs), *(p.purl for p in parts if not p.inside)])},
            *(
                {"ref": pin.purl, "dependsOn": _refs(_distribution(pin).requires or [], refs, extras.get(pin.name, frozenset()))}
                for pin in (*run, *build)
            ),
        ],
    }  # fmt: skip
    contents = json.dumps(document, sort_keys=True)
    return (
        json.dumps(
            {**document, "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, contents)}"},
            indent=2,
            sort_keys=True,
        )
        + "\n"
    )


def _component(pin: Pin, scope: str, parts: list[Part]) -> dict[str, Any]:
    found = _distribution(pin)
    component: dict[str, Any] = {
        "type": "library", "bom-ref": pin.purl, "name": pin.name, "version": pin.version, "purl": pin.purl, "scope": scope,
        # Of every file that the version was published in: which one is installed depends on the machine.
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in pin.hashes],
        "licenses": _licences(found),
    }  # fmt: skip
    if summary := _said(found, "Summary"):
        component["description"] = summary
    inside = [_part(part) for part in parts if part.inside == pin.name]
    return {**component, "components": inside} if inside else component


def _part(part: Part) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library" if part.files else "application", "bom-ref": part.purl, "name": part.name, "version": part.version,
        "purl": part.purl, "scope": "required", "licenses": [{"license": {"id": part.licence}}],
    }  # fmt: skip
    if part.files:
        component["hashes"] = [{"alg": "SHA-256", "content": digest} for _, digest in part.files]
        component["properties"] = [{"name": "midstream:file", "value": path} for path, _ in part.files]
    return component


def _distribution(pin: Pin) -> metadata.Distribution:
    try:
        found = metadata.distribution(pin.name)
    except metadata.PackageNotFoundError:
        found = None
    if found is None or found.version != pin.version:
        there = "is not installed" if found is None else f"is installed as {found.version}"
        raise NoBill(
            f"{pin.name} {pin.version} {there}, and its licence stands in the package: run `make build-ext` first"
        )
    return found


def _licences(found: metadata.Distribution) -> list[dict[str, Any]]:
    if expression := _said(found, "License-Expression"):
        return [{"expression": expression}]
    text = _said(found, "License").strip()
    if text in _SPDX:
        return [{"license": {"id": _SPDX[text]}}]
    classified = [_CLASSIFIERS[each] for each in found.metadata.get_all("Classifier") or [] if each in _CLASSIFIERS]
    if classified:
        return [{"license": {"id": each}} for each in sorted(set(classified))]
    named = [
        each.rpartition(" :: ")[2]
        for each in found.metadata.get_all("Classifier") or []
        if each.startswith("License ::")
    ]
    return [{"license": {"name": (named or [text.partition("\n")[0][:80] or "not stated"])[0]}}]


def _said(found: metadata.Distribution, name: str) -> str:
    return next(iter(found.metadata.get_all(name) or ()), "")


def _refs(requirements: Sequence[str], refs: dict[str, str], extras: frozenset[str] = frozenset()) -> list[str]:
    needed = {canonical(each.name) for each in _wanted(requirements, extras)}
    return sorted(refs[name] for name in needed if name in refs)


def _wanted(requirements: Sequence[str], extras: frozenset[str] = frozenset()) -> list[Requirement]:
    """Return the requirements that hold on the machine that stands for all, with these extras."""
    return [
        each
        for each in map(Requirement, requirements)
        if each.marker is None or any(each.marker.evaluate({**_MARKERS, "extra": extra}) for extra in extras | {""})
    ]


def _extras(requirements: Sequence[str], pins: Sequence[Pin]) -> dict[str, frozenset[str]]:
    """Return which extras somebody asks of each package."""
    asked: dict[str, frozenset[str]] = {}
    for each in [*_wanted(requirements), *(one for pin in pins for one in _wanted(_distribution(pin).requires or []))]:
        asked[canonical(each.name)] = asked.get(canonical(each.name), frozenset()) | each.extras
    return asked


def _time(root: Path) -> datetime:
    given = os.environ.get("SOURCE_DATE_EPOCH") or _commit_time(root)
    try:
        return datetime.fromtimestamp(int(given), UTC)
    except (ValueError, OverflowError, OSError) as exc:
        raise NoBill(
            f"SOURCE_DATE_EPOCH={given[:40]!r} is no time in seconds: set it, or run this in a git checkout"
        ) from exc


def _commit_time(root: Path) -> str:
    try:
        command = ["git", "-C", str(root), "log", "-1", "--format=%ct"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()
    except OSError:
        return ""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
