"""Read from the source who imports whom, whether an import runs at start, inside a function, or only for the type checker."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PACKAGES: Final = ("protos", "fastpath", "clients", "services")


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
    found: list[Import] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found += [Import(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ValueError(f"{path}:{node.lineno} imports relatively; write the whole name of the module")
            found += [Import(node.lineno, node.module, alias.name) for alias in node.names]
    return sorted(found, key=lambda one: one.line)


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
