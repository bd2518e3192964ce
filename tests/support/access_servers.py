"""Every server as a process with TLS and all ways to say who calls, and callers of every kind."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
import redis

from clients.database import open_database
from services.orders.journal import prepare_orders_database
from services.runtime.access import Role
from services.runtime.access.keys import create_key, pepper_source, prepare_keys, revoke_key
from tests.support.cli import ROOT
from tests.support.issuer import AUDIENCE, ISSUER, Issuer
from tests.support.server_process import ServerProcess
from tests.support.tls import Authority, Pair

SERVERS: Final = ("control", "replay", "price", "health", "orders", "reporting")
CERTIFICATES: Final = {
    "read": "spiffe://desk/read", "control": "spiffe://desk/control", "trade": "spiffe://desk/trade",
    "admin": "spiffe://desk/admin",
}  # fmt: skip


@dataclass(frozen=True)
class Visitor:
    """Somebody who calls."""

    pair: Pair
    authorization: str = field(default="", repr=False)
    roles: frozenset[Role] | None = None
    """What it may; None is nobody."""
    reaches: bool = True
    """Whether TLS lets it in at all."""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", self.authorization),) if self.authorization else ()


class Estate:
    """All servers of one desk."""

    def __init__(self, directory: Path, redis_url: str) -> None:
        self.directory = directory
        self.redis_url = redis_url
        self.authority = Authority()
        self.issuer = Issuer()
        self.database = directory / "orders.db"
        self.keys, self.key_ids = asyncio.run(self._make_keys())
        self.servers: dict[str, ServerProcess] = {}

    def settings(self) -> dict[str, str]:
        """Return what every server is started with."""
        cert, key = self.authority.pair("localhost", "127.0.0.1").write(self.directory, "server")
        key_set = self.directory / "issuer.json"
        key_set.write_text(json.dumps(self.issuer.key_set()))
        return {
            "REDIS_URL": self.redis_url,
            "SESSION": "matrix",
            "HISTORICAL": str(ROOT / "data" / "historical_sample.csv"),
            "PRICE_EXCHANGES": "",
            "SPEED": "1",
            "ORDERS_DATABASE_URL": f"sqlite:///{self.database}",
            "REPORTING_DATABASE_URL": f"sqlite:///{self.directory / 'desk.db'}",
            "ORDERS_WEB_PORT": "0",
            "REPORTING_WEB_PORT": "0",
            "AUTH": "keys,certificates,tokens",
            "TLS_CERT": str(cert),
            "TLS_KEY": str(key),
            "TLS_CLIENT_CA": str(self.authority.write(self.directory)),
            "TLS_ROLES": ",".join(f"uri:{name}={role}" for role, name in CERTIFICATES.items()),
            "TOKEN_ISSUER": ISSUER,
            "TOKEN_AUDIENCE": AUDIENCE,
            "TOKEN_KEYS_URL": key_set.as_uri(),
        }

    def port(self, server: str, kind: str = "port") -> int:
        """Return where a server listens."""
        return int(self.servers[server].announcement[kind])

    def channel(self, server: str, visitor: Visitor) -> grpc.Channel:
        """Return a new channel as somebody; close it."""
        credentials = grpc.ssl_channel_credentials(self.authority.pem, visitor.pair.key, visitor.pair.chain)
        return grpc.secure_channel(f"localhost:{self.port(server)}", credentials)

    def visitors(self) -> dict[str, Visitor]:
        """Return callers of every kind. Whoever is known by a key or a token shows a certificate that has no role."""
        stranger = self.authority.pair("spiffe://desk/nobody")
        found = {
            "nobody": Visitor(stranger),
            "wrong authority": Visitor(
                Authority().pair(CERTIFICATES["admin"]), f"Bearer {self.keys['admin']}", reaches=False
            ),
            "certificate with the role's name as common name": Visitor(
                self.authority.pair(common_name=CERTIFICATES["admin"])
            ),
            "no scheme": Visitor(stranger, self.keys["admin"]),
        }
        for name, key in self.keys.items():
            roles = None if name in ("revoked", "expired") else frozenset(Role(role) for role in name.split("+"))
            found[f"key {name}"] = Visitor(stranger, f"Bearer {key}", roles)
        unknown = f"mk_{'0' * 16}_{'x' * 43}"
        found["key unknown"] = Visitor(stranger, f"Bearer {unknown}")
        found["key with another's secret"] = Visitor(
            stranger, f"Bearer {self.keys['admin'][:20]}{self.keys['read'][20:]}"
        )
        for role, name in CERTIFICATES.items():
            found[f"certificate {role}"] = Visitor(self.authority.pair(name), "", frozenset({Role(role)}))
            found[f"token {role}"] = Visitor(stranger, f"Bearer {self.issuer.token(role)}", frozenset({Role(role)}))
        found["token without a role"] = Visitor(stranger, f"Bearer {self.issuer.token()}", frozenset())
        bad = self.issuer.bad_tokens("admin")
        for reason in (
            "wrong audience",
            "algorithm none",
            "HS256 with the public key",
            "expired",
            "another issuer's key",
        ):
            found[f"token: {reason}"] = Visitor(stranger, f"Bearer {bad[reason]}")
        return found

    def state(self) -> dict[str, object]:
        """Return what calls could have changed: control journals, orders and their journal, the kill switch."""
        with redis.Redis.from_url(self.redis_url) as client:
            names = sorted(
                name for name in client.scan_iter(match="*matrix*")
                if name.rpartition(b":")[2] in (b"control", b"requests", b"intended")
            )  # fmt: skip
            control = [(name, hashlib.sha256(client.dump(name) or b"").hexdigest()) for name in names]
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as database:
            tables = [
                row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            ]
            rows = {table: database.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] for table in tables}
            switch = database.execute("SELECT * FROM kill_switch").fetchall() if "kill_switch" in tables else []
        return {"control": control, "orders": rows, "switch": switch}

    def revoke(self, name: str) -> None:
        """Take a key away."""

        async def revoke() -> None:
            engine = open_database(f"sqlite:///{self.database}", application="test")
            await revoke_key(engine, self.key_ids[name])
            await engine.dispose()

        asyncio.run(revoke())

    async def _make_keys(self) -> tuple[dict[str, str], dict[str, str]]:
        url = f"sqlite:///{self.database}"
        engine = open_database(url, application="test")
        now_ns = time.time_ns()
        try:
            await prepare_orders_database(engine)
            source = pepper_source(url, file=None, text="", directory=self.directory)
            pepper = await prepare_keys(engine, source, now_ns=now_ns)
            keys = {
                name: await create_key(
                    engine, pepper, name=name.replace("+", "-"), roles={Role(role) for role in name.split("+")}
                )
                for name in ("read", "control", "trade", "admin", "control+trade", "read+trade")
            }
            keys["revoked"] = await create_key(engine, pepper, name="revoked", roles={Role.ADMIN})
            await revoke_key(engine, keys["revoked"].split("_")[1])
            keys["expired"] = await create_key(
                engine,
                pepper,
                name="expired",
                roles={Role.ADMIN},
                now_ns=now_ns - 10_000_000_000,
                expires_ns=now_ns - 1,
            )
        finally:
            await engine.dispose()
        return keys, {name: key.split("_")[1] for name, key in keys.items()}


@contextmanager
def estate(directory: Path, redis_url: str) -> Iterator[Estate]:
    """Keep all servers up for a block."""
    desk = Estate(directory, redis_url)
    settings = desk.settings()
    with ExitStack() as ends:
        for name in SERVERS:
            server = ServerProcess(name, directory, open_files=0, **settings)
            ends.callback(server.kill)
            ends.callback(server.channel.close)
            desk.servers[name] = server
        yield desk
