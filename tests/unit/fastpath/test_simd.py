"""Which spelling of the kernels runs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fastpath import SIMD_LEVELS
from fastpath.values import simd_level


def _level_with(setting: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from fastpath.values import simd_level; print(simd_level())"],
        env=os.environ | {"FASTPATH_SIMD": setting},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("wanted", SIMD_LEVELS)
def test_the_environment_lowers_the_level_and_never_raises_it(wanted: str) -> None:
    best = _level_with("").stdout.strip()

    chosen = _level_with(wanted).stdout.strip()

    assert chosen == min(wanted, best, key=SIMD_LEVELS.index)


def test_this_process_says_its_level() -> None:
    assert simd_level() in SIMD_LEVELS


def test_an_unknown_level_is_refused_by_name() -> None:
    refused = _level_with("avx3")

    assert refused.returncode != 0
    assert "FASTPATH_SIMD is 'avx3'; use one of portable, avx2, avx512" in refused.stderr
