"""A private Postgres for tests: its own cluster in a folder of its own, on a free port, never reachable from elsewhere."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.ports import free_port

__all__ = ["PostgresForTests", "postgres_missing", "shared_postgres"]

USER: Final = "midstream"
PATIENCE_S: Final = 60.0


def _binaries() -> Path | None:
    """Return the folder of the newest server that is installed."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    on_path = shutil.which("initdb")
    if on_path is not None:
        found.append(Path(on_path).resolve().parent)
    return max(found, default=None, key=lambda path: path.parent.name.zfill(4))


def _account() -> pwd.struct_passwd | None:
    """Return the user to run as: Postgres refuses root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


def postgres_missing() -> str:
    """Return why there can be no Postgres here; empty where there can."""
    if _binaries() is None:
        return "no Postgres server is installed (apt-get install postgresql)"
    if _account() is None:
        return "Postgres does not run as root, and there is no other user to run it as"
    return ""


class PostgresForTests:
    """A running server. `stop` ends it politely, `kill` as a power cut would; `start` brings it back with its data, on the same port."""

    def __init__(self) -> None:
        binaries, account = _binaries(), _account()
        assert binaries is not None, postgres_missing()
        assert account is not None, postgres_missing()
        self._binaries = binaries
        self._account = account
        # Not below the folder of the test run: every run that begins makes that one private to root again.
        self._root = Path(tempfile.mkdtemp(prefix="midstream-postgres-"))
        self._data = self._root / "data"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            os.chown(self._root, account.pw_uid, account.pw_gid)
        subprocess.run(
            [str(binaries / "initdb"), "-D", str(self._data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            **self._as_account(),
        )
        self.start()

    @property
    def url(self) -> str:
        """URL of the database that every server has."""
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        """URL of a database by name."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def new_database(self, name: str) -> str:
        """Create an empty database and return its URL."""
        self._tool("createdb", name)
        return self.database_url(name)

    def start(self) -> None:
        """Start, and wait until it answers."""
        log = (self._root / "server.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [
                    *(str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self.port)),
                    *("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self._root}"),
                    *("-c", "fsync=off", "-c", "max_connections=50", "-c", "shared_buffers=16MB"),
                ],
                stdout=log,
                stderr=log,
                **self._as_account(),
            )
        deadline_s = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert self._process.poll() is None, (self._root / "server.log").read_text()
            assert time.monotonic() < deadline_s, "Postgres does not answer"
            time.sleep(0.05)

    def configure(self, settings: str, *, rules: str, files: Mapping[str, bytes]) -> None:
        """Start again with these settings, these rules of who may connect (`pg_hba.conf`) and these files, which are its own."""
        self.stop()
        for name, content in {
            **files,
            "postgresql.auto.conf": settings.encode(),
            "pg_hba.conf": rules.encode(),
        }.items():
            path = self._data / name
            path.write_bytes(content)
            path.chmod(0o600)
            if os.geteuid() == 0:
                os.chown(path, self._account.pw_uid, self._account.pw_gid)
        self.start()

    def stop(self) -> None:
        """Shut down fast: sessions are ended, data is kept."""
        self._end(lambda process: process.send_signal(2))

    def close(self) -> None:
        """Stop for good and remove everything."""
        self.stop()
        shutil.rmtree(self._root, ignore_errors=True)

    def kill(self) -> None:
        """End it without notice, as SIGQUIT does: recovery has to repair what was under way."""
        self._end(lambda process: process.send_signal(3))

    def end_sessions(self) -> None:
        """Cut every connection to the server but the one that asks for it."""
        self._sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )

    def _sql(self, statement: str) -> None:
        self._tool("psql", "-qAtc", statement, "postgres")

    def _tool(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._binaries / name), "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )

    def _answers(self) -> bool:
        asked = subprocess.run(
            [str(self._binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-q"],
            check=False,
            cwd="/",
        )
        return asked.returncode == 0

    def _end(self, signal: Callable[[subprocess.Popen[bytes]], None]) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                signal(self._process)
            self._process.wait(timeout=PATIENCE_S)
            self._process = None

    def _as_account(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {"cwd": "/"}
        return {"cwd": "/", "user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[PostgresForTests]:
    """One server for the whole run: take a `new_database` of it, and do not stop it. Import it in a `conftest.py` to use it."""
    if reason := postgres_missing():
        pytest.skip(reason)
    server = PostgresForTests()
    yield server
    server.close()
