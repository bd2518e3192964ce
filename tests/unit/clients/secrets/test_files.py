"""Key files that others can use are refused (S19)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clients.secrets import SecretRefused, read_secret_file
from clients.secrets.files import SIZE_MAX

SECRET = "canary-secret-51be02"


def write(path: Path, content: bytes = SECRET.encode(), mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.quick
@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=["nothing", "LF", "CRLF"])
def test_a_private_file_is_read_without_its_line_end(tmp_path: Path, end: str) -> None:
    path = write(tmp_path / "key", (SECRET + end).encode(), 0o400)

    assert read_secret_file(path) == SECRET


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o601, 0o610], ids=oct)
def test_s19_a_file_that_group_or_world_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "key", mode=mode)

    with pytest.raises(SecretRefused, match="chmod 600") as refusal:
        read_secret_file(path)

    assert f"{mode:04o}" in str(refusal.value)
    assert SECRET not in str(refusal.value)


def test_s19_a_file_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "key")
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)

    with pytest.raises(SecretRefused, match="belongs to user id"):
        read_secret_file(path)


def test_a_link_is_refused_even_to_a_private_file(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(write(tmp_path / "key"))

    with pytest.raises(SecretRefused, match="symbolic link"):
        read_secret_file(link)


def test_a_fifo_is_refused_at_once_instead_of_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path, 0o600)

    with pytest.raises(SecretRefused, match="regular file"):
        read_secret_file(path)


@pytest.mark.parametrize("path", ["/dev/zero", "/"], ids=["a device", "a directory"])
def test_what_is_no_regular_file_is_refused(path: str) -> None:
    with pytest.raises(SecretRefused, match="regular file"):
        read_secret_file(Path(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecretRefused, match="missing"):
        read_secret_file(tmp_path / "missing")


def test_a_file_larger_than_any_key_is_refused(tmp_path: Path) -> None:
    read_secret_file(write(tmp_path / "largest", b"x" * SIZE_MAX))

    with pytest.raises(SecretRefused, match="larger"):
        read_secret_file(write(tmp_path / "larger", b"x" * (SIZE_MAX + 1)))


def test_a_file_that_is_not_ascii_is_refused_without_being_shown(tmp_path: Path) -> None:
    with pytest.raises(SecretRefused) as refusal:
        read_secret_file(write(tmp_path / "key", SECRET.encode() + b"\xff"))

    assert SECRET not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__
