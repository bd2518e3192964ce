"""The column "may import" of ARCHITECTURE.md, and which imports of a tree it forbids."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.support.imports import PACKAGES, Import, imports_of, module_file, source_files

ALL: Final = "all"
_NOTHING: Final = ("nothing", "nothing of ours")
_SHORT: Final = {"runtime": "services/runtime"}

Layers = Mapping[str, frozenset[str]]
"""Folder -> what it may import: folders, or `all`."""


class BadTable(Exception):
    """The table cannot be read as one."""


def read_table(text: str) -> Layers:
    """Read the table below `## Folders`; raise BadTable where a cell is none of the words that it knows."""
    if "\n## Folders\n" not in text:
        raise BadTable("there is no section `## Folders`")
    layers: dict[str, frozenset[str]] = {}
    for line in text.split("\n## Folders\n")[1].split("\n## ")[0].splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("| `"):
            continue
        if len(cells) != 3:
            raise BadTable(f"{len(cells)} cells instead of 3: {line[:60]}")
        allowed = frozenset(part for word in _words(cells[2]) for part in _folders(word))
        for folder in (name for word in _words(cells[0]) for name in _braces(word.strip("`/ "))):
            if folder in layers:
                raise BadTable(f"two rows for {folder}")
            layers[folder] = allowed
    return layers


def forbidden(root: Path, layers: Layers) -> list[str]:
    """Return one line for each import that no row allows."""
    found = []
    for path in source_files(root):
        home = _row(path.relative_to(root).as_posix(), layers)
        # A file outside every row, like a package's `__init__`, may import nothing of ours.
        allowed = layers.get(home, frozenset())
        if ALL in allowed:
            continue
        for each in imports_of(path):
            module = _module(each, root)
            target = module.replace(".", "/")
            if target.split("/")[0] not in PACKAGES:
                continue
            own = bool(home) and _row(target, layers) == home
            if not own and not any(_inside(target, folder) for folder in allowed):
                file = path.relative_to(root).as_posix()
                found.append(f"{file}:{each.line}: {home or 'no row'} may not import {module}")
    return found


def without_row(root: Path, layers: Layers) -> list[str]:
    """Return the folders that no row is about, and the rows that are about no folder."""
    folders = [package for package in ("protos", "fastpath") if (root / package).is_dir()]
    for package in ("clients", "services"):
        below = sorted((root / package).iterdir()) if (root / package).is_dir() else []
        folders += [f"{package}/{each.name}" for each in below if any(each.glob("**/*.py"))]
    problems = [f"no row for {folder}" for folder in folders if folder not in layers]
    return problems + [f"no folder for the row {row}" for row in layers if not (root / row).is_dir()]


def _module(one: Import, root: Path) -> str:
    """Return the module itself where `from package import module` takes one, else what stands behind `from` or `import`."""
    whole = f"{one.module}.{one.name}"
    return whole if one.name is not None and module_file(whole, root) is not None else one.module


def _words(cell: str) -> list[str]:
    """Split at the commas outside braces."""
    return [word.strip() for word in re.split(r",\s*(?![^{}]*\})", cell.replace("`", "")) if word.strip()]


def _folders(word: str) -> list[str]:
    if word in _NOTHING:
        return []
    if word == ALL:
        return [ALL]
    names = [_SHORT.get(name, name).strip("/") for name in _braces(word)]
    unknown = [name for name in names if name.split("/")[0] not in PACKAGES]
    if unknown:
        raise BadTable(f"`{unknown[0]}` is no folder")
    return names


def _braces(word: str) -> list[str]:
    """Turn `a/{b,c}` into `a/b` and `a/c`."""
    found = re.fullmatch(r"([^{}]*)\{([^{}]*)\}([^{}]*)", word)
    return [word] if found is None else [f"{found[1]}{part.strip()}{found[3]}" for part in found[2].split(",")]


def _row(path: str, layers: Layers) -> str:
    """Return the row that a path belongs to: the longest, empty where there is none."""
    return max((row for row in layers if _inside(path, row)), key=len, default="")


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
