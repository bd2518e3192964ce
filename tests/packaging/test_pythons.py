"""The source archive as strangers install it: every supported Python, dependencies by their ranges, from the package index."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.imports import ROOT
from tests.support.installed import (
    Installed,
    replays_the_sample,
    serves_prices_orders_and_pages,
    serves_the_power_desk,
)
from tests.support.packages import BUILD_TIMEOUT_S, build, copy_tree

PYTHONS = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(2 * BUILD_TIMEOUT_S)]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("archive")
    return build("sdist", copy_tree(place / "tree"), place / "dist", kernels=False)


def interpreter(version: str) -> Path:
    """Find a Python of a version: on PATH, or among those of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    on_path = shutil.which(f"python{version}")
    for found in (*([Path(on_path)] if on_path else []), *sorted(pyenv.glob(f"versions/{version}.*/bin/python"))):
        asked = subprocess.run([found, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True)
        if asked.stdout.decode().strip() == version:
            return found
    pytest.skip(f"there is no Python {version} here")


@pytest.mark.parametrize("version", PYTHONS)
def test_every_python_installs_and_runs_it(version: str, archive: Path, tmp_path: Path) -> None:
    installed = Installed.fresh(interpreter(version), archive, tmp_path / "environment")
    folders = [tmp_path / name for name in ("replay", "serve", "power")]
    for folder in folders:
        folder.mkdir()

    installed.pip("check")
    replays_the_sample(installed, folders[0])
    serves_prices_orders_and_pages(installed, folders[1])
    serves_the_power_desk(installed, folders[2])
