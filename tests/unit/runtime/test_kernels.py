"""A missing build of the extension is one clear line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.runtime.kernels import is_kernel_error


def _launch(tmp_path: Path, body: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "wired.py").write_text(body, encoding="utf-8")
    program = f"import sys; sys.path.append({str(tmp_path)!r})\nfrom services.runtime.kernels import launch\nlaunch('wired:main')"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize(
    "cause",
    [
        "import sys\nsys.modules['fastpath.merge'] = None\nimport fastpath.merge\n",
        "raise ImportError('undefined symbol: PyX', name='fastpath.merge', path='fastpath/merge.so')\n",
        "raise ImportError(\"cannot import name 'merge' from 'fastpath' (fastpath/__init__.py)\", name='fastpath')\n",
    ],
    ids=["missing", "unloadable", "by-name"],
)
def test_missing_build_names_make_build_ext_and_exits_with_2(tmp_path: Path, cause: str) -> None:
    outcome = _launch(tmp_path, cause)

    assert outcome.returncode == 2
    assert "make build-ext" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_other_import_errors_keep_their_traceback(tmp_path: Path) -> None:
    outcome = _launch(tmp_path, "import no_such_module\n")

    assert outcome.returncode == 1
    assert "no_such_module" in outcome.stderr
    assert "make build-ext" not in outcome.stderr
    assert not is_kernel_error(ImportError("x", name="redis"))


def test_result_of_the_function_is_the_exit_code(tmp_path: Path) -> None:
    assert _launch(tmp_path, "def main(): return 3\n").returncode == 3
    assert _launch(tmp_path, "def main(): return None\n").returncode == 0


def test_refusal_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    outcome = _launch(
        tmp_path, "from services.runtime.errors import StartRefused\ndef main(): raise StartRefused('no; do this')\n"
    )

    assert (outcome.returncode, outcome.stderr) == (2, "no; do this\n")
