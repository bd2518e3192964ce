"""Postgres over TLS: who is verified by which sslmode, and what is said when it does not come about."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from clients.database import DatabaseRefused, is_unavailable, open_database, opening
from clients.database.tls import TlsTrouble
from tests.support.postgres import PostgresForTests
from tests.support.tls import Authority

pytestmark = pytest.mark.needs("postgres")

ANYBODY = "host all all 127.0.0.1/32 trust\n"
ONLY_TLS = "hostssl all all 127.0.0.1/32 trust\n"
ONLY_CERTIFICATES = "hostssl all all 127.0.0.1/32 cert\n"
NO_TLS = "ssl = off\n"
TLS = "ssl = on\nssl_ca_file = 'root.crt'\n"


class Stage:
    """A Postgres whose certificate is for `localhost`."""

    def __init__(self, folder: Path) -> None:
        self.postgres = PostgresForTests()
        self.authority = Authority()
        self.ca = self.authority.write(folder)
        self.other_ca = Authority().write(folder, "other")
        self.cert, self.key = self.authority.pair(common_name="midstream").write(folder, "client")

    def rules(self, rules: str, settings: str = TLS) -> None:
        pair = self.authority.pair("localhost")
        files = {"server.crt": pair.chain, "server.key": pair.key, "root.crt": self.authority.pem}
        self.postgres.configure(settings, rules=rules, files=files)

    async def encrypted(self, *, host: str = "localhost", **query: object) -> bool:
        """Connect with these arguments of the URL; whether that speaks TLS."""
        arguments = "&".join(f"{name}={value}" for name, value in query.items())
        engine = open_database(
            f"postgresql://midstream@{host}:{self.postgres.port}/postgres?{arguments}", application="test"
        )
        try:
            with opening():
                async with engine.connect() as connection:
                    said = await connection.execute(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
                    return bool(said.scalar_one())
        finally:
            await engine.dispose()

    async def refusal(self, *, host: str = "localhost", **query: object) -> str:
        with pytest.raises(DatabaseRefused) as refused:
            await self.encrypted(host=host, **query)
        assert "\n" not in str(refused.value)
        return str(refused.value)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("postgres-tls"))
    yield made
    made.postgres.close()


async def test_each_mode_verifies_what_it_says(stage: Stage) -> None:
    stage.rules(ANYBODY)
    good, bad = {"sslrootcert": stage.ca}, {"sslrootcert": stage.other_ca}

    assert await stage.encrypted(sslmode="disable") is False
    assert await stage.encrypted()
    assert await stage.encrypted(sslmode="require")
    assert await stage.encrypted(ssl="require")
    assert await stage.encrypted(sslmode="verify-ca", **good, host="127.0.0.1")
    assert await stage.encrypted(sslmode="verify-full", **good)

    # As in psql: with authorities, `require` looks at them.
    for mode in ("require", "verify-ca", "verify-full"):
        said = await stage.refusal(sslmode=mode, **bad)
        assert "is from an authority that is not trusted here" in said
        assert said.endswith("name the file of its authority with sslrootcert=")
    assert "sslrootcert=" in await stage.refusal(sslmode="verify-full")

    said = await stage.refusal(sslmode="verify-full", **good, host="127.0.0.1")
    assert "is for another name" in said
    assert said.endswith("use a name from the certificate in the URL")


async def test_server_that_wants_tls_or_a_certificate_says_so(stage: Stage) -> None:
    stage.rules(ONLY_TLS)
    assert (await stage.refusal(sslmode="disable")).endswith(
        "takes us only with TLS: add sslmode=verify-full to the URL"
    )

    stage.rules(ONLY_CERTIFICATES)
    full = {"sslmode": "verify-full", "sslrootcert": stage.ca}
    assert (await stage.refusal(**full)).endswith("wants a client certificate: add sslcert= and sslkey= to the URL")
    assert await stage.encrypted(**full, sslcert=stage.cert, sslkey=stage.key)
    assert "key values mismatch" in await stage.refusal(**full, sslcert=stage.ca, sslkey=stage.key)


async def test_server_without_tls_is_told_apart_from_one_that_is_away(stage: Stage) -> None:
    stage.rules(ANYBODY, NO_TLS)
    assert await stage.encrypted() is False

    said = await stage.refusal(sslmode="verify-full", sslrootcert=stage.ca)

    assert said.endswith("speaks no TLS: turn it on there (`ssl = on`), or use sslmode=disable")
    # While a server runs it is an outage like others: certificates are being changed, perhaps.
    assert is_unavailable(TlsTrouble(said))


def test_orders_end_with_one_sentence(stage: Stage, tmp_path: Path) -> None:
    stage.rules(ANYBODY)

    ended = subprocess.run(
        [sys.executable, "-m", "services.orders"],
        env={
            "PATH": "/usr/bin:/bin",
            "MIDSTREAM_OUT": str(tmp_path),
            "MIDSTREAM_ORDERS_PORT": "0",
            "MIDSTREAM_ORDERS_METRICS_PORT": "0",
            "MIDSTREAM_ORDERS_WEB_PORT": "0",
            "MIDSTREAM_DATABASE_URL": f"postgresql://midstream:geheim@localhost:{stage.postgres.port}/postgres?sslmode=verify-full",
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert ended.returncode == 2, ended.stderr
    assert "name the file of its authority with sslrootcert=" in ended.stderr
    assert "geheim" not in ended.stderr
    assert "Traceback" not in ended.stderr
