"""`.ci/image` where it cannot build: it says why and ends well, but for CI, where an image that nobody built is a failure."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.imports import ROOT


@pytest.mark.parametrize(("ci", "code"), [pytest.param("", 0, id="anywhere"), pytest.param("true", 1, id="ci")])
def test_what_cannot_be_built_is_said_and_fails_on_ci_alone(tmp_path: Path, ci: str, code: int) -> None:
    somebody = tmp_path / "id"
    somebody.write_text("#!/bin/sh\necho 1000\n")
    somebody.chmod(0o755)

    done = subprocess.run(
        [ROOT / ".ci/image"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "CI": ci},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (code, "")
    assert "image: skipped: " in done.stdout
