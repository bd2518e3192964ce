"""S19: what we make is ours alone, whatever the umask; what was wider becomes so."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from clients.database import open_database, writing
from clients.secrets.private_files import (
    make_private,
    make_private_below,
    open_private,
    private_directory,
    shared_directory,
    write_once,
)
from tests.support.log_records import said


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_private_directory_and_what_is_above_it(tmp_path: Path) -> None:
    private_directory(tmp_path / "a" / "b")

    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "b")) == (0o755, 0o700)


def test_what_is_there_becomes_private(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wide = tmp_path / "wide"
    wide.mkdir(mode=0o777)
    file = wide / "file"
    file.write_text("x")
    assert mode(file) == 0o666

    private_directory(wide)
    os.close(open_private(file, os.O_RDONLY))

    assert (mode(wide), mode(file)) == (0o700, 0o600)
    assert said(caplog.records) == [
        ("made private, others could use it", {"path": wide, "mode": "0777"}),
        ("made private, others could use it", {"path": file, "mode": "0666"}),
    ]
    private_directory(wide)
    assert len(caplog.records) == 2


def test_a_tree_becomes_private_and_links_are_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("x")
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "script").touch(mode=0o755)
    (tree / "link").symlink_to(elsewhere)

    make_private_below(tree)
    make_private(tmp_path / "nothing there")

    assert (mode(tree), mode(tree / "deep"), mode(tree / "deep" / "script")) == (0o700, 0o700, 0o700)
    assert mode(elsewhere) == 0o666


def test_a_shared_directory_is_nobody_elses_to_write_to(tmp_path: Path) -> None:
    assert mode(shared_directory(tmp_path / "x")) == 0o755


def test_a_file_that_is_written_once_is_whole_private_and_the_firsts(tmp_path: Path) -> None:
    assert write_once(tmp_path / "secret", b"first")
    assert not write_once(tmp_path / "secret", b"second")

    assert (tmp_path / "secret").read_bytes() == b"first"
    assert mode(tmp_path / "secret") == 0o600
    assert os.listdir(tmp_path) == ["secret"]


@pytest.mark.parametrize("exists", [False, True], ids=["new", "old"])
def test_a_database_is_private_with_its_companions(exists: bool, tmp_path: Path) -> None:
    path = tmp_path / "var" / "orders.db"

    async def write() -> list[int]:
        engine = open_database(f"sqlite:///{path}", application="test")
        async with writing(engine) as connection:
            await connection.execute(text("CREATE TABLE IF NOT EXISTS x (y INTEGER)"))
        modes = [mode(path.with_name(path.name + suffix)) for suffix in ("", "-wal", "-shm")]
        await engine.dispose()
        return modes

    if exists:
        asyncio.run(write())
        path.chmod(0o644)

    assert asyncio.run(write()) == [0o600] * 3
    assert mode(path.parent) == 0o755
