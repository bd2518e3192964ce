"""`help()` of a kernel says what its stub says first."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import fastpath
from services.runtime.kernels import KERNELS

FOLDER = Path(fastpath.__path__[0])


def documented(kernel: str) -> dict[str, str | None]:
    """Public classes, functions and methods of a stub, with their docstrings."""
    found: dict[str, str | None] = {}
    for node in ast.parse((FOLDER / f"{kernel}.pyi").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            found[node.name] = ast.get_docstring(node)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{method.name}": ast.get_docstring(method)
                for method in node.body
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_") and not method.decorator_list
            }
    return found


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_public_object_of_a_kernel_says_what_it_is_for(kernel: str) -> None:
    module = importlib.import_module(f"fastpath.{kernel}")
    stub = documented(kernel)

    assert stub
    for name, text in {"": ast.get_docstring(ast.parse((FOLDER / f"{kernel}.pyi").read_text("utf-8"))), **stub}.items():
        here = module
        for part in filter(None, name.split(".")):
            here = getattr(here, part)
        assert text is not None, name
        assert (inspect.getdoc(here) or "").split("\n")[0] == text.split("\n")[0], name
