"""The committed sample data is what its generator makes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DATA = Path(__file__).parents[4] / "data"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sample_generator", DATA / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    import sys

    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module


@pytest.mark.quick
@pytest.mark.parametrize("name", ["historical_sample.csv", "live_sample.csv"])
def test_sample_is_made_again_byte_for_byte(tmp_path: Path, generate: ModuleType, name: str) -> None:
    generate.main(tmp_path)

    assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes()
    assert (DATA / name).stat().st_size < 2_500_000
