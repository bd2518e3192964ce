"""Calls of loggers in a source tree, and what is wrong with them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from clients.logs import RESERVED
from tests.support.imports import source_files

METHODS: Final = ("debug", "info", "warning", "error", "exception", "critical", "log")
_VALUE: Final = re.compile(r"\w+=|%[sdrif]|\{\w*\}")


def complaints(root: Path) -> list[str]:
    """Return one line for each call whose event has values inside, or whose fields claim what they may not."""
    return [
        f"{path.relative_to(root).as_posix()}:{line}: {text}"
        for path in source_files(root)
        if path.suffix == ".py"
        for line, text in complaints_of(path.read_text(encoding="utf-8"))
    ]


def complaints_of(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and what is wrong there."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _is_log_call(node):
            yield from ((node.lineno, text) for text in _wrong_with_call(node))
        elif isinstance(node, ast.Call) and _name(node.func) == "fields":
            for keyword in node.keywords:
                if keyword.arg in RESERVED:
                    yield keyword.lineno, f"field `{keyword.arg}` has a meaning in every line already"
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _shadows_fields(node):
            yield node.lineno, f"`{node.name}` calls `fields` and has a variable of that name"


def _is_log_call(node: ast.Call) -> bool:
    return (
        isinstance(node.func, ast.Attribute) and node.func.attr in METHODS and "log" in _name(node.func.value).lower()
    )


def _wrong_with_call(node: ast.Call) -> Iterator[str]:
    assert isinstance(node.func, ast.Attribute)
    arguments = node.args[1:] if node.func.attr == "log" else node.args
    if not arguments or not isinstance(arguments[0], ast.Constant) or not isinstance(arguments[0].value, str):
        yield "the event is no constant"
        return
    if len(arguments) > 1:
        yield "values are arguments instead of fields"
    if _VALUE.search(arguments[0].value):
        yield f"the event has a place for a value: {arguments[0].value!r}"
    for keyword in node.keywords:
        if keyword.arg == "extra" and not (
            isinstance(keyword.value, ast.Call) and _name(keyword.value.func) == "fields"
        ):
            yield "`extra` is not `fields(...)`"


def _shadows_fields(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    inside = list(ast.walk(function))
    if not any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "fields" for node in inside
    ):
        return False
    return any(
        (isinstance(node, ast.Name) and node.id == "fields" and isinstance(node.ctx, ast.Store))
        or (isinstance(node, ast.arg) and node.arg == "fields")
        for node in inside
    )


def _name(node: ast.AST) -> str:
    """The last part of a dotted name; empty for what is none."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
