"""Every child that is a Python program is started by one module, which leaves the current folder out of what it imports from."""

from __future__ import annotations

import ast
import os
import subprocess
from pathlib import Path

import pytest

from services.runtime.child_python import bare_command, module_command
from services.runtime.parent_death import dying_with_parent
from tests.support.imports import ROOT, modules_below

HOME = "services.runtime.child_python"
STARTED = ("json", "runpy", "encodings", "this")
"""Modules that a child may import; `this` is one that nobody has imported yet."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose modules, named as the standard library's, all leave a mark."""
    for name in STARTED:
        (tmp_path / f"{name}.py").write_text("open('mark', 'w')\n")
    return tmp_path


def run(command: list[str], folder: Path, **variables: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=os.environ | variables, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_a_module_is_run_from_where_it_is_installed(folder: Path) -> None:
    said = run(module_command("this"), folder)

    assert "Namespaces are one honking great idea" in said
    assert not (folder / "mark").exists()


def test_a_bare_program_also_ignores_what_the_environment_says(folder: Path) -> None:
    program = bare_command("import this")

    assert "honking" in run(program, folder, PYTHONPATH=str(folder))
    assert "honking" in run(dying_with_parent(program), folder, PYTHONPATH=str(folder))
    assert not (folder / "mark").exists()


def test_nothing_else_in_the_product_starts_an_interpreter() -> None:
    starters = {
        module
        for module, path in modules_below(ROOT, ("services", "clients")).items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Constant) and node.value in ("-m", "-c"))
        or (isinstance(node, ast.alias) and node.name.split(".")[0] in ("multiprocessing", "runpy"))
        or (isinstance(node, ast.Name) and node.id == "ProcessPoolExecutor")
    }

    assert starters == {HOME}
