"""Builds what would be released, out of the files that are committed or about to be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.support.imports import ROOT

BUILD_TIMEOUT_S: Final = 900.0
"""The kernels take a minute of a processor, and CI has two of them for everything."""
_BUILD: Final = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def tree_files(root: Path = ROOT) -> list[str]:
    """List the files of the tree: what is committed, and what is new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"],
        cwd=root,
        capture_output=True,
        check=True,
    )
    names = listed.stdout.decode().split("\0")
    return sorted(name for name in names if name and (root / name).is_file())


def copy_tree(to: Path, root: Path = ROOT) -> Path:
    """Copy those files, links as links, so that nothing that an earlier build left has a say. Return the copy."""
    for name in tree_files(root):
        place = to / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, place, follow_symlinks=False)
    return to


def build(kind: str, tree: Path, to: Path, *, kernels: bool) -> Path:
    """Have setuptools build `sdist` or `wheel` as pip would, with the tools of this environment; without kernels it takes seconds."""
    environment = {
        **os.environ,
        "FASTPATH_SKIP": "0" if kernels else "1",
        # Whether a classifier exists would be asked on the internet.
        "VALIDATE_PYPROJECT_NO_NETWORK": "1",
    }
    to.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, f"build_{kind}", str(to)],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return to / done.stdout.splitlines()[-1]


def unpack(archive: Path, to: Path) -> Path:
    """Unpack a source archive; return its one folder."""
    with tarfile.open(archive) as opened:
        opened.extractall(to, filter="data")
    (folder,) = to.iterdir()
    return folder


def python_of(environment: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    return environment / "bin" / "python"


def strangers_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of somebody who has no checkout: nothing of ours is found by a variable."""
    dropped = ("PYTHONPATH", "PYTHONSAFEPATH", "VIRTUAL_ENV")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in dropped and not name.startswith(("MIDSTREAM_", "COVERAGE"))
    }
    return {**kept, "COLUMNS": "80", **(extra or {})}
