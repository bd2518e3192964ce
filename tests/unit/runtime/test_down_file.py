"""What a supervisor tells others about servers that are down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.runtime.down_file import DownFile

pytestmark = pytest.mark.quick

DOWN = {"control": "the control server ended with exit code 1, 6 times in a row"}


def test_what_is_down_is_read_back_until_it_is_taken_away(tmp_path: Path) -> None:
    file = DownFile(tmp_path / "out")
    assert file.read() == {}

    file.write(DOWN)
    assert file.read() == DOWN
    assert os.listdir(tmp_path / "out/.midstream") == ["down.json"]

    file.remove()
    file.remove()
    assert file.read() == {}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        "{}",
        '{"pid": "x", "down": {}}',
        '{"pid": 1, "down": []}',
        '{"pid": 1e400}',
        "\xff",
    ],
)
def test_a_file_that_cannot_be_read_says_nothing(tmp_path: Path, content: str) -> None:
    file = DownFile(tmp_path)
    file.write(DOWN)
    (tmp_path / ".midstream/down.json").write_bytes(content.encode("latin-1"))

    assert file.read() == {}


def test_a_supervisor_that_is_gone_says_nothing(tmp_path: Path) -> None:
    file = DownFile(tmp_path)
    file.write(DOWN)
    path = tmp_path / ".midstream/down.json"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pid": ended.pid}))

    assert file.read() == {}
