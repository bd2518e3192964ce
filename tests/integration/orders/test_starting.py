"""What an orders server says and how it ends when its journal cannot be opened: now, or like this."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import ROOT, clean_environment
from tests.support.ports import free_port
from tests.support.postgres import PostgresForTests, postgres_missing


def started(url: str, out: Path) -> subprocess.CompletedProcess[str]:
    """Run an orders server on a journal that it cannot open."""
    environment = {
        "MIDSTREAM_OUT": str(out),
        "MIDSTREAM_ORDERS_DATABASE_URL": url,
        "MIDSTREAM_ORDERS_PORT": "0",
        "MIDSTREAM_ORDERS_METRICS_PORT": "0",
        "MIDSTREAM_ORDERS_WEB_PORT": "0",
        "MIDSTREAM_TRADING": "dry-run",
        "MIDSTREAM_LOG_LEVEL": "warning",
    }
    return subprocess.run(
        [sys.executable, "-m", "services.orders"],
        cwd=ROOT,
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://me:hunter2@127.0.0.1:{port}/orders", "Connect call failed"),
        ("postgresql://me:hunter2@no-such-host.invalid/orders", "cannot be opened now"),
    ],
    ids=["nobody listens", "no such host yet"],
)
def test_a_database_that_is_away_is_waited_for(tmp_path: Path, url: str, words: str) -> None:
    ended = started(url.format(port=free_port()), tmp_path)

    assert ended.returncode == 75, ended.stderr
    [line] = ended.stderr.splitlines()
    assert words in line
    assert "hunter2" not in line


@pytest.mark.long
def test_a_file_that_is_no_database_and_one_that_cannot_be_there_have_to_be_mended(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_bytes(b"what is this?" * 1000)
    (tmp_path / "notes.db").chmod(0o644)

    for path, words in ((tmp_path / "notes.db", "file is not a database"), (Path("/proc/x/y.db"), "unable to open")):
        ended = started(f"sqlite:///{path}", tmp_path)

        assert ended.returncode == 2, ended.stderr
        [line] = ended.stderr.splitlines()
        assert words in line
        assert line.endswith("mend that, or set MIDSTREAM_DATABASE_URL")
    assert (tmp_path / "notes.db").stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(bool(postgres_missing()), reason=postgres_missing() or "there is one")
def test_a_stranger_and_a_database_that_is_not_there_have_to_be_mended(
    shared_postgres: PostgresForTests, tmp_path: Path
) -> None:
    server = shared_postgres.url.rsplit("/", 1)[0]
    stranger = "postgresql://nobody-here:hunter2@" + server.partition("@")[2] + "/postgres"

    for url, words in ((stranger, "nobody-here"), (f"{server}/nowhere", '"nowhere" does not exist')):
        ended = started(url, tmp_path)

        assert ended.returncode == 2, ended.stderr
        [line] = ended.stderr.splitlines()
        assert words in line
        assert "hunter2" not in line
