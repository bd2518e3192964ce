"""Read from the source who imports whom, whether an import runs at start, inside a function, or only for the type checker."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("protos", "fastpath", "clients", "services")

# Cython's own syntax, in which kernels import at the left margin only.
_KERNEL_IMPORT: Final = re.compile(r"^(?:from\s+([\w.]+)\s+c?import\b|c?import\s+([\w.]+))")


@dataclass(frozen=True, slots=True)
class Import:
    """One name that a file imports, and where that is written."""

    line: int
    module: str
    """The dotted name behind `import` or `from`."""

    name: str | None = None
    """What is taken out of the module; none for a plain `import`."""


def imports_of(path: Path) -> list[Import]:
    """List what a file imports, wherever in the file that stands; an import that does not say the whole name is an error."""
    if path.suffix in (".pyx", ".pxd"):
        lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        return [Import(number, match[1] or match[2]) for number, line in lines if (match := _KERNEL_IMPORT.match(line))]
    found: list[Import] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found += [Import(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ValueError(f"{path}:{node.lineno} imports relatively; write the whole name of the module")
            found += [Import(node.lineno, node.module, alias.name) for alias in node.names]
    return sorted(found, key=lambda one: one.line)


def source_files(root: Path, packages: Iterable[str] = PACKAGES) -> list[Path]:
    """List every file of Python and Cython, stubs and generated code too."""
    return sorted(
        path
        for package in packages
        for path in (root / package).rglob("*")
        if path.suffix in (".py", ".pyi", ".pyx", ".pxd") and "__pycache__" not in path.parts
    )


def module_file(module: str, root: Path = ROOT) -> Path | None:
    """Say where a dotted module lies: its file, or its package's folder; None when there is none of that name."""
    place = root.joinpath(*module.split("."))
    for suffix in (".py", ".pyx", ".pyi"):
        if place.with_suffix(suffix).is_file():
            return place.with_suffix(suffix)
    return place if place.is_dir() else None


def modules_below(root: Path, packages: Iterable[str] = PACKAGES) -> dict[str, Path]:
    """Find every module by its dotted name; a package goes by its own. Generated code is not ours and left out."""
    files = (
        path
        for package in packages
        for path in (root / package).rglob("*.py")
        if not path.stem.endswith(("_pb2", "_pb2_grpc"))
    )
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in sorted(files)
    }


def import_graph(root: Path, packages: Iterable[str] = PACKAGES) -> dict[str, set[str]]:
    """Say of each module which others it names. That a package's `__init__` runs before its modules does not count as naming it."""
    modules = modules_below(root, packages)
    return {
        module: {_target(one, modules) for one in imports_of(path)} & modules.keys() - {module}
        for module, path in modules.items()
    }


def circles(root: Path, packages: Iterable[str] = PACKAGES) -> list[list[str]]:
    """Find the groups of modules that all need one another, each group sorted."""
    return circles_in(import_graph(root, packages))


def circles_in(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Find the groups of nodes that all lead to one another, and so to themselves."""
    reached = {node: _reachable(node, graph) for node in graph}
    groups = {
        tuple(sorted(other for other in reached[node] if node in reached.get(other, ())))
        for node in graph
        if node in reached[node]
    }
    return [list(group) for group in sorted(groups)]


def _target(one: Import, modules: Mapping[str, Path]) -> str:
    """Tell `from package import module` from a name that the package itself holds."""
    whole = f"{one.module}.{one.name}"
    return whole if whole in modules else one.module


def _reachable(start: str, graph: Mapping[str, Iterable[str]]) -> set[str]:
    reached: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        node = ahead.pop()
        if node not in reached:
            reached.add(node)
            ahead += graph.get(node, ())
    return reached
