"""Folders for the time of a piece of work, and what becomes of those whose process was killed."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.scratch import scratch_directory

WAITING = "from services.runtime.scratch import scratch_directory\nwith scratch_directory() as f: print(f, flush=True); input()"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def other() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process that has a folder, with something in it."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    (folder / "redis").mkdir()
    (folder / "redis/queue").write_text("records")
    yield process, folder
    process.kill()
    process.communicate()


def test_a_folder_is_private_and_gone_at_the_end(temporary: Path) -> None:
    with scratch_directory() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "deep").mkdir()
        (folder / "deep/file").write_text("x")

    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(
    temporary: Path, other: tuple[subprocess.Popen[str], Path]
) -> None:
    process, left = other
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert left.exists()

    with scratch_directory() as folder:
        assert list(temporary.iterdir()) == [folder]


def test_what_is_in_use_or_is_none_of_ours_stays(temporary: Path, other: tuple[subprocess.Popen[str], Path]) -> None:
    _, used = other
    # One that is being made, a link, and something of another name.
    unlocked = temporary / "midstream-scratch-new"
    unlocked.mkdir()
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "in-use").touch()
    (temporary / "midstream-scratch-link").symlink_to(elsewhere)

    with scratch_directory():
        pass

    assert (used / "redis/queue").read_text() == "records"
    assert unlocked.exists()
    assert (elsewhere / "in-use").exists()
