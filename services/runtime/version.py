"""Which version this is: written once, in pyproject.toml."""

from __future__ import annotations

import functools
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Final

NAME: Final = "midstream"
_TREE: Final = Path(__file__).resolve().parents[2]


@functools.cache
def version(tree: Path = _TREE) -> str:
    """Return what pyproject.toml says where this runs from a checkout, else what was written down at installing.

    A checkout's own text comes first: what is noted about an editable install, and what a build leaves in the tree, may be older.
    """
    try:
        project = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        project = {}
    if project.get("name") == NAME:
        return str(project["version"])
    try:
        return metadata.version(NAME)
    except metadata.PackageNotFoundError:
        return "(not installed)"
