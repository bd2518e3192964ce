"""The list of kernels, and the files that each of them is built from."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from services.runtime.kernels import KERNELS

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("midstream_setup", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_built_is_what_a_start_checks(build: ModuleType) -> None:
    assert tuple(build.KERNELS) == KERNELS
    assert "merge" in KERNELS


@pytest.mark.parametrize(
    ("header", "users"),
    [
        ("log_lines.hpp", {"midprice"}),
        ("survey.hpp", {"survey", "whatif"}),
        ("spill.hpp", {"merge"}),
        ("times.hpp", {"decode", "header", "live", "recording", "row_decoder", "skim", "values", "whatif"}),
        ("tick_reader.hpp", {"frame", "latest", "mids", "midprice", "quotes", "weave", "whatif"}),
    ],
)
def test_a_header_is_known_to_the_kernels_that_use_it_and_to_no_other(
    build: ModuleType, header: str, users: set[str]
) -> None:
    assert {kernel for kernel in KERNELS if header in build.used_files(kernel)} == users


def test_every_header_belongs_to_a_kernel(build: ModuleType) -> None:
    used = set().union(*(build.used_files(kernel) for kernel in KERNELS))

    assert used == {path.name for suffix in ("hpp", "pxd") for path in (ROOT / "fastpath").glob(f"*.{suffix}")}


def test_a_header_that_a_header_includes_counts(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "fastpath"
    shutil.copytree(ROOT / "fastpath", folder, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    log_lines = folder / "log_lines.hpp"
    log_lines.write_text('#include "new.hpp"\n' + log_lines.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "new.hpp").touch()
    monkeypatch.setattr(build, "FASTPATH", folder)

    assert [kernel for kernel in KERNELS if "new.hpp" in build.used_files(kernel)] == ["midprice"]


def test_no_file_of_a_kernel_names_a_header_or_kernel_that_the_build_overlooks(build: ModuleType) -> None:
    for kernel in KERNELS:
        for name in (f"{kernel}.pyx", *build.used_files(kernel)):
            text = (ROOT / "fastpath" / name).read_text(encoding="utf-8")
            named = set(re.findall(r'"(\w+\.hpp)"', text)) | {
                f"{other}.pxd" for other in re.findall(r"fastpath\.(\w+) cimport", text)
            }
            assert named <= build.used_files(kernel), name
