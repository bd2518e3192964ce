"""Every spelling of the decoder gives the same rows, rejections and places, however a file is fed.

The seed of every file stands in the name of its test.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from fastpath import SIMD_LEVELS
from tests.reference.decode import decode_file
from tests.unit.fastpath.decode_support import comparable, decode_with_kernel
from tests.unit.fastpath.plain_files import (
    ODD_OPTIONS,
    OPTIONS,
    SEEDS,
    boundary_digests,
    decoded_digests,
    odd_content,
    plain_content,
)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


@pytest.fixture(scope="module")
def expected() -> list[str]:
    """What this process makes of every file; the twin confirms the files one by one."""
    return [*decoded_digests(), *boundary_digests()]


@pytest.mark.parametrize("tardis", [False, True], ids=["assignment", "tardis"])
@pytest.mark.parametrize("seed", SEEDS)
def test_plain_files_decode_as_the_twin_says(seed: int, tardis: bool) -> None:
    content, options = plain_content(seed, tardis=tardis), OPTIONS[seed % len(OPTIONS)]
    twin = comparable(decode_file(content, options))

    assert comparable(decode_with_kernel(content, options)) == twin
    assert comparable(decode_with_kernel(content, options, random.Random(seed))) == twin


@pytest.mark.parametrize("tardis", [False, True], ids=["assignment", "tardis"])
def test_every_odd_text_in_every_column_decodes_as_the_twin_says(tardis: bool) -> None:
    content = odd_content(tardis=tardis)

    assert comparable(decode_with_kernel(content, ODD_OPTIONS)) == comparable(decode_file(content, ODD_OPTIONS))


@pytest.mark.parametrize("level", SIMD_LEVELS)
def test_every_spelling_gives_the_same_and_reads_nothing_beyond_the_buffer(level: str, expected: list[str]) -> None:
    child = subprocess.run(
        [sys.executable, "-m", "tests.unit.fastpath.plain_files"],
        env=os.environ | {"FASTPATH_SIMD": level, "PYTHONPATH": ROOT},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert child.returncode == 0, child.stderr
    assert child.stdout.split() == expected


def test_where_a_chunk_lies_in_memory_makes_no_difference() -> None:
    digests = list(boundary_digests())

    assert len(set(digests)) > 2 * 3
    # Each chunk was fed behind the first guard page and in front of the last one.
    for layout in (digests[:403], digests[403:]):
        assert layout[:400:2] == layout[1:400:2]
